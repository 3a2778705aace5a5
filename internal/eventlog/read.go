package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// A request for events is open for so long, and so often the server says
	// that it is still there.
	pullExpires   = 30 * time.Second
	pullHeartbeat = 2 * time.Second
	pullSilence   = 3 * pullHeartbeat // then whoever should answer is gone
	readerLasts   = time.Minute       // then the server forgets a reader that asks no more

	// Readers share so many names, because a NATS user is allowed names and not
	// beginnings of names: under any name, it could change a worker's consumer.
	readerNames = 16
)

func readerName(n int) string { return fmt.Sprintf("reader-%d", n) }

// ErrGap says that the stream lacks the events from Want up to but not
// including Got.
type ErrGap struct{ Want, Got uint64 }

func (e ErrGap) Error() string {
	return fmt.Sprintf("the stream lacks event %d: the next one in it is %d; `postern repair --check` says more", e.Want, e.Got)
}

// ErrTruncated says that the stream ends before an event that it once held.
type ErrTruncated struct{ Want, Last uint64 }

func (e ErrTruncated) Error() string {
	return fmt.Sprintf("the stream ends at event %d, before event %d that was to be read next; `postern repair --check` says more", e.Last, e.Want)
}

// Read gives fn every event from sequence from on, in order and each once, in
// runs of what is there now: at most maxEvents events and about maxBytes bytes of
// bodies. The run is fn's to keep. While fn works, the next run of at most the
// same size is already on its way, and no more than that.
//
// Read goes on by itself after a lost connection or a change of servers. It ends
// with ctx, with fn's error, with an [ErrGap] after the last event before the
// gap, or with an [ErrTruncated].
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

// A reader pulls from a consumer of its own, which lives in the server's memory
// and is made anew, from the next sequence on, whenever anything is odd.
type reader struct {
	log      *Log
	next     uint64 // sequence to be read next
	events   int
	bytes    int
	asked    int // bytes to ask for; more than bytes where a single event is larger
	msgs     chan *nats.Msg
	status   chan nats.Status
	silence  *time.Timer
	name     string             // of the consumer made last; "" before the first
	sub      *nats.Subscription // nil: no consumer
	pull     string             // subject to ask the consumer at
	consumed uint64             // consumer's own sequence of the last msg
	left     int                // msgs that may still come of the open request; 0: none is open
	any      bool               // whether the open request has brought any
}

func newReader(l *Log, from uint64, maxEvents, maxBytes int) *reader {
	return &reader{
		log: l, next: max(from, 1), events: max(maxEvents, 1), bytes: maxBytes, asked: max(maxBytes, 1<<20),
		status:  l.nc.StatusChanged(nats.CONNECTED),
		silence: time.NewTimer(pullSilence),
	}
}

func (r *reader) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r.giveBack(ctx)
	r.drop()
	r.silence.Stop()
	r.log.nc.RemoveStatusListener(r.status)
}

// run gives the events that are there now, waiting for the first.
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
			r.drop() // some were lost on their way to us: read them again
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

