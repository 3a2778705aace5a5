package consume_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
)

// run runs lanes until stop is called, which gives what Run returned.
func run(t *testing.T, log *eventlog.Log, p consume.Parking, lanes ...consume.Lane) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- consume.Run(ctx, log, p, lanes...) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// parkedEvents collects parked events.
type parkedEvents struct {
	mu     sync.Mutex
	parked map[uint64]consume.Parked
	fail   int // how often parking fails at first
}

func (p *parkedEvents) park(_ context.Context, e consume.Parked) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail > 0 {
		p.fail--
		return errors.New("the database is down")
	}
	if p.parked == nil {
		p.parked = map[uint64]consume.Parked{}
	}
	p.parked[e.Seq] = e
	return nil
}

// Every kind of event that can't be handled is parked with its reason. No other event
// waits for it.
func TestPoisonIsParked(t *testing.T) {
	log := eventlogtest.Unchecked(t, natstest.Start(t))
	evs := eventlogtest.ManyReleased(t, 40)
	eventlogtest.Publish(t, log, evs...)
	malformed := nats.NewMsg("record.message.released.1")
	malformed.Data = []byte("{")
	if _, err := log.JetStream().PublishMsg(t.Context(), malformed); err != nil { // event 41
		t.Fatal(err)
	}
	parked := parkedEvents{fail: 2}
	var handled sync.Map
	stop := run(t, log, consume.Parking{MaxTries: 2, Park: parked.park,
		Passing: func(err error) bool { return err.Error() == "the database is down" },
	}, consume.Lane{Consumer: eventlog.FanoutBulk, Slots: 8,
		Handle: func(_ context.Context, e events.Event, seq uint64) error {
			tries, _ := handled.LoadOrStore(seq, new(atomic.Int32))
			try := tries.(*atomic.Int32).Add(1)
			switch seq {
			case 3:
				return fmt.Errorf("reading it: %w", consume.ErrPermanent)
			case 5:
				panic("out of range")
			case 7:
				return errors.New("never works")
			case 9:
				if try < 4 {
					return errors.New("the database is down")
				}
			case 11:
				return fmt.Errorf("%w: no body", events.ErrMalformed)
			}
			if e.ID != evs[seq-1].ID {
				t.Errorf("event %d is %s, want %s", seq, e.ID, evs[seq-1].ID)
			}
			return nil
		}})
	eventlogtest.Settled(t, log, eventlog.FanoutBulk)
	if err := stop(); err != nil {
		t.Error(err)
	}
	type outcome struct {
		Consumer, Reason string
		ID               uuid.UUID
	}
	got := map[uint64]outcome{}
	for seq, p := range parked.parked {
		got[seq] = outcome{p.Consumer, p.Reason, p.Event.ID}
	}
	want := map[uint64]outcome{
		3:  {eventlog.FanoutBulk, "reading it: can't be handled", evs[2].ID},
		5:  {eventlog.FanoutBulk, "panic: out of range", evs[4].ID},
		7:  {eventlog.FanoutBulk, "never works", evs[6].ID},
		11: {eventlog.FanoutBulk, "malformed event: no body", evs[10].ID},
		41: {eventlog.FanoutBulk, "malformed event: header ce-id: invalid UUID length: 0", uuid.Nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if stack := parked.parked[5].Stack; !strings.Contains(stack, "consume_test.go") {
		t.Errorf("no stack: %q", stack)
	}
	if got := parked.parked[7].Tries; got < 2 {
		t.Errorf("parked after %d tries", got)
	}
	for seq := uint64(1); seq <= 40; seq++ {
		if _, ok := handled.Load(seq); !ok {
			t.Errorf("event %d was not delivered", seq)
		}
	}
}

// A slow event blocks neither the other slots of its lane nor the other lane.
func TestASlowEventBlocksNoOtherEvent(t *testing.T) {
	log := eventlogtest.Start(t)
	release := make(chan struct{})
	var quick sync.WaitGroup
	quick.Add(99 + 100)
	lane := func(consumer string, slow uint64) consume.Lane {
		return consume.Lane{Consumer: consumer, Slots: 2, Handle: func(_ context.Context, _ events.Event, seq uint64) error {
			if seq == slow {
				<-release
				return nil
			}
			quick.Done()
			return nil
		}}
	}
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 100)...)
	run(t, log, consume.Parking{}, lane(eventlog.FanoutBulk, 1), lane(eventlog.FanoutDirect, 0))
	quick.Wait()
	close(release)
	eventlogtest.Settled(t, log, eventlog.FanoutBulk)
}

// At most as many events are handled at once as there are slots.
func TestSlotsAreTheLimit(t *testing.T) {
	log := eventlogtest.Start(t)
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 200)...)
	var now, most atomic.Int32
	run(t, log, consume.Parking{}, consume.Lane{Consumer: eventlog.FanoutBulk, Slots: 5,
		Handle: func(context.Context, events.Event, uint64) error {
			defer now.Add(-1)
			for n := now.Add(1); ; {
				old := most.Load()
				if n <= old || most.CompareAndSwap(old, n) {
					return nil
				}
			}
		}})
	eventlogtest.Settled(t, log, eventlog.FanoutBulk)
	if got := most.Load(); got > 5 {
		t.Errorf("%d events handled at once, with 5 slots", got)
	}
}

