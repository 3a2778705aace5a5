package notify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
)

// outage makes Postgres unavailable to the worker, and available again.
type outage struct{ away atomic.Bool }

var errAway = errors.New("connecting: the database is away")

// over makes a pool like the worker's, whose connections the outage cuts.
func (o *outage) over(t *testing.T, pool *pgxpool.Pool) *pgxpool.Pool {
	t.Helper()
	config := pool.Config()
	config.PrepareConn = func(context.Context, *pgx.Conn) (bool, error) {
		if o.away.Load() {
			return false, errAway
		}
		return true, nil
	}
	cut, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cut.Close)
	return cut
}

// onWarning is a log that calls f at the first warning.
type onWarning struct {
	slog.Handler
	once *sync.Once
	f    func()
}

func (h onWarning) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		h.once.Do(h.f)
	}
	return nil
}
func (h onWarning) Enabled(context.Context, slog.Level) bool { return true }

// away makes Postgres unavailable when SendGrid's first answer comes. Once the worker has
// noticed, it calls f and makes Postgres available again.
func (p *post) away(t *testing.T, f func()) {
	o := &outage{}
	p.Pool = o.over(t, p.Pool)
	send, first := p.Send, sync.Once{}
	p.Send = func(ctx context.Context, id uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		defer first.Do(func() { o.away.Store(true) })
		return send(ctx, id, to)
	}
	p.Logger = slog.New(onWarning{slog.DiscardHandler, &sync.Once{}, func() { f(); o.away.Store(false) }})
}

