package eventlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"postern/internal/events"
	"postern/internal/problem"
	"postern/schemas"
)

const (
	// A batch is at most this. The server takes no more msgs in one
	// (https://docs.nats.io/nats-concepts/jetstream/streams, "max_batch_size"),
	// and keeps its bytes in memory until the last one is there.
	maxBatchMsgs  = 1000
	maxBatchBytes = 32 << 20

	// A publish without an answer is repeated until publishTimeout has passed.
	attemptTimeout = 5 * time.Second
	publishTimeout = 20 * time.Second
)

// Errors of publishing.
var (
	// ErrUnavailable says that no acknowledgement came. The events may be on the
	// record or not: publishing them again, with the same ids, is harmless.
	ErrUnavailable = problem.RecordUnavailable.New("the record can't be reached")
	// ErrInvalid says that an event does not satisfy its schema. None of those
	// published with it is on the record.
	ErrInvalid = problem.Internal.New("invalid event")
)

// Publish puts events on the record and returns the sequence of the last once
// all of them are acknowledged. An event that is there already is not put there
// again, and its sequence counts like that of a new one.
//
// Several events go out in atomic batches of up to a thousand, which cost the
// server one fsync each. Only within a batch is it all or nothing, and not even
// there when some events of it were published before: whoever crashes or gets an
// error publishes all of them again.
//
// Errors wrap [ErrInvalid], [ErrUnavailable], or say why the server refused.
func (l *Log) Publish(ctx context.Context, evs ...events.Event) (last uint64, err error) {
	out := make([]outgoing, len(evs))
	for i, e := range evs {
		if err := validate(e); err != nil {
			return 0, fmt.Errorf("publishing %s %s: %w", e.Type, e.ID, err)
		}
		out[i] = outgoing{e.Subject(), e.Header(), e.Data}
	}
	return l.publish(ctx, out)
}

// validate holds an event to its schema. The body of a chunk is left out: it is a
// hundred kilobytes of our own canonical encoder, and tests hold it to its schema.
func validate(e events.Event) error {
	if e.Type == events.TypeDeliveriesCreated {
		return nil
	}
	if err := schemas.Validate(e); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// outgoing is a msg yet to be made: each attempt makes its own, because
// publishing writes in it.
type outgoing struct {
	subject string
	header  map[string][]string
	data    []byte
}

func (o outgoing) msg() *nats.Msg {
	header := make(nats.Header, len(o.header)+3)
	maps.Copy(header, o.header)
	return &nats.Msg{Subject: o.subject, Header: header, Data: o.data}
}

func (l *Log) publish(ctx context.Context, out []outgoing) (last uint64, err error) {
	for len(out) > 0 {
		n := batchLen(out)
		seq, err := l.publishPatiently(ctx, out[:n])
		if err != nil {
			return last, fmt.Errorf("publishing to %s: %w", out[0].subject, err)
		}
		last, out = max(last, seq), out[n:]
	}
	return last, nil
}

// batchLen is how many of out make the next batch.
func batchLen(out []outgoing) int {
	size := 0
	for i := range out {
		size += len(out[i].data) + 1024 // and headers
		if i == maxBatchMsgs || (i > 0 && size > maxBatchBytes) {
			return i
		}
	}
	return len(out)
}

// publishPatiently repeats a publish for as long as its outcome is unknown.
func (l *Log) publishPatiently(ctx context.Context, out []outgoing) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	for pause := newPause(); ; {
		seq, err := l.publishOnce(ctx, out)
		err = refused(l.js, err, out[0].subject)
		if err == nil || !outcomeUnknown(err) {
			return seq, err
		}
		if errors.Is(err, nats.ErrConnectionClosed) || outOfSpace(err) || pause.wait(ctx) != nil {
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

func (l *Log) publishOnce(ctx context.Context, out []outgoing) (uint64, error) {
	if len(out) == 1 {
		return l.publishEach(ctx, out)
	}
	seq, err := l.publishBatch(ctx, out)
	if isAPIError(err, jetstreamext.JSErrCodeBatchPublishDuplicateMsgID) {
		// A batch is refused whole for one event that is there already.
		return l.publishEach(ctx, out)
	}
	return seq, err
}

// publishBatch publishes an atomic batch: the server keeps all of it or nothing
// when the last msg, which commits it, has come
// (https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md).
func (l *Log) publishBatch(ctx context.Context, out []outgoing) (uint64, error) {
	attempt, cancel := l.attempt(ctx)
	defer cancel()
	id := uuid.NewString()
	var ack *jetstream.PubAck
	for i := range out {
		msg := out[i].msg()
		msg.Header.Set(jetstreamext.BatchIDHeader, id)
		msg.Header.Set(jetstreamext.BatchSeqHeader, strconv.Itoa(i+1))
		var err error
		if i < len(out)-1 {
			err = l.nc.PublishMsg(msg)
		} else {
			msg.Header.Set(jetstreamext.BatchCommitHeader, "1")
			ack, err = l.js.PublishMsg(attempt, msg)
		}
		if err != nil {
			return 0, err
		}
	}
	return ack.Sequence, nil
}

// publishEach publishes one by one. JetStream drops a repeat and acknowledges it
// with the sequence of the original.
func (l *Log) publishEach(ctx context.Context, out []outgoing) (last uint64, err error) {
	for i := range out {
		attempt, cancel := l.attempt(ctx)
		ack, err := l.js.PublishMsg(attempt, out[i].msg())
		cancel()
		if err != nil {
			return 0, err
		}
		last = max(last, ack.Sequence)
	}
	return last, nil
}

// attempt is the context of one attempt. It ends as soon as the connection is
// lost: no answer will come then.
func (l *Log) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	lost := l.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		<-lost // or closed below
		cancel()
	}()
	return ctx, func() { l.nc.RemoveStatusListener(lost) }
}

// outcomeUnknown tells errors after which the events may be on the record, or
// may yet get there, from those by which the server or the client refused them.
func outcomeUnknown(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code >= 500 || api.Code == 429 || api.ErrorCode == jetstreamext.JSErrCodeBatchPublishIncomplete
	}
	return !errors.Is(err, nats.ErrMaxPayload) && !errors.Is(err, ErrNotAllowed)
}

// outOfSpace tells that the server's disk is full or nearly so, which no further try
// corrects.
func outOfSpace(err error) bool {
	const insufficientResources, storageExceeded = 10023, 10047
	return isAPIError(err, insufficientResources) || isAPIError(err, storageExceeded)
}

func isAPIError(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