// When a worker stops, its handler finishes the current event with a valid context.
// Another worker gets the events that were not started.
func TestStoppingFinishesTheCurrentEvent(t *testing.T) {
	log := eventlogtest.Start(t)
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 3)...)
	begun, finish := make(chan struct{}), make(chan struct{})
	var handled atomic.Int32
	stopped := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		stopped <- consume.Run(ctx, log, consume.Parking{}, consume.Lane{Consumer: eventlog.FanoutBulk,
			Handle: func(ctx context.Context, _ events.Event, _ uint64) error {
				if handled.Add(1) == 1 {
					close(begun)
				}
				<-finish
				return ctx.Err()
			}})
	}()
	<-begun
	cancel()
	close(finish)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	first := handled.Load()
	run(t, log, consume.Parking{}, consume.Lane{Consumer: eventlog.FanoutBulk,
		Handle: func(context.Context, events.Event, uint64) error {
			handled.Add(1)
			return nil
		}})
	eventlogtest.Settled(t, log, eventlog.FanoutBulk)
	if got := handled.Load(); got != 3 {
		t.Errorf("three events were delivered %d times, %d of them before the stop", got, first)
	}
}

// The stream is created late, NATS restarts, and the consumer is deleted: the lanes
// continue.
func TestConsumeSurvives(t *testing.T) {
	server := natstest.Start(t)
	early := eventlog.New(natstest.Connect(t, server, "early"), nil)
	seen := make(chan uint64, 1000)
	stop := run(t, early, consume.Parking{}, consume.Lane{Consumer: eventlog.FanoutBulk, Slots: 3,
		Handle: func(_ context.Context, _ events.Event, seq uint64) error {
			seen <- seq
			return nil
		}})
	await := func(seq uint64) {
		t.Helper()
		for got := range seen {
			if got == seq {
				return
			}
		}
	}
	log := eventlogtest.On(t, server)
	await(eventlogtest.Publish(t, log, eventlogtest.Released(t)))
	if err := server.Restart(eventlogtest.Within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	await(eventlogtest.Publish(t, log, eventlogtest.Released(t)))
	if err := log.JetStream().DeleteConsumer(t.Context(), eventlog.Stream, eventlog.FanoutBulk); err != nil {
		t.Fatal(err)
	}
	await(eventlogtest.Publish(t, log, eventlogtest.Released(t)))
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// The notify lanes get only headers, which include the chunk's, also of a body in parts.
func TestHeadersOnly(t *testing.T) {
	log := eventlogtest.Start(t)
	inBlock := events.CitedBlock{No: 3}
	inBlock.Members.Add(7)
	byBlock, err := events.New("/test", "process:test", time.Now(), events.DeliveriesByBlock{MessageID: uuid.New(), Chunk: 3, Day: time.Now(),
		Groups: []string{"all_portal_users"}, Selection: events.Selection{}.Digest(), Blocks: []events.CitedBlock{inBlock}, Nonce: events.NewNonce()})
	if err != nil {
		t.Fatal(err)
	}
	byBlock.Chunk = &events.ChunkRef{Index: 3, Of: 7}
	got := make(chan events.Event, 1)
	run(t, log, consume.Parking{}, consume.Lane{Consumer: eventlog.NotifyBulk,
		Handle: func(_ context.Context, e events.Event, _ uint64) error {
			got <- e
			return nil
		}})
	for _, sent := range []events.Event{eventlogtest.Chunk(t, uuid.New(), 3, 7), byBlock} {
		eventlogtest.Publish(t, log, sent)
		want := sent
		want.Data, want.PublicLength = nil, 0
		e := <-got
		if len(e.Data) == 0 {
			e.Data = nil
		}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Errorf("version %d: %s", sent.Version, diff)
		}
	}
}

// A header with two values is delivered with its first.
func TestAHeaderWithTwoValues(t *testing.T) {
	log := eventlogtest.Unchecked(t, natstest.Start(t))
	e := eventlogtest.Released(t)
	m := &nats.Msg{Subject: e.Subject(), Header: e.Header(), Data: e.Data}
	m.Header["ce-actor"] = []string{"first", "second"}
	m.Header["empty"] = nil
	if _, err := log.JetStream().PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	run(t, log, consume.Parking{}, consume.Lane{Consumer: eventlog.FanoutBulk,
		Handle: func(_ context.Context, e events.Event, _ uint64) error {
			got <- e.Actor
			return nil
		}})
	if actor := <-got; actor != "first" {
		t.Errorf("got %q", actor)
	}
}

// An event whose handling takes longer than ackWait is not redelivered.
func TestProgressIsReported(t *testing.T) {
	server := natstest.Start(t)
	log := eventlogtest.On(t, server)
	acks, err := natstest.Connect(t, server, "listener").SubscribeSync("$JS.ACK.>")
	if err != nil {
		t.Fatal(err)
	}
	sub := consume.NewSubscriber(log, consume.SubscriberConfig{Consumer: func(string) (string, jetstream.ConsumerConfig) {
		return eventlog.Stream, jetstream.ConsumerConfig{Durable: "slow", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 200 * time.Millisecond}
	}})
	defer func() { _ = sub.Close() }()
	messages, err := sub.Subscribe(t.Context(), "any")
	if err != nil {
		t.Fatal(err)
	}
	eventlogtest.Publish(t, log, eventlogtest.Released(t))
	m := <-messages
	for range 8 { // a quarter of the ackWait each
		ack, err := acks.NextMsgWithContext(eventlogtest.Within(t, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if string(ack.Data) != "+WPI" {
			t.Fatalf("JetStream was sent %q", ack.Data)
		}
	}
	m.Ack()
	eventlogtest.Settled(t, log, "slow")
	consumer, err := log.JetStream().Consumer(t.Context(), eventlog.Stream, "slow")
	if err != nil {
		t.Fatal(err)
	}
	if got := consumer.CachedInfo().Delivered.Consumer; got != 1 {
		t.Errorf("delivered %d times", got)
	}
}
