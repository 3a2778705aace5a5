package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
)

// outage takes Postgres away from the worker and gives it back.
type outage struct{ away atomic.Bool }

var errAway = errors.New("Postgres is away")

// over is a pool like the worker's that the outage cuts off.
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

// away has Postgres go away as SendGrid's answer to a request comes, and return once
// the worker has noticed; meanwhile f is called.
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

// Postgres goes away before the answer can be written down. The worker keeps it, lets
// no other goroutine have the chunk, and writes it when Postgres is back: nothing is
// unknown, and no request is made again.
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

// The worker is stopped while Postgres is away: the answer is written all the same, and
// the next worker goes on from there.
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

// A worker that makes a claim again, whose acknowledgement was lost as it was committed,
// finds it; unless its answer was declared unknown meanwhile.
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
	if err := c.settle(t.Context(), p.Pool); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.insert(t.Context(), p.Pool, p.ref); err != nil || ok {
		t.Errorf("a claim that was declared unknown: %v, %v", ok, err)
	}
}

// What Postgres refuses for good is not tried again.
func TestWhatIsRefusedForGoodIsNotTriedAgain(t *testing.T) {
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