// receive gives the next msg. When the open request ends and some is told to be
// in hand already, it gives nil; else it asks again.
func (r *reader) receive(ctx context.Context, some bool) (*nats.Msg, error) {
	for {
		if r.left == 0 {
			if some {
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
			r.drop() // and ask for what is next by itself
		default:
			r.heed(msg.Header.Get("Status"), msg.Header.Get("Description"))
		}
	}
}

// await gives what the server sends next, or nil when it must be asked anew.
func (r *reader) await(ctx context.Context) (*nats.Msg, error) {
	select {
	case msg := <-r.msgs: // most often: no need to look at anything else
		return msg, nil
	default:
	}
	r.silence.Reset(pullSilence)
	select {
	case msg := <-r.msgs:
		return msg, nil
	case <-r.status: // connected again: the request is forgotten
		return nil, nil
	case <-r.silence.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// mustHaveMore tells, when the server says that it is there and has nothing, whether the
// stream says otherwise: of an event that is damaged on disk a consumer says nothing.
func (r *reader) mustHaveMore(ctx context.Context) bool {
	ctx, cancel := r.log.attempt(ctx)
	defer cancel()
	state, err := r.log.State(ctx)
	return err == nil && state.Last >= r.next
}

// heed obeys what the server says beside events.
func (r *reader) heed(status, description string) {
	switch {
	case status == "100": // it is still there
	case status == "404" || status == "408": // the request has expired
		r.left = 0
		if !r.any {
			r.drop() // nothing came for long: look whether the stream is what it was
		}
	case status == "409" && description == "Message Size Exceeds MaxBytes":
		r.left = 0
		if !r.any {
			r.asked *= 2
		}
	default: // the consumer is gone, or moves
		r.drop()
	}
}

// prefetch asks for the next run unless a request is open.
func (r *reader) prefetch() {
	if r.sub != nil && r.left == 0 {
		_ = r.request() // what fails here is found by the next receive
	}
}

// ask opens a request, and first a consumer where there is none.
func (r *reader) ask(ctx context.Context) error {
	var said bool
	for pause := newPause(); ; {
		err := r.open(ctx)
		if err == nil {
			err = r.request()
		}
		var gap ErrGap
		var truncated ErrTruncated
		if err == nil || errors.As(err, &gap) || errors.As(err, &truncated) || errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		if !said && ctx.Err() == nil {
			said = true
			r.log.log.Warn("waiting for the record", "reason", err.Error())
		}
		if err := pause.wait(ctx); err != nil {
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

// open makes a consumer where there is none. It holds what is to be read next
// against the stream's own account of itself, because a consumer is silent about
// events that are missing at the end or can't be read, and would wait for a sequence to
// be given out a second time.
func (r *reader) open(ctx context.Context) error {
	if r.sub != nil {
		return nil
	}
	ctx, cancel := r.log.attempt(ctx)
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
		return fmt.Errorf("making a reader: %w", refused(r.log.js, err, "CONSUMER.CREATE."))
	}
	if missing && consumer.CachedInfo().NumPending == 0 {
		return ErrGap{Want: r.next, Got: state.Last + 1}
	}
	if missing {
		return ErrGap{Want: r.next, Got: max(r.next+1, state.First)}
	}
	r.msgs = make(chan *nats.Msg, r.events+64) // all of a request, and heartbeats
	if r.sub, err = r.log.nc.ChanSubscribe(r.log.nc.NewInbox(), r.msgs); err != nil {
		r.sub = nil
		return fmt.Errorf("making a reader: %w", err)
	}
	r.pull = jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + Stream + "." + consumer.CachedInfo().Name
	r.consumed, r.left = 0, 0
	return nil
}

// giveBack lets others have the name. Where the server forgot our consumer and another
// reader has the name already, that one finds its own gone, and makes itself another.
func (r *reader) giveBack(ctx context.Context) {
	if r.name != "" && r.log.nc.IsConnected() {
		_ = r.log.js.DeleteConsumer(ctx, Stream, r.name) // or the server does so in a while
	}
}

// create makes a consumer under the first name that no reader has.
func (r *reader) create(ctx context.Context) (consumer jetstream.Consumer, err error) {
	r.giveBack(ctx)
	for n := range readerNames {
		r.name = readerName(n)
		consumer, err = r.log.js.CreateConsumer(ctx, Stream, jetstream.ConsumerConfig{
			Name:              r.name,
			Metadata:          map[string]string{"reader": uuid.NewString()}, // or two would be given the same one
			DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:       r.next,
			AckPolicy:         jetstream.AckNonePolicy,
			MemoryStorage:     true,
			Replicas:          1,
			InactiveThreshold: readerLasts,
		})
		if !errors.Is(err, jetstream.ErrConsumerExists) {
			return consumer, err
		}
	}
	r.name = ""
	return nil, fmt.Errorf("all %d names of readers are taken: %w", readerNames, err)
}

// drop forgets the consumer; the server does so by itself in a while.
func (r *reader) drop() {
	if r.sub != nil {
		_ = r.sub.Unsubscribe()
	}
	r.sub, r.msgs, r.left = nil, nil, 0
}
