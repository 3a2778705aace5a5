package eventlog_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
)

// ids reads the record and counts each event.
func ids(t testing.TB, log *eventlog.Log) map[uuid.UUID]int {
	t.Helper()
	seen := map[uuid.UUID]int{}
	last := eventlogtest.StateOf(t, log).Last
	err := log.Read(eventlogtest.Within(t, time.Minute), 1, 4096, 4<<20, func(run []eventlog.Stored) error {
		for _, s := range run {
			e, err := events.Parse(s.Header, s.Data)
			if err != nil {
				return err
			}
			seen[e.ID]++
		}
		if run[len(run)-1].Seq == last {
			return errEnd
		}
		return nil
	})
	if !errors.Is(err, errEnd) {
		t.Fatal(err)
	}
	return seen
}

var errEnd = errors.New("the end")

// once gives the result of ids for a record with each of evs once.
func once(evs []events.Event) map[uuid.UUID]int {
	all := map[uuid.UUID]int{}
	for _, e := range evs {
		all[e.ID] = 1
	}
	return all
}

func TestPublishGivesTheLastSequence(t *testing.T) {
	log := eventlogtest.Start(t)
	evs := eventlogtest.ManyReleased(t, 2503)
	for _, step := range []struct {
		what string
		evs  []events.Event
		want uint64
	}{
		{"one", evs[:1], 1},
		{"a few", evs[1:4], 4},
		{"none", nil, 0},
		{"more than a batch", evs[4:], 2503},
		{"a repeat", evs[:1], 1},
		{"a repeated batch", evs[1:4], 4},
		{"a batch with stored events and a new one", append(evs[2500:2503:2503], eventlogtest.Released(t)), 2504},
	} {
		if got := eventlogtest.Publish(t, log, step.evs...); got != step.want {
			t.Errorf("%s: last is %d, want %d", step.what, got, step.want)
		}
	}
	twin := eventlogtest.Released(t)
	if got := eventlogtest.Publish(t, log, twin, twin); got != 2505 {
		t.Errorf("an event twice in a batch: last is %d, want 2505", got)
	}
	if s := eventlogtest.StateOf(t, log); s.Msgs != 2505 {
		t.Errorf("%d events on the record, want 2505", s.Msgs)
	}
}

// Many chunks are published in batches of many megabytes.
func TestPublishManyLargeEvents(t *testing.T) {
	log := eventlogtest.Start(t)
	message := uuid.New()
	var evs []events.Event
	for i := range 400 {
		evs = append(evs, eventlogtest.Chunk(t, message, i, 400))
	}
	if got := eventlogtest.Publish(t, log, evs...); got != 400 {
		t.Errorf("last is %d", got)
	}
	stored, err := log.Get(t.Context(), 17)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]byte(evs[16].Data), stored.Data); diff != "" {
		t.Error(diff)
	}
	if _, err := log.Get(t.Context(), 401); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("an event that is not stored: %v", err)
	}
}

