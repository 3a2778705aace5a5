package notify

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/notify/sendgrid"
	"postern/internal/notify/sendgridfake"
)

// A worker keeps the row of a chunk while it works on it, and no longer: another worker takes
// the row soon after this one has died.
func TestAWorkerKeepsARowWhileItWorks(t *testing.T) {
	if retryLease > 2*time.Second {
		t.Errorf("what a dead worker took up waits for %s", retryLease)
	}
	p := newPost(t, sendgridfake.Config{})
	p.fake.Queue(sendgridfake.RateLimit(time.Minute))
	if got := p.run(t); got != nil {
		t.Fatalf("an outcome was published: %v", got)
	}
	p.pass(2 * time.Minute)
	send := p.Send
	calls := 0
	p.Send = func(ctx context.Context, request uuid.UUID, to []sendgrid.Address) sendgrid.Result {
		if calls++; calls == 1 {
			var before, after time.Time
			const due = `SELECT leased_until FROM app.alert_work`
			if err := p.admin.QueryRow(ctx, due).Scan(&before); err != nil {
				t.Error(err)
			}
			p.pass(time.Second)
			for after = before; !after.After(before); { // ended by the test's own deadline
				if err := p.admin.QueryRow(ctx, due).Scan(&after); err != nil {
					t.Error(err)
					break
				}
			}
		}
		return send(ctx, request, to)
	}
	if err := p.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.became(t)["a"]; got != accepted || p.fake.Count() != 4 {
		t.Errorf("a became %q, %d were taken", got, p.fake.Count())
	}
	var waiting int
	if err := p.admin.QueryRow(t.Context(), `SELECT count(*) FROM app.alert_work`).Scan(&waiting); err != nil || waiting != 0 {
		t.Errorf("%d chunks still wait, %v", waiting, err)
	}
}

// All chunks of a message together wait only once for an idle recorder.
func TestARestingRecorderIsWaitedForOnce(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	if _, err := p.admin.Exec(t.Context(), `UPDATE record.messages SET status = 'sending'`); err != nil {
		t.Fatal(err)
	}
	ref := p.ref
	ref.chunks = 2
	if err := p.yieldToRecorder(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	// The recorder has been idle for long by now: later chunks don't wait at all.
	over, cancel := context.WithCancel(t.Context())
	defer cancel()
	if still := p.Position.Idle(); still < stalled {
		t.Fatalf("it went on after %s", still)
	}
	if err := p.yieldToRecorder(over, ref); err != nil {
		t.Error(err)
	}
}

// If many workers look for work at once, one worker takes each row; after the leases have
// ended, one worker takes each row again.
func TestARowIsTakenOnce(t *testing.T) {
	t.Parallel()
	p := newPost(t, sendgridfake.Config{})
	const rows = 40
	if _, err := p.admin.Exec(t.Context(), `INSERT INTO app.alert_work (message_id, chunk, kind, chunks, seq, due_at)
		SELECT $1, n, 'first', $2, 1, $3 FROM generate_series(1, $2) n`, p.ref.message, rows, p.Facts.Now()); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		taken := make([]atomic.Int32, rows+1)
		var workers sync.WaitGroup
		for range 8 {
			workers.Go(func() {
				for {
					row, err := p.takeDue(t.Context(), kindFirst)
					if err != nil {
						t.Error(err)
					}
					if row == nil {
						return
					}
					taken[row.chunk].Add(1)
				}
			})
		}
		workers.Wait()
		for chunk := 1; chunk <= rows; chunk++ {
			if n := taken[chunk].Load(); n != 1 {
				t.Errorf("round %d: row %d was taken %d times", round, chunk, n)
			}
		}
		p.pass(retryLease)
	}
}