// Postgres becomes unavailable before the answer can be stored. The worker keeps the answer,
// lets no other goroutine take the chunk, and stores the answer when Postgres is back: no
// recipient is unknown, and no request is made again.
func TestAnAnswerIsKeptWhilePostgresIsAway(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	p.away(t, func() {
		if p.take(p.ref) {
			t.Error("another goroutine may have the chunk")
		}
	})
	want := map[string]string{"a": accepted, "b": accepted, "c": accepted, "d": skipped, "e": accepted}
	if diff := cmp.Diff(want, p.run(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := p.fake.Count(); n != 4 {
		t.Errorf("%d alerts were sent", n)
	}
}

// The worker is stopped while Postgres is unavailable: the answer is stored all the same, and
// the next worker continues from there.
func TestAnAnswerIsKeptThroughAStop(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	ctx, stop := context.WithCancel(t.Context())
	p.away(t, stop)
	if err := p.alertOrDefer(ctx, p.ref, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("it was stopped and says %v", err)
	}
	p.Worker = New(p.Config)
	want := map[string]string{"a": accepted, "b": accepted, "c": accepted, "d": skipped, "e": accepted}
	if diff := cmp.Diff(want, p.run(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A worker whose claim was committed without an acknowledgement finds it when it claims
// again, unless the answer was declared unknown since.
func TestAClaimIsFoundAgain(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	c := claim{id: uuid.New(), claimedBy: uuid.New(), positions: []int{0}}
	for range 2 {
		if ok, err := c.insert(t.Context(), p.Pool, p.ref); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	other := claim{id: uuid.New(), claimedBy: uuid.New(), positions: []int{0}}
	if ok, err := other.insert(t.Context(), p.Pool, p.ref); err != nil || ok {
		t.Errorf("another claim of the same number: %v, %v", ok, err)
	}
	c.answer = answerUnknown
	if _, _, err := c.settle(t.Context(), p.Pool, p.ref); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.insert(t.Context(), p.Pool, p.ref); err != nil || ok {
		t.Errorf("a claim that was declared unknown: %v, %v", ok, err)
	}
}

// A statement that Postgres refuses permanently is not retried.
func TestAPermanentErrorIsNotRetried(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	tries := 0
	err := p.keep(t.Context(), func(context.Context) error {
		tries++
		return &pgconn.PgError{Code: "23514"}
	})
	if err == nil || tries != 1 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

// An answer comes after another worker has declared it unknown and has published that, for
// one recipient among others. Whether or not the process with the answer still runs, the
// outcome is published again, as another event, and no request is made.
func TestALateAnswerReachesTheRecord(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	slow := claim{id: uuid.New(), claimedBy: uuid.New(), positions: []int{0}}
	if ok, err := slow.insert(t.Context(), p.Pool, p.ref); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if got := p.run(t); got["a"] != unknown || got["e"] != accepted {
		t.Fatalf("they became %v", got)
	}
	slow.answer, slow.sendgridID = answerAccepted, "sg1"
	for _, late := range []bool{true, false} { // the second time it is known
		if got, lost, err := slow.settle(t.Context(), p.Pool, p.ref); err != nil || got != late || lost {
			t.Fatalf("late: %v, lost: %v, %v", got, lost, err)
		}
	}
	p.exec(t, `UPDATE record.chunks SET alert_state = 'accepted', alert_at = now(), alert_attempt = 1`)
	p.exec(t, insertPause, p.ref.message) // holds no fact back
	p.pass(time.Minute)
	if err := p.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": accepted, "b": accepted, "c": accepted, "d": skipped, "e": accepted}
	if diff := cmp.Diff(want, p.became(t)); diff != "" || len(p.outcomes) != 2 {
		t.Errorf("%d outcomes (-want +got):\n%s", len(p.outcomes), diff)
	}
	if slices.Equal(p.outcomes[0].Key(), p.outcomes[1].Key()) {
		t.Error("both outcomes are the same fact")
	}
	var waiting int
	if err := p.admin.QueryRow(t.Context(), `SELECT count(*) FROM app.alert_work`).Scan(&waiting); err != nil || waiting != 0 || p.fake.Count() != 3 {
		t.Errorf("%d chunks wait, %d alerts were sent, %v", waiting, p.fake.Count(), err)
	}
}

// An answer comes late while the rest of the chunk waits for SendGrid as a row: the row is
// still taken, and all recipients are alerted.
func TestALateAnswerDoesNotStrandAChunkThatWaits(t *testing.T) {
	for name, paused := range map[string]bool{"it waits": false, "it is paused as well": true} {
		t.Run(name, func(t *testing.T) {
			p := newPost(t, sendgridfake.Config{})
			slow := claim{id: uuid.New(), claimedBy: uuid.New(), positions: []int{0}}
			if ok, err := slow.insert(t.Context(), p.Pool, p.ref); err != nil || !ok {
				t.Fatal(ok, err)
			}
			p.fake.Queue(sendgridfake.RateLimit(time.Minute))
			if got := p.run(t); got != nil {
				t.Fatalf("they became %v", got)
			}
			slow.answer = answerAccepted
			if late, _, err := slow.settle(t.Context(), p.Pool, p.ref); err != nil || !late {
				t.Fatal(late, err)
			}
			p.pass(2 * time.Minute)
			if paused {
				p.exec(t, insertPause, p.ref.message)
				if err := p.retryDue(t.Context()); err != nil || p.fake.Count() != 0 {
					t.Fatalf("%d alerts went out, %v", p.fake.Count(), err)
				}
				p.exec(t, `DELETE FROM record.pauses`)
			}
			if err := p.retryDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"a": accepted, "b": accepted, "c": accepted, "d": skipped, "e": accepted}
			if diff := cmp.Diff(want, p.became(t)); diff != "" || p.fake.Count() != 3 {
				t.Errorf("%d alerts went out (-want +got):\n%s", p.fake.Count(), diff)
			}
			if n := p.waiting(t); n != 0 {
				t.Errorf("%d chunks wait", n)
			}
		})
	}
}

func (p *post) waiting(t *testing.T) (n int) {
	t.Helper()
	if err := p.admin.QueryRow(t.Context(), `SELECT count(*) FROM app.alert_work`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A second answer comes late while the outcome is published again for a first one: the
// outcome is then published once more.
func TestTwoLateAnswersReachTheRecord(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	var slow [2]claim
	for i, at := range []int{0, 4} {
		slow[i] = claim{request: i, id: uuid.New(), claimedBy: uuid.New(), positions: []int{at}}
		if ok, err := slow[i].insert(t.Context(), p.Pool, p.ref); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	if got := p.run(t); got["a"] != unknown || got["e"] != unknown {
		t.Fatalf("they became %v", got)
	}
	p.exec(t, `UPDATE record.chunks SET alert_state = 'accepted', alert_at = now(), alert_attempt = 1`)
	settle := func(c claim) {
		c.answer = answerAccepted
		if late, _, err := c.settle(t.Context(), p.Pool, p.ref); err != nil || !late {
			t.Fatal(late, err)
		}
	}
	settle(slow[0])
	publish, first := p.Facts.Send, true
	p.Facts.Send = func(ctx context.Context, all ...events.Event) (uint64, error) {
		if first {
			first = false
			settle(slow[1])
		}
		return publish(ctx, all...)
	}
	p.pass(time.Minute)
	for range 2 {
		if err := p.retryDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.pass(time.Minute)
	}
	if got := p.became(t); got["a"] != accepted || got["e"] != accepted || p.waiting(t) != 0 {
		t.Errorf("they became %v, %d chunks wait", got, p.waiting(t))
	}
}
