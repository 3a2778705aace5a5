package notify

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
)

// present makes the worker hold its lease until the test ends.
func (p *post) present(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	w := p.Worker
	go func() { defer close(done); _ = w.RunPresence(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	for lives := false; !lives; { // ended by the test's own deadline
		var err error
		if lives, err = p.lives(t.Context(), p.Pool, w.id); err != nil {
			t.Fatal(err)
		}
	}
}

// duringTheCall calls f while the worker waits for SendGrid's first answer.
func (p *post) duringTheCall(f func(other *Worker)) {
	send, first, other := p.Send, true, New(p.Config)
	p.Send = func(ctx context.Context, id uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		if first {
			first = false
			f(other)
		}
		return send(ctx, id, to)
	}
}

// Another worker gets a chunk while the first waits for SendGrid's answer, as when the first
// has lost NATS for a while. It makes no request and declares nothing unknown, because the
// first worker still runs, and it takes the chunk once the answer is stored.
func TestAWorkerThatLivesIsWaitedFor(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	p.present(t)
	var other *Worker
	p.duringTheCall(func(o *Worker) {
		other = o
		if err := other.alertOrDefer(t.Context(), p.ref, 0); err != nil {
			t.Error(err)
		}
		var answers int
		var reason string
		if err := p.admin.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.attempts WHERE answer IS NOT NULL), reason FROM app.alert_work`).
			Scan(&answers, &reason); err != nil || answers != 0 || reason != reasonInHand {
			t.Errorf("%d answers are declared, the chunk waits because %q, %v", answers, reason, err)
		}
	})
	want := map[string]string{"a": accepted, "b": accepted, "c": accepted, "d": skipped, "e": accepted}
	if diff := cmp.Diff(want, p.run(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p.pass(2 * inHandPoll)
	if err := other.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, p.became(t)); diff != "" || p.waiting(t) != 0 || p.fake.Count() != 4 {
		t.Errorf("%d chunks wait, %d alerts were sent (-want +got):\n%s", p.waiting(t), p.fake.Count(), diff)
	}
}

// Other workers don't wait for a worker that has hung for longer than its lease. Its late
// answer replaces unknown.
func TestAWorkerThatHungIsNotWaitedFor(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	p.duringTheCall(func(other *Worker) { // without a lease
		if err := other.alertOrDefer(t.Context(), p.ref, 0); err != nil {
			t.Error(err)
		}
		if got := p.became(t); got["a"] != unknown || got["c"] != accepted {
			t.Errorf("they became %v", got)
		}
		p.exec(t, `UPDATE record.chunks SET alert_state = 'accepted', alert_at = now(), alert_attempt = 1`)
	})
	p.run(t)
	p.pass(time.Minute)
	if err := p.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": accepted, "b": accepted, "c": accepted, "d": skipped, "e": accepted}
	if diff := cmp.Diff(want, p.became(t)); diff != "" || p.fake.Count() != 4 {
		t.Errorf("%d alerts were sent (-want +got):\n%s", p.fake.Count(), diff)
	}
}
