package parked_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/compose/composetest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/facts"
	"postern/internal/eventlog/parked"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/health"
	"postern/internal/limits"
	"postern/internal/recorder/rebuild"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// bench is a worker whose handler the test decides about.
type bench struct {
	*composetest.System
	parked *parked.Events
	worker *pgxpool.Pool
	lane   consume.Lane

	mu      sync.Mutex
	fails   error
	handled int
}

// newBench starts a worker that parks an event after one failed try.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{System: composetest.New(t), fails: errors.New("the disk is read-only")}
	b.parked = parked.New(parked.Config{Pool: b.Pool, Get: b.Log.Get, Facts: facts.Publisher{Source: "/api", Send: b.Publish, Clock: b.Clock.Now}})
	// The handler needs the only connection of its worker: no transaction is open, and no row
	// locked, while it runs.
	var err error
	if b.worker, err = store.Open(t.Context(), b.URL, store.RoleFanout, 1, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.worker.Close)
	b.lane = consume.Lane{Consumer: eventlog.FanoutDirect, Handle: func(ctx context.Context, _ events.Event, _ uint64) error {
		ctx, cancel := context.WithTimeout(ctx, giveup.After)
		defer cancel()
		if err := b.worker.Ping(ctx); err != nil {
			return fmt.Errorf("the handler got no connection: %s", err) // %s, not %w: not a transient error
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.handled++
		return b.fails
	}}
	parking := parked.In(b.worker)
	parking.MaxTries = 1
	lane := b.lane // a test may replace b.lane, for retries only
	b.run(t, func(ctx context.Context) error { return consume.Run(ctx, b.Log, parking, lane) })
	return b
}

func (b *bench) run(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := part(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
}

func (b *bench) retrying(t *testing.T) {
	t.Helper()
	b.run(t, func(ctx context.Context) error {
		return parked.Retry(ctx, b.Log, b.worker, slog.New(slog.DiscardHandler), b.lane)
	})
}

func (b *bench) failWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails = err
}

func (b *bench) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.handled
}

