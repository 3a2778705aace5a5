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

	"postern/internal/backoff"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/schemas"
)

const (
	// The largest batch. The server accepts no more messages in one
	// (https://docs.nats.io/nats-concepts/jetstream/streams, "max_batch_size"),
	// and keeps the batch in memory until its last message has arrived.
	maxBatchMsgs  = 1000
	maxBatchBytes = 32 << 20

	// An attempt to publish without an answer is repeated until publishTimeout.
	attemptTimeout = 5 * time.Second
	publishTimeout = 20 * time.Second
)

// Errors of publishing.
var (
	// ErrUnavailable says that no acknowledgement arrived. The events may be stored
	// or not: it is safe to publish them again with the same ids.
	ErrUnavailable = problem.RecordUnavailable.New("the record can't be reached")
	// ErrInvalid says that an event does not satisfy its schema. No event of the
	// same call is stored.
	ErrInvalid = problem.Internal.New("invalid event")
)

// Publish stores events and returns the highest of their sequences once all are
// acknowledged. An event that is stored already is not stored again; its existing
// sequence counts.
//
// Several events are published in atomic batches of up to a thousand, which cost the
// server one fsync each. Only a batch is all or nothing, and not even that if some
// of its events were published before. After a crash or an error, the caller
// publishes all events again.
//
// Errors wrap [ErrInvalid] or [ErrUnavailable], or give the server's reason.
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

// validate checks an event against its schema, except the body of a chunk: it is a
// hundred kilobytes from this project's own canonical encoder, and tests check it
// against its schema.
func validate(e events.Event) error {
	if e.Type == events.TypeDeliveriesCreated {
		return nil
	}
	if err := schemas.Validate(e); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// outgoing holds the parts of a NATS message. Each attempt makes its own message,
// because publishing changes it.
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
		seq, err := l.publishWithRetries(ctx, out[:n])
		if err != nil {
			return last, fmt.Errorf("publishing to %s: %w", out[0].subject, err)
		}
		last, out = max(last, seq), out[n:]
	}
	return last, nil
}

// batchLen is the number of messages of out in the next batch.
func batchLen(out []outgoing) int {
	size := 0
	for i := range out {
		size += len(out[i].data) + 1024 // for the headers
		if i == maxBatchMsgs || (i > 0 && size > maxBatchBytes) {
			return i
		}
	}
	return len(out)
}

// publishWithRetries publishes again while the outcome is unknown.
func (l *Log) publishWithRetries(ctx context.Context, out []outgoing) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	for pause := backoff.NewPause(); ; {
		seq, err := l.publishOnce(ctx, out)
		err = refused(l.js, err, out[0].subject)
		if err == nil || !outcomeUnknown(err) {
			return seq, err
		}
		if errors.Is(err, nats.ErrConnectionClosed) || outOfSpace(err) || pause.Wait(ctx) != nil {
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
		// The server refuses the whole batch if one of its events is stored already.
		return l.publishEach(ctx, out)
	}
	return seq, err
}

// publishBatch publishes an atomic batch. Its last message commits it: the server
// then stores all of it or nothing
// (https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md).
// A crash before the last message leaves nothing stored.
func (l *Log) publishBatch(ctx context.Context, out []outgoing) (uint64, error) {
	attempt, cancel := l.Attempt(ctx)
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

// publishEach publishes the messages one by one. JetStream drops a repeat and
// acknowledges it with the sequence of the original.
func (l *Log) publishEach(ctx context.Context, out []outgoing) (last uint64, err error) {
	for i := range out {
		attempt, cancel := l.Attempt(ctx)
		ack, err := l.js.PublishMsg(attempt, out[i].msg())
		cancel()
		if err != nil {
			return 0, err
		}
		last = max(last, ack.Sequence)
	}
	return last, nil
}

// Attempt gives the context of one request to NATS. It ends after five seconds, or
// when the connection is lost, because no answer can arrive after that.
func (l *Log) Attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	lost := l.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		<-lost // or closed below
		cancel()
	}()
	return ctx, func() { l.nc.RemoveStatusListener(lost) }
}

// outcomeUnknown reports whether the events may still be stored despite err. It is
// false if the server or the client refused them.
func outcomeUnknown(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code >= 500 || api.Code == 429 || api.ErrorCode == jetstreamext.JSErrCodeBatchPublishIncomplete
	}
	return !errors.Is(err, nats.ErrMaxPayload) && !errors.Is(err, ErrNotAllowed)
}

// outOfSpace reports whether the server's disk is full or nearly full. A retry does
// not help then.
func outOfSpace(err error) bool {
	const insufficientResources, storageExceeded = 10023, 10047
	return isAPIError(err, insufficientResources) || isAPIError(err, storageExceeded)
}

func isAPIError(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}
