package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"postern/internal/backoff"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pullExpires       = 30 * time.Second  // how long a request for events stays open
	pullHeartbeat     = 2 * time.Second   // interval of the server's heartbeats
	pullTimeout       = 3 * pullHeartbeat // without a heartbeat, the request is lost
	inactiveThreshold = time.Minute       // the server deletes an idle consumer after it

	// The number of names for readers' consumers. Permissions of NATS list whole
	// names, not prefixes of names. With permission for any name, a user could change
	// a worker's consumer.
	readerNames = 16
)

func readerName(n int) string { return fmt.Sprintf("reader-%d", n) }

// ErrGap says that the stream lacks the events from Want up to, but not including,
// Got.
type ErrGap struct{ Want, Got uint64 }

func (e ErrGap) Error() string {
	return fmt.Sprintf("the stream lacks event %d: the next one in it is %d; `postern repair --check` shows details", e.Want, e.Got)
}

// ErrTruncated says that the stream ends before the event to be read next.
type ErrTruncated struct{ Want, Last uint64 }

func (e ErrTruncated) Error() string {
	return fmt.Sprintf("the stream ends at event %d, before event %d, which is to be read next; `postern repair --check` shows details", e.Last, e.Want)
}

// Read calls fn with every event from sequence from on, in order and each once, in
// runs of the events available now: at most maxEvents events and about maxBytes bytes
// of bodies. fn may keep the run. While fn works, Read fetches one more run of at
// most the same size.
//
// Read continues after a lost connection or a change of servers. It returns ctx's
// error, fn's error, an [ErrGap] after the last event before the gap, or an
// [ErrTruncated].
func (l *Log) Read(ctx context.Context, from uint64, maxEvents, maxBytes int, fn func([]Stored) error) error {
	r := newReader(l, from, maxEvents, maxBytes)
	defer r.close()
	for {
		run, err := r.run(ctx)
		if len(run) > 0 {
			r.prefetch()
			if err := fn(run); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// A reader pulls from a consumer of its own, which the server keeps in memory. After
// anything unexpected the reader creates a new consumer from the next sequence on.
type reader struct {
	log      *Log
	next     uint64 // sequence to be read next
	events   int
	bytes    int
	asked    int // bytes to request; more than bytes if a single event is larger
	msgs     chan *nats.Msg
	status   chan nats.Status
	silence  *time.Timer
	name     string             // of the latest consumer; "" before the first
	sub      *nats.Subscription // nil: no consumer
	pull     string             // subject of requests to the consumer
	consumed uint64             // the consumer's sequence of the last message
	left     int                // messages that the open request may still bring; 0: no request is open
	any      bool               // whether the open request has brought a message
}

func newReader(l *Log, from uint64, maxEvents, maxBytes int) *reader {
	return &reader{
		log: l, next: max(from, 1), events: max(maxEvents, 1), bytes: maxBytes, asked: max(maxBytes, 1<<20),
		status:  l.nc.StatusChanged(nats.CONNECTED),
		silence: time.NewTimer(pullTimeout),
	}
}

func (r *reader) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r.deleteConsumer(ctx)
	r.drop()
	r.silence.Stop()
	r.log.nc.RemoveStatusListener(r.status)
}

// run gives the events available now. It waits for the first.
func (r *reader) run(ctx context.Context) ([]Stored, error) {
	var run []Stored
	size := 0
	for {
		msg, err := r.receive(ctx, len(run) > 0)
		if err != nil || msg == nil {
			return run, err
		}
		meta, err := msg.Metadata()
		if err != nil || meta.Sequence.Consumer != r.consumed+1 {
			r.drop() // messages were lost on their way: read them again
			if len(run) > 0 {
				return run, nil
			}
			continue
		}
		r.consumed++
		if meta.Sequence.Stream != r.next {
			return run, ErrGap{Want: r.next, Got: meta.Sequence.Stream}
		}
		r.next++
		run = append(run, Stored{Seq: meta.Sequence.Stream, Subject: msg.Subject, Header: msg.Header, Data: msg.Data})
		size += len(msg.Data)
		if meta.NumPending == 0 || len(run) >= r.events || size >= r.bytes {
			return run, nil
		}
	}
}

// receive gives the next message. When the open request ends, it gives nil if the
// run has events already, and otherwise opens another request.
func (r *reader) receive(ctx context.Context, hasEvents bool) (*nats.Msg, error) {
	for {
		if r.left == 0 {
			if hasEvents {
				return nil, nil
			}
			if err := r.ask(ctx); err != nil {
				return nil, err
			}
		}
		msg, err := r.await(ctx)
		switch {
		case err != nil:
			return nil, err
		case msg == nil:
			r.drop()
		case msg.Reply != "":
			r.left--
			r.any = true
			return msg, nil
		case msg.Header.Get("Status") == "100" && r.mustHaveMore(ctx):
			r.drop() // open then reads the next event directly
		default:
			r.handleStatus(msg.Header.Get("Status"), msg.Header.Get("Description"))
		}
	}
}

// await gives the server's next message, or nil if the reader needs a new consumer.
func (r *reader) await(ctx context.Context) (*nats.Msg, error) {
	select {
	case msg := <-r.msgs: // the most frequent case, without the timer
		return msg, nil
	default:
	}
	r.silence.Reset(pullTimeout)
	select {
	case msg := <-r.msgs:
		return msg, nil
	case <-r.status: // reconnected: the request is lost
		return nil, nil
	case <-r.silence.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// mustHaveMore reports whether the stream has more events after a heartbeat without
// one: a consumer does not report an event that is damaged on disk.
func (r *reader) mustHaveMore(ctx context.Context) bool {
	ctx, cancel := r.log.Attempt(ctx)
	defer cancel()
	state, err := r.log.State(ctx)
	return err == nil && state.Last >= r.next
}

// handleStatus handles a status message of the server.
func (r *reader) handleStatus(status, description string) {
	switch {
	case status == "100": // a heartbeat
	case status == "404" || status == "408": // the request has expired
		r.left = 0
		if !r.any {
			r.drop() // no event for a long time: open checks the stream again
		}
	case status == "409" && description == "Message Size Exceeds MaxBytes":
		r.left = 0
		if !r.any {
			r.asked *= 2
		}
	default: // the consumer was deleted or moves to another server
		r.drop()
	}
}

// prefetch requests the next run unless a request is open.
func (r *reader) prefetch() {
	if r.sub != nil && r.left == 0 {
		_ = r.request() // after an error, the next receive requests again
	}
}

// ask opens a request, and creates a consumer first if there is none. It retries
// until ctx ends.
func (r *reader) ask(ctx context.Context) error {
	var logged bool
	for pause := backoff.NewPause(); ; {
		err := r.open(ctx)
		if err == nil {
			err = r.request()
		}
		var gap ErrGap
		var truncated ErrTruncated
		if err == nil || errors.As(err, &gap) || errors.As(err, &truncated) || errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		if !logged && ctx.Err() == nil {
			logged = true
			r.log.log.Warn("waiting for the record", "reason", err.Error())
		}
		if err := pause.Wait(ctx); err != nil {
			return err
		}
	}
}

func (r *reader) request() error {
	body, err := json.Marshal(map[string]any{
		"batch": r.events, "max_bytes": r.asked, "expires": pullExpires, "idle_heartbeat": pullHeartbeat})
	if err != nil {
		return err
	}
	if err := r.log.nc.PublishRequest(r.pull, r.sub.Subject, body); err != nil {
		r.drop()
		return fmt.Errorf("asking for events: %w", err)
	}
	r.left, r.any = r.events, false
	return nil
}

// open creates a consumer if there is none. It compares the next sequence with the
// stream's state, because a consumer does not report events that are missing at the
// end or can't be read: it would wait until the stream assigns their sequences a
// second time.
func (r *reader) open(ctx context.Context) error {
	if r.sub != nil {
		return nil
	}
	ctx, cancel := r.log.Attempt(ctx)
	defer cancel()
	state, err := r.log.State(ctx)
	if err != nil {
		return err
	}
	if state.Last+1 < r.next {
		return ErrTruncated{Want: r.next, Last: state.Last}
	}
	missing := false
	if state.Last >= r.next {
		_, err := r.log.Get(ctx, r.next)
		if missing = errors.Is(err, ErrNotFound); err != nil && !missing {
			return err
		}
	}
	consumer, err := r.create(ctx)
	if err != nil {
		return fmt.Errorf("creating a reader: %w", refused(r.log.js, err, "CONSUMER.CREATE."))
	}
	if missing && consumer.CachedInfo().NumPending == 0 {
		return ErrGap{Want: r.next, Got: state.Last + 1}
	}
	if missing {
		return ErrGap{Want: r.next, Got: max(r.next+1, state.First)}
	}
	r.msgs = make(chan *nats.Msg, r.events+64) // all messages of a request, and heartbeats
	if r.sub, err = r.log.nc.ChanSubscribe(r.log.nc.NewInbox(), r.msgs); err != nil {
		r.sub = nil
		return fmt.Errorf("creating a reader: %w", err)
	}
	r.pull = jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + Stream + "." + consumer.CachedInfo().Name
	r.consumed, r.left = 0, 0
	return nil
}

// deleteConsumer frees the consumer's name for other readers. If the server has
// deleted the consumer already and another reader uses the name, that reader loses
// its consumer and creates a new one.
func (r *reader) deleteConsumer(ctx context.Context) {
	if r.name != "" && r.log.nc.IsConnected() {
		_ = r.log.js.DeleteConsumer(ctx, Stream, r.name) // after an error, the server deletes it as inactive
	}
}

// create creates a consumer under the first free name.
func (r *reader) create(ctx context.Context) (consumer jetstream.Consumer, err error) {
	r.deleteConsumer(ctx)
	for n := range readerNames {
		r.name = readerName(n)
		consumer, err = r.log.js.CreateConsumer(ctx, Stream, jetstream.ConsumerConfig{
			Name:              r.name,
			Metadata:          map[string]string{"reader": uuid.NewString()}, // otherwise two readers would share one consumer
			DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:       r.next,
			AckPolicy:         jetstream.AckNonePolicy,
			MemoryStorage:     true,
			Replicas:          1,
			InactiveThreshold: inactiveThreshold,
		})
		if !errors.Is(err, jetstream.ErrConsumerExists) {
			return consumer, err
		}
	}
	r.name = ""
	return nil, fmt.Errorf("all %d names of readers are in use: %w", readerNames, err)
}

// drop gives up the consumer; the server deletes it as inactive.
func (r *reader) drop() {
	if r.sub != nil {
		_ = r.sub.Unsubscribe()
	}
	r.sub, r.msgs, r.left = nil, nil, 0
}
