package operations_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

// An operator sees what does not go on, since when, and what to do, and goes to the page on
// which to do it.
func TestErrandFindStuckWork(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.olga.Get("/operations").Is(http.StatusOK).Says("Nothing is stuck.")
	c.Exec(t, `INSERT INTO app.parked (parked_id, consumer, seq, type, tries, reason, parked_at)
		VALUES ($1, 'fanout', 1, 'message.sent', 5, 'the roster is missing', now() - interval '3 hours')`, uuid.New())
	c.Exec(t, `INSERT INTO record.pauses (message_id, reason, automatic, paused_by, paused_at)
		VALUES ($1, 'SendGrid reports trouble', false, 'operator:test', now() - interval '3 days')`, uuid.Nil)
	c.Exec(t, `INSERT INTO app.alert_work (message_id, chunk, kind, chunks, due_at) VALUES ($1, 0, 'first', 1, now() - interval '1 hour')`, uuid.New()) // the pause holds it: it is not stuck itself
	e := webtest.StaffErrand(t, c.Site, c.NewStaff(t, "Otto Operator", policy.ReplayDeliveries))
	e.Click("Operations")
	e.Sees("Stuck work", "1 parked event", "3 hours, since", "Read why it failed, then retry or discard it.",
		"1 pause that holds alerts back", "3 days, since", "Resume alerting as soon as its reason is gone.")
	e.SeesNot("due and not sent")
	e.Screenshot("operations-stuck")
	e.Accessible()
	e.Click("1 parked event")
	e.Sees("the roster is missing")
	e.Done()
}
