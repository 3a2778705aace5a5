package operations_test

import (
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/health"
	"postern/internal/web/webtest"
)

// Every delivery, alert and opening is counted once in each span, at its time, and a wait is that
// of the deliveries, not of the chunks.
func TestSeries(t *testing.T) {
	t.Parallel()
	c := openRefusing(t, "bad")
	c.people(t, "good", 4)
	c.people(t, "bad", 1)
	id := c.blast(t)
	c.until(t, "alerts", 5, settledAlerts, id)
	now := time.Now()
	c.Exec(t, `INSERT INTO record.opens (message_id, portal_user_no, opened_at)
		SELECT $1, portal_user_no, $2::timestamptz - interval '2 hours' FROM app.portal_users ORDER BY portal_user_no LIMIT 2`, id, now)
	// Two hours ago: 10 readable after 2 s, and 90 after a minute.
	c.Exec(t, `INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at)
		SELECT $1, 100 + n, 1000000 + n, 1, 1, CASE n WHEN 0 THEN 10 ELSE 90 END, m.sent_at - interval '2 hours' FROM generate_series(0, 1) n, record.messages m WHERE message_id = $1`, id)
	c.Exec(t, `UPDATE record.messages SET released_at = sent_at - interval '2 hours 2 seconds' WHERE message_id = $1`, id)
	c.Exec(t, `UPDATE record.chunks SET delivered_at = delivered_at + interval '58 seconds' WHERE message_id = $1 AND chunk = 101`, id)
	for span, want := range map[health.Span]health.Bar{
		health.SpanHour: {Delivered: 5, Accepted: 4, Failed: 1},
		health.SpanDay:  {Delivered: 105, Accepted: 4, Failed: 1, Opened: 2},
		health.SpanWeek: {Delivered: 105, Accepted: 4, Failed: 1, Opened: 2},
	} {
		bars, err := c.Web.Health.Series(t.Context(), span)
		if err != nil {
			t.Fatal(err)
		}
		var sum health.Bar
		for i, b := range bars {
			if i > 0 && !b.From.Equal(bars[i-1].To) {
				t.Errorf("%s: %v follows %v", span, b.From, bars[i-1].To)
			}
			sum.Delivered, sum.Accepted, sum.Failed, sum.Opened = sum.Delivered+b.Delivered, sum.Accepted+b.Accepted, sum.Failed+b.Failed, sum.Opened+b.Opened
			if w := b.Readable; span == health.SpanDay && b.Delivered >= 90 && (*w.Median != 60 || *w.P95 != 60) {
				t.Errorf("half waited %v s, 95%% %v s", *w.Median, *w.P95)
			}
		}
		if sum != want {
			t.Errorf("%s: %+v, want %+v", span, sum, want)
		}
	}
}

// An operator sees the last week, and goes from a bar to the messages that it counts.
func TestErrandWhatHappenedOverTime(t *testing.T) {
	t.Parallel()
	c := openRefusing(t, "bad")
	c.people(t, "good", 30)
	c.people(t, "bad", 3)
	id := c.blast(t)
	c.until(t, "alerts", 33, settledAlerts, id)
	e := webtest.StaffErrand(t, c.Site, c.NewStaff(t, "Otto Operator", policy.ReplayDeliveries, policy.ReadRecord))
	e.Click("Operations")
	e.Sees("Over time", "Deliveries", "Alerts by state", "The highest bar is 33")
	e.Screenshot("operations-day")
	e.Click("Last week")
	e.Click("The numbers as a table")
	e.Screenshot("operations-week")
	e.Accessible()
	e.Click("#over-time svg a")
	e.Sees(id.String(), "33")
	e.Accessible()
	e.Done()
}
