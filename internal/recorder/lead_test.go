package recorder

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/eventlog/outbox"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/position"
	"postern/internal/recorder/project"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// A recorder that hung during a transaction, and continues when another leads, writes
// nothing: no events, no tree, no verdict, and nothing to the record.
func TestAnOvertakenRecorderWritesNothing(t *testing.T) {
	log := eventlogtest.Start(t)
	url := storetest.New(t)
	pool, admin := storetest.Open(t, url, store.RoleRecorder), storetest.Open(t, url, store.RoleAdmin)
	old := leads(t, log, pool)
	if err := old.mustBeWhole(t.Context()); err != nil {
		t.Fatal(err)
	}
	published := recordertest.Facts(t, recordertest.SentTo(uuid.New(), events.HoldNone))
	p, err := project.Prepare(merkle.Stored{Seq: 1, Subject: published[0].Subject(), Header: published[0].Header(), Data: published[0].Data})
	if err != nil {
		t.Fatal(err)
	}
	open, err := old.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := project.Write(t.Context(), open, 0, []*project.Prepared{p}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), `UPDATE app.leases SET expires_at = clock_timestamp() - interval '1 ms'`); err != nil {
		t.Fatal(err)
	}

	next := leads(t, log, pool)
	watcher := position.NewWatcher(pool, nil)
	if err := watcher.Intact(t.Context()); !errors.Is(err, position.ErrUnchecked) {
		t.Errorf("the verdict of the previous leader counts: %v", err)
	}
	if err := project.Write(t.Context(), next, 0, []*project.Prepared{p}); err != nil {
		t.Fatalf("the next can't write: %v", err)
	}
	if err := open.Commit(t.Context()); err == nil {
		t.Error("the open transaction was committed")
	}
	// Over another connection, as its pool would give it.
	old.conn = recordertest.Connect(t, pool)
	if err := project.Write(t.Context(), old, 0, []*project.Prepared{p}); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("writing again returns %v", err)
	}
	if err := old.mustBeWhole(t.Context()); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("writing a verdict returns %v", err)
	}
	tx, err := admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := outbox.Store(t.Context(), tx, published[0]); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := old.relayOutbox(t.Context()); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("relaying the outbox returns %v", err)
	}
	state, err := log.State(t.Context())
	if err != nil || state.Last != 0 {
		t.Errorf("%d events are on the record, %v", state.Last, err)
	}
	var recorded int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM record.events`).Scan(&recorded); err != nil || recorded != 1 {
		t.Errorf("%d events are recorded, %v", recorded, err)
	}
}

// cable is the connection of one process to NATS, which can be cut.
type cable struct {
	server *embedded.NATS

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func (c *cable) InProcessConn() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, net.ErrClosed
	}
	conn, err := c.server.InProcessConn()
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// A recorder that has lost NATS, but not Postgres, gives up the lead to one that has both.
func TestARecorderWithoutNATSDoesNotLead(t *testing.T) {
	server := natstest.Start(t)
	log := eventlogtest.On(t, server)
	url := storetest.New(t)
	line := &cable{server: server}
	first := start(t, eventlog.New(natstest.Connect(t, server, "first", nats.InProcessServer(line)), nil), url)
	first.Says(t, recordertest.Facts(t, recordertest.SentTo(uuid.New(), events.HoldNone))...)
	second := start(t, log, url)
	line.cut()
	second.Says(t, recordertest.Facts(t, recordertest.SentTo(uuid.New(), events.HoldNone))...)
}

// A leader makes no progress while its writer hangs, unless the writer waits for Postgres.
func TestALeaderMakesProgressWithItsWriter(t *testing.T) {
	conn := natstest.Connect(t, natstest.Start(t), "test")
	l := &leading{Recorder: New(Config{Log: eventlog.New(conn, nil)})}
	l.turns.Add(1)
	for i, want := range []bool{true, false} {
		if got := l.makesProgress(); got != want {
			t.Errorf("asked for time %d: %v", i+1, got)
		}
	}
	l.waiting.Store(true)
	if !l.makesProgress() {
		t.Error("it waits for Postgres, but counts as hanging")
	}
	conn.Close()
	if l.makesProgress() {
		t.Error("it has no NATS, but counts as making progress")
	}
}

// Postgres restored from older files lacks claims of requests that the record names. A crash
// loses only the position.
func TestClaimsThatWereLostAreNoticedBeforeThePositionMoves(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"a crash": false, "older files restored": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, url := eventlogtest.Start(t), storetest.New(t)
			message, request := uuid.New(), uuid.New()
			outcome := recordertest.OutcomeOf(message, 0, 1, events.AlertAccepted)
			outcome.Requests = []events.AlertRequest{{RequestID: request, Recipients: 1}}
			recorder := start(t, log, url)
			recorder.Says(t, recordertest.Facts(t, recordertest.SentTo(message, events.HoldNone), recordertest.Chunk(message, 0, 1), outcome)...)
			recorder.Stop()
			admin := storetest.Open(t, url, store.RoleAdmin)
			if !lost {
				if _, err := admin.Exec(t.Context(), `INSERT INTO app.attempts (message_id, chunk, attempt, request, request_id, claimed_by, recipients)
					VALUES ($1, 0, 1, 0, $2, gen_random_uuid(), '\x01')`, message, request); err != nil {
					t.Fatal(err)
				}
			}
			settled := func() (settled bool) {
				t.Helper()
				if err := admin.QueryRow(t.Context(), `SELECT settled_at IS NOT NULL FROM app.timelines WHERE timeline = app.timeline()`).Scan(&settled); err != nil {
					t.Fatal(err)
				}
				return settled
			}
			l := leads(t, log, storetest.Open(t, url, store.RoleRecorder))
			if err := l.noticeLostClaims(t.Context(), 0); err != nil || !settled() {
				t.Errorf("nothing was acknowledged, and settled is %v, %v", settled(), err)
			}
			acknowledge(t, log)
			if err := l.noticeLostClaims(t.Context(), 3); err != nil || !settled() {
				t.Errorf("the position is where it was, and settled is %v, %v", settled(), err)
			}
			if err := l.noticeLostClaims(t.Context(), 0); err != nil || settled() == lost {
				t.Errorf("settled is %v, %v", settled(), err)
			}
		})
	}
}

// acknowledge acknowledges the recorded deliveries, as notify workers do.
func acknowledge(t *testing.T, log *eventlog.Log) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), giveup.After)
	defer stop()
	var lanes []consume.Lane
	for _, name := range []string{eventlog.NotifyBulk, eventlog.NotifyDirect} {
		lanes = append(lanes, consume.Lane{Consumer: name, Handle: func(context.Context, events.Event, uint64) error { return nil }})
	}
	done := make(chan error, 1)
	go func() { done <- consume.Run(ctx, log, consume.Parking{}, lanes...) }()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		acked, err := log.Acked(ctx, eventlog.NotifyBulk, eventlog.NotifyDirect)
		if err != nil {
			t.Fatal(err)
		}
		if acked > 0 {
			break
		}
		<-poll.C
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