// An event that does not satisfy its schema is not stored, nor are the events
// published with it.
func TestPublishRefusesInvalidEvents(t *testing.T) {
	log := eventlogtest.Start(t)
	surplus := eventlogtest.Released(t)
	surplus.Data = []byte(`{"message_id":"` + surplus.MessageID.String() + `","diagnosis":"x"}`)
	unknown := eventlogtest.Released(t)
	unknown.Version = 9
	for name, e := range map[string]events.Event{
		"surplus": surplus, "unknown version": unknown,
		"empty": eventlogtest.About(t, events.StaffCreated{}), "null": eventlogtest.About(t, events.MessageSent{MessageID: uuid.New()}),
	} {
		if _, err := log.Publish(t.Context(), eventlogtest.Released(t), e); !errors.Is(err, eventlog.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := eventlogtest.StateOf(t, log); s.Msgs != 0 {
		t.Errorf("%d events on the record", s.Msgs)
	}
}

func TestPublishFromManyAtOnce(t *testing.T) {
	log := eventlogtest.Start(t)
	var group sync.WaitGroup
	all := map[uuid.UUID]int{}
	for i := range 16 {
		evs := eventlogtest.ManyReleased(t, 1+i*i)
		maps.Copy(all, once(evs))
		group.Go(func() {
			if _, err := log.Publish(t.Context(), evs...); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if diff := cmp.Diff(all, ids(t, log)); diff != "" {
		t.Error(diff)
	}
}

// The connection to the server breaks at the worst moments. Each acknowledged event
// is stored once.
func TestPublishOverABrokenLine(t *testing.T) {
	const (
		sending   = "HPUB record." // an event is about to leave
		answering = `"seq":`       // its acknowledgement is about to arrive
	)
	for _, c := range []struct {
		name    string
		events  int
		what    string
		inbound bool
	}{
		{"one, not persisted", 1, sending, false},
		{"one, persisted", 1, answering, true},
		{"batch, not persisted", 50, sending, false},
		{"batch, half sent", 50, "Nats-Batch-Sequence: 25", false},
		{"batch, persisted", 50, answering, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := natstest.Start(t)
			checked := eventlogtest.On(t, server)
			faulty, log := eventlogtest.ConnectFaulty(t, server)
			evs := eventlogtest.ManyReleased(t, c.events)
			faulty.CutAt(c.what, c.inbound)
			if got := eventlogtest.Publish(t, log, evs...); got != uint64(c.events) {
				t.Errorf("last is %d, want %d", got, c.events)
			}
			if !faulty.HasCut() {
				t.Error("the connection was not cut")
			}
			if diff := cmp.Diff(once(evs), ids(t, checked)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The server restarts repeatedly while four publishers work.
func TestPublishOverRestarts(t *testing.T) {
	server := natstest.Start(t)
	log := eventlogtest.On(t, server)
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[uuid.UUID]int{}
	progress := make(chan struct{}, 1)
	for i := range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				evs := eventlogtest.ManyReleased(t, 1+i*7)
				if _, err := log.Publish(t.Context(), evs...); err != nil {
					t.Errorf("publishing: %v", err)
					return
				}
				mu.Lock()
				maps.Copy(acknowledged, once(evs))
				mu.Unlock()
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 3 {
		for range 10 {
			<-progress
		}
		if err := server.Restart(eventlogtest.Within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	group.Wait()
	if diff := cmp.Diff(acknowledged, ids(t, log)); diff != "" {
		t.Error(diff)
	}
}

// The server's list of recent ids survives a restart.
func TestRepeatsAreDroppedAfterARestart(t *testing.T) {
	server := natstest.Start(t)
	log := eventlogtest.On(t, server)
	evs := eventlogtest.ManyReleased(t, 20)
	eventlogtest.Publish(t, log, evs...)
	if err := server.Restart(eventlogtest.Within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := eventlogtest.Publish(t, log, evs...); got != 20 {
		t.Errorf("last is %d", got)
	}
	if s := eventlogtest.StateOf(t, log); s.Msgs != 20 {
		t.Errorf("%d events on the record", s.Msgs)
	}
}

func TestPublishGivesUp(t *testing.T) {
	server := natstest.Start(t)
	log := eventlogtest.Unchecked(t, server)
	if err := server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	_, err := log.Publish(eventlogtest.Within(t, 100*time.Millisecond), eventlogtest.ManyReleased(t, 3)...)
	if !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// On a nearly full disk the server refuses, and Publish returns at once. With free
// space again, the server accepts the same events.
func TestPublishOnAFullDisk(t *testing.T) {
	var free atomic.Int64
	free.Store(4 << 30)
	server := natstest.Start(t, func(c *embedded.NATSConfig) {
		c.Free = func(string) (int64, error) { return free.Load(), nil }
	})
	log := eventlogtest.On(t, server)
	eventlogtest.Publish(t, log, eventlogtest.Released(t)) // an empty stream exceeds no limit
	for _, evs := range [][]events.Event{eventlogtest.ManyReleased(t, 1), eventlogtest.ManyReleased(t, 3)} {
		free.Store(0)
		if err := server.Restart(eventlogtest.Within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		ctx := eventlogtest.Within(t, 15*time.Second) // less than publishTimeout
		if _, err := log.Publish(ctx, evs...); !errors.Is(err, eventlog.ErrUnavailable) || ctx.Err() != nil {
			t.Errorf("%d events: %v, %v", len(evs), err, ctx.Err())
		}
		free.Store(4 << 30)
		if err := server.Restart(eventlogtest.Within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		eventlogtest.Publish(t, log, evs...)
	}
	if s := eventlogtest.StateOf(t, log); s.Msgs != 5 {
		t.Errorf("%d events on the record", s.Msgs)
	}
}
