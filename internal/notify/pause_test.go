package notify

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/notify/sendgridfake"
)

func (p *post) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := p.admin.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

const insertPause = `INSERT INTO record.pauses (message_id, reason, automatic, paused_by, paused_at) VALUES ($1, 'r', false, 'staff:o', now())`

// While alerting of all messages or of this one is paused, a chunk waits as a row and sends
// no alert, however often and whichever worker takes it. After a worker has died, the next
// one takes the chunk when the pause ends.
func TestAPausedChunkWaits(t *testing.T) {
	for name, of := range map[string]func(*post) uuid.UUID{
		"all":         func(*post) uuid.UUID { return uuid.Nil },
		"the message": func(p *post) uuid.UUID { return p.ref.message },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPost(t, sendgridfake.Config{})
			p.exec(t, insertPause, of(p))
			if got := p.run(t); got != nil {
				t.Fatalf("an outcome was published: %v", got)
			}
			successor := New(p.Config) // after a crash
			for _, w := range []*Worker{p.Worker, successor, successor} {
				if err := w.retryDue(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(p.fake.Requests()); n != 0 {
				t.Fatalf("SendGrid was called %d times", n)
			}
			var waiting, tries int
			if err := p.admin.QueryRow(t.Context(), `SELECT count(*), max(tries) FROM app.alert_work`).Scan(&waiting, &tries); err != nil || waiting != 1 || tries != 1 {
				t.Errorf("%d chunks wait, after %d tries, %v", waiting, tries, err)
			}
			p.exec(t, `DELETE FROM record.pauses`)
			if err := successor.retryDue(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := p.became(t)["a"]; got != accepted || p.fake.Count() != 4 {
				t.Errorf("a became %q, %d were taken", got, p.fake.Count())
			}
			if err := p.admin.QueryRow(t.Context(), `SELECT count(*) FROM app.alert_work`).Scan(&waiting); err != nil || waiting != 0 {
				t.Errorf("%d chunks still wait, %v", waiting, err)
			}
		})
	}
}

// A pause of another message does not hold this one. With two pauses, the end of one does not
// end the other.
func TestPausesOfOthers(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	p.exec(t, insertPause, uuid.New())
	p.exec(t, insertPause, p.ref.message)
	p.exec(t, insertPause, uuid.Nil)
	p.run(t)
	p.exec(t, `DELETE FROM record.pauses WHERE message_id = $1`, uuid.Nil)
	if err := p.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(p.fake.Requests()); n != 0 {
		t.Fatalf("SendGrid was called %d times while the message was paused", n)
	}
	p.exec(t, `DELETE FROM record.pauses WHERE message_id = $1`, p.ref.message)
	if err := p.retryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.became(t)["a"]; got != accepted {
		t.Errorf("a became %q although only another message is paused", got)
	}
}

// A chunk pauses its message by the share and the number of failures, and only once a
// message.
func TestAlarm(t *testing.T) {
	p := newPost(t, sendgridfake.Config{})
	one := func(state events.AlertState) []events.AlertException { return []events.AlertException{{State: state}} }
	for name, c := range map[string]struct {
		limit, recipients, failed int
		state                     events.AlertState
		apart                     []events.AlertException
		want                      bool
	}{
		"all is well":                 {limit: 20, recipients: 1000, state: events.AlertAccepted},
		"a fifth, not more":           {limit: 20, recipients: 1000, failed: 200, state: events.AlertAccepted},
		"more than a fifth":           {limit: 20, recipients: 1000, failed: 201, state: events.AlertAccepted, want: true},
		"all except one":              {limit: 20, recipients: 100, state: events.AlertFailed, apart: one(events.AlertAccepted), want: true},
		"all of a few":                {limit: 20, recipients: leastFailures - 1, state: events.AlertFailed},
		"all of just enough":          {limit: 20, recipients: leastFailures, state: events.AlertFailed, want: true},
		"all are skipped":             {limit: 20, recipients: 1000, state: events.AlertSkipped},
		"no limit":                    {limit: 0, recipients: 1000, state: events.AlertFailed},
		"any failure, but never just": {limit: 100, recipients: 1000, state: events.AlertFailed},
	} {
		p.FailureLimit = c.limit
		o := events.AlertOutcome{MessageID: uuid.New(), Recipients: c.recipients, State: c.state, Exceptions: c.apart}
		for range c.failed {
			o.Exceptions = append(o.Exceptions, events.AlertException{State: events.AlertFailed})
		}
		got, err := p.alarm(t.Context(), o)
		if err != nil || len(got) > 0 != c.want {
			t.Errorf("%s: %d alarms, %v", name, len(got), err)
		}
		if len(got) == 0 {
			continue
		}
		again, err := p.alarm(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got[0].ID, again[0].ID); diff != "" {
			t.Errorf("%s: another chunk raises another alarm (-first +second):\n%s", name, diff)
		}
		p.exec(t, `INSERT INTO record.events (seq, id, type, actor, projected, leaf, stored) SELECT coalesce(max(seq), 0) + 1, $1, 'x', 'x', true, '', '' FROM record.events`, got[0].ID)
		if after, err := p.alarm(t.Context(), o); err != nil || len(after) != 0 {
			t.Errorf("%s: once resumed it raises %d alarms more, %v", name, len(after), err)
		}
	}
}