// park records an event and waits until it is parked.
func (b *bench) park(t *testing.T) parked.Event {
	t.Helper()
	b.Record(t, "process:test", events.MessageReleased{MessageID: uuid.New()})
	seq := b.Settle(t)
	var found parked.Event
	b.until(t, "it is parked", func() bool {
		all, err := b.parked.List(t.Context(), parked.Query{Consumer: eventlog.FanoutDirect, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > 0 {
			found = all[0]
		}
		return found.Seq == seq
	})
	return found
}

// until asks again and again, as a reader of a page does.
func (b *bench) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

func (b *bench) state(t *testing.T, id uuid.UUID) (string, int) {
	t.Helper()
	e, err := b.parked.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return e.State, e.Tries
}

// is waits until the recorder has caught up, and checks the event's state.
func (b *bench) is(t *testing.T, id uuid.UUID, want string) {
	t.Helper()
	b.Settle(t)
	if got, _ := b.state(t, id); got != want {
		t.Fatalf("it is %s, want %s", got, want)
	}
}

// The life of a parked event: it waits for a decision; a hundred concurrent requests retry
// it once; it fails and is parked again; the fault is fixed, and a retry handles it. The
// record holds each decision, and a rebuild gives the same tables.
func TestAParkedEventIsRetried(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.park(t)
	want := parked.Event{State: parked.Open, Consumer: eventlog.FanoutDirect, Type: "message.released", Tries: 1, Reason: "the disk is read-only",
		ID: e.ID, Seq: e.Seq, EventID: e.EventID, MessageID: e.MessageID, ParkedAt: e.ParkedAt}
	if diff := cmp.Diff(want, e); diff != "" || e.MessageID == nil || e.EventID == nil {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if stored, err := b.parked.Stored(t.Context(), e); err != nil || string(stored.Data) != `{"message_id":"`+e.MessageID.String()+`"}` {
		t.Errorf("the event in full is %s, %v", stored.Data, err)
	}

	before := b.Settle(t)
	var hands sync.WaitGroup
	for range 100 {
		hands.Go(func() {
			if _, err := b.parked.Retry(t.Context(), "operator:o", e.ID, ""); err != nil {
				t.Error(err)
			}
		})
	}
	hands.Wait()
	b.is(t, e.ID, parked.Retrying)
	if after := b.Settle(t); after != before+1 {
		t.Errorf("a hundred requests recorded %d events", after-before)
	}
	if _, err := b.parked.Discard(t.Context(), "operator:o", e.ID, "no"); !errors.Is(err, parked.ErrSettled) {
		t.Errorf("an event that is being retried could be discarded: %v", err)
	}
	b.retrying(t)
	b.until(t, "it is parked again", func() bool { s, n := b.state(t, e.ID); return s == parked.Open && n == 2 })
	if n := b.count(); n != 2 {
		t.Errorf("it was handled %d times, want 2", n)
	}

	b.failWith(nil)
	if _, err := b.parked.Retry(t.Context(), "operator:o", e.ID, "the disk was changed"); err != nil {
		t.Fatal(err)
	}
	b.until(t, "it is handled", func() bool { s, _ := b.state(t, e.ID); return s == parked.Handled })
	if open, err := b.parked.List(t.Context(), parked.Query{Limit: 10, Consumer: eventlog.FanoutDirect}); err != nil || len(open) != 0 {
		t.Errorf("%d still wait, %v", len(open), err)
	}
	if _, err := b.parked.Retry(t.Context(), "operator:o", e.ID, ""); !errors.Is(err, parked.ErrSettled) {
		t.Errorf("a handled event could be retried: %v", err)
	}
	b.same(t)
}

// same checks that a rebuild from the record gives the same tables.
func (b *bench) same(t *testing.T) {
	t.Helper()
	b.Settle(t)
	compared, err := (&rebuild.Rebuild{Log: b.Log, Pool: b.Admin}).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range compared {
		if !c.Same() {
			t.Errorf("a rebuild gives another %s", c.Table)
		}
	}
}

// An event whose handler panics is parked with the stack, each time.
func TestAPanicHasItsStack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inner := b.lane.Handle
	b.lane.Handle = func(ctx context.Context, e events.Event, seq uint64) error {
		_ = inner(ctx, e, seq)
		panic("a bug")
	}
	e := b.park(t)
	if _, err := b.parked.Retry(t.Context(), "operator:o", e.ID, ""); err != nil {
		t.Fatal(err)
	}
	b.retrying(t)
	b.until(t, "it is parked again", func() bool { _, n := b.state(t, e.ID); return n == 2 })
	if again, err := b.parked.Find(t.Context(), e.ID); err != nil || again.Reason != "panic: a bug" || again.Stack == "" {
		t.Errorf("the reason is %q, the stack has %d characters, %v", again.Reason, len(again.Stack), err)
	}
}

// All open events of a type are retried at once, without those that the recorder parked.
func TestAllOfATypeAreRetried(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 3 {
		b.park(t)
	}
	b.failWith(nil)
	b.retrying(t)
	if n, _, err := b.parked.RetryAll(t.Context(), "operator:o", "message.sent", ""); err != nil || n != 0 {
		t.Errorf("%d of another type were retried, %v", n, err)
	}
	n, seq, err := b.parked.RetryAll(t.Context(), "operator:o", "message.released", "")
	if err != nil || n != 3 {
		t.Fatalf("%d were retried, %v", n, err)
	}
	b.Await(t, seq)
	b.until(t, "all are handled", func() bool {
		open, err := b.parked.List(t.Context(), parked.Query{Limit: 10, Consumer: eventlog.FanoutDirect})
		return err == nil && len(open) == 0
	})
}

// Discarding needs a reason. Events that the recorder parked can be discarded but not
// retried; the error says what helps.
func TestAParkedEventIsDiscarded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.park(t)
	open, err := b.parked.List(t.Context(), parked.Query{Limit: 10})
	if err != nil || len(open) != 2 { // the recorder knows no such message either
		t.Fatalf("%d are parked, %v", len(open), err)
	}
	for _, e := range open {
		if e.Consumer == events.Recorder {
			if _, err := b.parked.Retry(t.Context(), "operator:o", e.ID, ""); !errors.Is(err, parked.ErrOnlyRebuild) {
				t.Errorf("an event that the recorder parked could be retried: %v", err)
			}
		}
		for _, reason := range []string{"", "  ", string(make([]byte, limits.Reason+1))} {
			if _, err := b.parked.Discard(t.Context(), "operator:o", e.ID, reason); !errors.Is(err, parked.ErrReason) {
				t.Errorf("it was discarded for the reason %.10q: %v", reason, err)
			}
		}
		if _, err := b.parked.Discard(t.Context(), "operator:o", e.ID, "a test"); err != nil {
			t.Fatal(err)
		}
		b.is(t, e.ID, parked.Discarded)
		if _, err := b.parked.Retry(t.Context(), "operator:o", e.ID, ""); !errors.Is(err, parked.ErrSettled) {
			t.Errorf("a discarded event could be retried: %v", err)
		}
	}
	if _, err := b.parked.Retry(t.Context(), "operator:o", uuid.New(), ""); !errors.Is(err, parked.ErrNotFound) {
		t.Errorf("an event that was never parked could be retried: %v", err)
	}
	b.same(t)
}

// Each page of parked events begins where the previous one ended.
func TestPagesOfParkedEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 3 {
		b.park(t)
	}
	var seen []uuid.UUID
	for q := (parked.Query{Limit: 2}); ; q.Before = seen[len(seen)-1] {
		page, err := b.parked.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			seen = append(seen, e.ID)
		}
	}
	different := map[uuid.UUID]bool{}
	for _, id := range seen {
		different[id] = true
	}
	if len(seen) != 6 || len(different) != 6 { // each by the recorder too
		t.Errorf("%d rows, of %d events", len(seen), len(different))
	}
}

