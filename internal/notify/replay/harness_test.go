package replay_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/notify"
	"postern/internal/notify/replay"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder"
	"postern/internal/recorder/position"
	"postern/internal/recorder/rebuild"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	someone = "staff:s1"
	full    = "mailbox full"
)

// clinic is a record with a running recorder and a SendGrid that refuses chosen addresses.
type clinic struct {
	testing.TB
	*replay.Replays
	log     *eventlog.Log
	url     string
	admin   *pgxpool.Pool
	watcher *position.Watcher
	fake    *sendgridfake.Fake
	sends   *sendgrid.Client

	mu      sync.Mutex
	refused map[string]bool // addresses
	ahead   time.Duration   // of the clocks of those who work
	stopped time.Time       // when they were stopped; zero: they go
}

func newClinic(t testing.TB) *clinic {
	t.Helper()
	c := &clinic{TB: t, log: eventlogtest.Start(t), url: storetest.New(t), refused: map[string]bool{}}
	c.admin = storetest.Open(t, c.url, store.RoleAdmin)
	c.fake = sendgridfake.New(sendgridfake.Config{Refuse: func(address string) string {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.refused[address] {
			return full
		}
		return ""
	}})
	server := httptest.NewServer(c.fake)
	t.Cleanup(func() { c.fake.Close(); server.Close() })
	var err error
	c.sends, err = sendgrid.New(sendgrid.Config{BaseURL: server.URL, APIKey: "SG.test", From: "alerts@clinic.example.test",
		PublicURL: "https://portal.example.test", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.sends.Close)
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	t.Cleanup(func() { cancel(); working.Wait() })
	recorder := recorder.New(recorder.Config{Log: c.log, Pool: storetest.Open(t, c.url, store.RoleRecorder)})
	pool := storetest.Open(t, c.url, store.RoleAPI)
	c.watcher = position.NewWatcher(pool, nil)
	working.Go(func() { _ = recorder.Run(ctx) })
	working.Go(func() { _ = c.watcher.Run(ctx) })
	c.Replays = c.replaysOf(pool)
	return c
}

// replaysOf makes the Replays of one process.
func (c *clinic) replaysOf(pool *pgxpool.Pool) *replay.Replays {
	return replay.New(replay.Config{Pool: pool, Facts: facts.Publisher{Source: "/api", Send: c.log.Publish, Reached: c.watcher.Wait, Clock: c.now}})
}

func (c *clinic) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() {
		return c.stopped.Add(c.ahead)
	}
	return time.Now().Add(c.ahead)
}

func (c *clinic) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// refuse makes SendGrid refuse the addresses of portal users, and accept the others.
func (c *clinic) refuse(ids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.refused)
	for _, id := range ids {
		c.refused[id+"@x.test"] = true
	}
}

// worker is a notify worker of its own. It has one connection: where it needed a second one
// while it holds a lock, it would never finish.
func (c *clinic) worker() *notify.Worker {
	c.Helper()
	pool, err := store.Open(c.Context(), c.url, store.RoleNotify, 1, nil)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(pool.Close)
	return notify.New(notify.Config{Pool: pool, Position: c.watcher,
		Facts: facts.Publisher{Send: c.log.Publish, Clock: c.now}, Send: c.sends.Send})
}

// runs lets workers carry out running replays until f returns true.
func (c *clinic) runs(workers int, f func() bool) {
	c.Helper()
	ctx, cancel := context.WithCancel(c.Context())
	var working sync.WaitGroup
	for range workers {
		w := c.worker()
		working.Go(func() { _ = w.RunReplays(ctx) })
	}
	defer working.Wait()
	defer cancel()
	c.until(f)
}