// Counting, listing and the operations page agree on which events are open, through the
// whole life of a parked event and after a rebuild that replaces the views' tables.
func TestOpenEventsAreCountedAndListedAlike(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.park(t) // the recorder parks it too: it knows no such message
	open := func(stage string, want map[string]int) {
		t.Helper()
		counted, err := parked.CountOpen(t.Context(), b.Pool)
		if err != nil {
			t.Fatal(err)
		}
		all, err := b.parked.List(t.Context(), parked.Query{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		listed := map[string]int{}
		for _, e := range all {
			listed[e.Consumer]++
			if e.Settled() {
				t.Errorf("%s: an event that is %s is listed as open", stage, e.State)
			}
		}
		status := health.New(health.Config{Pool: b.Pool, Log: b.Log, Now: b.Clock.Now})
		shown, err := status.State(t.Context(), health.PartParked)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, n := range want {
			total += n
		}
		if diff := cmp.Diff([]map[string]int{want, want}, []map[string]int{counted, listed}); diff != "" || shown.Parked != total {
			t.Errorf("%s: Operations shows %d, and counted and listed are (-want +got):\n%s", stage, shown.Parked, diff)
		}
	}
	decide := func(decide func(context.Context, string, uuid.UUID, string) (uint64, error), id uuid.UUID) {
		t.Helper()
		if _, err := decide(t.Context(), "operator:o", id, "a test"); err != nil {
			t.Fatal(err)
		}
		b.Settle(t)
	}
	recorders := func() parked.Event {
		t.Helper()
		all, err := b.parked.List(t.Context(), parked.Query{Consumer: events.Recorder, Limit: 1})
		if err != nil || len(all) != 1 {
			t.Fatalf("the recorder parked %d, %v", len(all), err)
		}
		return all[0]
	}
	both := map[string]int{eventlog.FanoutDirect: 1, events.Recorder: 1}
	open("parked", both)
	decide(b.parked.Retry, e.ID)
	open("to be retried", both)
	b.retrying(t)
	b.until(t, "it is parked again", func() bool { _, n := b.state(t, e.ID); return n == 2 })
	open("failed again", both)
	if _, err := (&rebuild.Rebuild{Log: b.Log, Pool: b.Admin}).Replace(t.Context()); err != nil {
		t.Fatal(err)
	}
	open("rebuilt", both)
	b.failWith(nil)
	decide(b.parked.Retry, e.ID)
	b.until(t, "it is handled", func() bool { s, _ := b.state(t, e.ID); return s == parked.Handled })
	open("handled", map[string]int{events.Recorder: 1})
	decide(b.parked.Discard, recorders().ID)
	open("discarded", map[string]int{})

	// One more event is parked twice: the consumer's row is discarded, and the recorder's is
	// projected, as a rebuild by a version that understands it would do.
	b.failWith(errors.New("the disk is read-only"))
	e = b.park(t)
	open("parked once more", both)
	decide(b.parked.Discard, e.ID)
	open("given up", map[string]int{events.Recorder: 1})
	if _, err := b.Admin.Exec(t.Context(), `UPDATE record.events SET projected = true WHERE seq = $1`, recorders().Seq); err != nil {
		t.Fatal(err)
	}
	open("projected", map[string]int{})
}

// A parked event whose result is recorded is not open, although its worker did not retry
// it: it was handled after the stream was restored, or when a failover was settled.
func TestAnEventWithAResultIsNotOpen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.PortalUser(t, "pu-1")
	message := uuid.New()
	digest := "sha256:" + strings.Repeat("0", 64)
	b.Record(t, "staff:s1", events.MessageSent{MessageID: message, SenderID: "s1", SubjectDigest: digest, BodyDigest: digest, Hold: events.HoldNone,
		Attachments: []events.AttachmentFact{}, StaffBcc: []string{}, ReleaseAt: b.Clock.Now(),
		Recipients: events.Selection{PortalUserIDs: []string{"pu-1"}, Groups: []string{}}})
	open := func(want ...string) {
		t.Helper()
		b.until(t, fmt.Sprintf("%v are open", want), func() bool {
			counted, err := parked.CountOpen(t.Context(), b.Pool)
			if err != nil {
				t.Fatal(err)
			}
			return slices.Equal(slices.Sorted(maps.Keys(counted)), want)
		})
	}
	open(eventlog.FanoutDirect)
	all, err := b.parked.List(t.Context(), parked.Query{Limit: 10})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d are parked, %v", len(all), err)
	}
	b.Deliver(t, message)
	open()
	b.is(t, all[0].ID, parked.Handled)
	if _, err := b.parked.Retry(t.Context(), "operator:o", all[0].ID, ""); !errors.Is(err, parked.ErrSettled) {
		t.Errorf("an event that has its result could be retried: %v", err)
	}
	if _, err := b.parked.Discard(t.Context(), "operator:o", all[0].ID, ""); !errors.Is(err, parked.ErrSettled) {
		t.Errorf("an event that has its result could be discarded: %v", err)
	}

	var seq uint64
	if err := b.Pool.QueryRow(t.Context(), `SELECT seq FROM record.chunks WHERE message_id = $1`, message).Scan(&seq); err != nil {
		t.Fatal(err)
	}
	err = parked.In(b.worker).Park(t.Context(), consume.Parked{Consumer: eventlog.NotifyDirect, Seq: seq, Tries: 1, Reason: "a test",
		Event: events.Event{ID: uuid.New(), Type: events.TypeDeliveriesCreated, MessageID: message}})
	if err != nil {
		t.Fatal(err)
	}
	open(eventlog.NotifyDirect)
	b.Record(t, "process:test", events.AlertOutcome{MessageID: message, Chunks: 1, Attempt: 1, Recipients: 1, State: events.AlertUnknown, Reason: "a failover",
		Exceptions: []events.AlertException{}, Requests: []events.AlertRequest{}})
	open()
	b.same(t)
}