// until waits until the recorder has reached a state.
func (c *clinic) until(f func() bool) {
	c.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); {
		if time.Now().After(deadline) {
			c.Fatal("it does not come to it")
		}
		changed := c.watcher.Changed()
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// finish starts a plan and lets workers carry it out.
func (c *clinic) finish(id uuid.UUID, rate int) replay.Replay {
	c.Helper()
	if _, err := c.Start(c.Context(), someone, id, rate); err != nil {
		c.Fatal(err)
	}
	c.runs(2, func() bool { return c.get(id).Status == replay.Completed })
	return c.get(id)
}

func (c *clinic) get(id uuid.UUID) replay.Replay {
	c.Helper()
	r, err := c.Get(c.Context(), id)
	if err != nil {
		c.Fatal(err)
	}
	return r
}

func (c *clinic) plan(f replay.Filter) replay.Replay {
	c.Helper()
	r, err := c.Plan(c.Context(), someone, f, "their provider was down")
	if err != nil {
		c.Fatal(err)
	}
	return r
}

func (c *clinic) says(bodies ...events.Body) uint64 {
	c.Helper()
	evs := make([]events.Event, len(bodies))
	for i, body := range bodies {
		var err error
		if evs[i], err = events.New("/test", "process:test", c.now(), body); err != nil {
			c.Fatal(err)
		}
		if d, ok := body.(events.DeliveriesCreated); ok {
			evs[i].Chunk = &events.ChunkRef{Index: d.Chunk, Of: 1}
		}
	}
	seq, err := c.log.Publish(c.Context(), evs...)
	if err != nil {
		c.Fatal(err)
	}
	if err := c.watcher.Wait(c.Context(), seq); err != nil {
		c.Fatal(err)
	}
	return seq
}

// users makes portal users u0, u1, … and gives their ids.
func (c *clinic) users(n int) []string {
	c.Helper()
	_, err := c.admin.Exec(c.Context(), `INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE
		SELECT n + 1, 'u' || n, 'U', 'u' || n || '@x.test', true FROM generate_series(0, $1 - 1) n`, n)
	if err != nil {
		c.Fatal(err)
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("u%d", i)
	}
	return ids
}

// send delivers a message to the first n portal users and alerts them.
func (c *clinic) send(n int) uuid.UUID {
	c.Helper()
	id := uuid.Must(uuid.NewV7())
	digest := "sha256:" + strings.Repeat("0", 64)
	d := events.DeliveriesCreated{MessageID: id}
	for i := range n {
		d.Recipients = append(d.Recipients, events.Recipient{PortalUserID: fmt.Sprintf("u%d", i), PortalUserNo: int32(i + 1), Links: []events.Link{}}) // #nosec G115 -- few
	}
	seq := c.says(events.MessageSent{MessageID: id, SenderID: "s1", SubjectDigest: digest, BodyDigest: digest, Attachments: []events.AttachmentFact{},
		StaffBcc: []string{}, Hold: events.HoldNone, ReleaseAt: c.now(), Recipients: events.Selection{PortalUserIDs: []string{}, Groups: []string{"all_portal_users"}}},
		d, events.FanoutCompleted{MessageID: id, Deliveries: n, Chunks: 1})
	e, err := events.New("/test", "process:test", c.now(), d)
	if err != nil {
		c.Fatal(err)
	}
	e.Chunk = &events.ChunkRef{Index: 0, Of: 1}
	if err := c.worker().Handle(c.Context(), e, seq); err != nil {
		c.Fatal(err)
	}
	c.until(func() bool {
		var settled bool
		err := c.admin.QueryRow(c.Context(), `SELECT alert_state <> 'pending' FROM record.chunks WHERE message_id = $1`, id).Scan(&settled)
		return err == nil && settled
	})
	return id
}

// stands returns the recorded state and attempts of each alert of a message.
func (c *clinic) stands(message uuid.UUID) map[string]string {
	c.Helper()
	rows, err := c.admin.Query(c.Context(), `SELECT u.portal_user_id, d.alert_state || ' ' || d.alert_attempts
		FROM record.delivery_status d JOIN app.portal_users u USING (portal_user_no) WHERE d.message_id = $1`, message)
	if err != nil {
		c.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var id, state string
		if err := rows.Scan(&id, &state); err != nil {
			c.Fatal(err)
		}
		all[id] = state
	}
	return all
}

func (c *clinic) standsAs(message uuid.UUID, want map[string]string) {
	c.Helper()
	if diff := cmp.Diff(want, c.stands(message)); diff != "" {
		c.Errorf("(-want +got):\n%s", diff)
	}
}

// mailed returns how often SendGrid accepted an alert for each portal user.
func (c *clinic) mailed() map[string]int {
	all := map[string]int{}
	for address, n := range c.fake.Counts() {
		all[strings.TrimSuffix(address, "@x.test")] = n
	}
	return all
}

// whole checks that a rebuild from the record gives the same tables.
func (c *clinic) whole() {
	c.Helper()
	compared, err := (&rebuild.Rebuild{Log: c.log, Pool: c.admin}).Check(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	for _, one := range compared {
		if !one.Same() {
			c.Errorf("a rebuild gives another table %s", one.Table)
		}
	}
	var parked int
	if err := c.admin.QueryRow(c.Context(), `SELECT count(*) FROM app.parked`).Scan(&parked); err != nil || parked > 0 {
		c.Errorf("%d events are parked, %v", parked, err)
	}
}
