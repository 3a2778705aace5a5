package operations_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/giveup"
	"postern/internal/notify/sendgridfake"
	"postern/internal/recorder/rebuild"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// clinic is a site that sends messages to large groups.
type clinic struct {
	*webtest.Site
	olga *webtest.Visitor // an operator
	sam  *webtest.Visitor // a sender
}

func open(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{Site: webtest.New(t)}
	c.olga = c.Staff(t, "Olga Operator", policy.ReplayDeliveries)
	c.sam = c.Staff(t, "Sam Staff", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	return c
}

// people makes portal users whose addresses begin with a prefix.
func (c *clinic) people(t *testing.T, letters string, n int) {
	t.Helper()
	c.Exec(t, `INSERT INTO app.portal_users (active, portal_user_id, name, email)
		SELECT true, $1 || n, 'Name ' || n, $1 || n || '@example.org' FROM generate_series(1, $2) n`, letters, n)
}

// blast sends a message to all portal users.
func (c *clinic) blast(t *testing.T) uuid.UUID {
	t.Helper()
	return c.send(t, audience.Selection{Groups: []audience.Group{audience.AllPortalUsers}})
}

func (c *clinic) send(t *testing.T, to audience.Selection) uuid.UUID {
	t.Helper()
	now := 0
	sent, err := c.Compose.Send(t.Context(), policy.Subject{Realm: policy.RealmStaff, ID: c.sam.ID, Permissions: policy.All}, uuid.NewString(),
		compose.Request{Subject: "Our entrance moves", Body: "To the garden.", Recipients: to, UndoSeconds: &now})
	if err != nil {
		t.Fatal(err)
	}
	return sent.ID
}

// until waits until a query about a message returns n.
func (c *clinic) until(t *testing.T, what string, n int, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for got := -1; ; {
		if err := c.Admin.QueryRow(ctx, sql, args...).Scan(&got); err == nil && got == n {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %d, want %d", what, got, n)
		}
	}
}

const (
	waitingChunks = `SELECT count(*) FROM app.alerts_waiting WHERE pause IS NOT NULL`
	settledAlerts = `SELECT alert_accepted + alert_failed + alert_skipped + alert_unknown FROM record.messages WHERE message_id = $1`
)

// same checks that a rebuild from the record gives the same tables.
func (c *clinic) same(t *testing.T) {
	t.Helper()
	c.Settle(t)
	compared, err := (&rebuild.Rebuild{Log: c.Log, Pool: c.Admin}).Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range compared {
		if !one.Same() {
			t.Errorf("a rebuild gives another %s", one.Table)
		}
	}
}

// An operator pauses alerting in the middle of a message to 5,000. Requests in progress are
// finished, and no more alerts are sent during the pause. All recipients can read the
// message, and after the pause each is alerted once.
func TestALargeMessageIsPausedInTheMiddle(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.people(t, "p", 5000)
	gate, asked := make(chan struct{}), make(chan struct{}, 100)
	c.Mails.Script(func(sendgridfake.RequestInfo) sendgridfake.Step {
		asked <- struct{}{}
		return sendgridfake.Hold(gate)
	})
	id := c.blast(t)
	<-asked
	c.olga.Get("/operations").Says("by Sam Staff: ", " alerts to send").HasHTML(`<option dir="auto" value="` + id.String() + `">`) // it can be paused alone
	c.olga.Post("/operations/alerting/pause", url.Values{"reason": {""}}).Is(http.StatusUnprocessableEntity).Says("Say why")
	c.olga.Post("/operations/alerting/pause", url.Values{"reason": {"kept"}, "message": {"x"}}).Is(http.StatusUnprocessableEntity).Says("Choose a message from the list").HasHTML(`value="kept"`)
	c.olga.Post("/operations/alerting/pause", url.Values{"reason": {"SendGrid reports trouble"}}).Is(http.StatusOK).
		Says("Alerting is paused", "SendGrid reports trouble", "Resume all alerting")
	close(gate)
	c.until(t, "alerts that were in hand, or wait", 5000,
		`SELECT alert_accepted + 1000 * (`+waitingChunks+`)::integer FROM record.messages WHERE message_id = $1 AND status = 'sent'`, id)
	sent := c.Mails.Count()
	if sent == 0 || sent > 2000 { // at most one chunk for each slot of the worker
		t.Errorf("%d alerts were sent before the pause", sent)
	}
	// The alert of a message that is sent during the pause waits, too; the message can be read.
	small := c.send(t, audience.Selection{PortalUserIDs: []string{"p1"}})
	c.until(t, "chunks that wait", (5000-sent)/1000+1, waitingChunks)
	if n := c.Mails.Count(); n != sent {
		t.Fatalf("%d alerts were sent while alerting was paused", n-sent)
	}
	c.sam.Get("/messages/"+small.String()).Is(http.StatusOK).Says("All alerting is paused", "In the portal inbox 1 of 1").
		LacksHTML("Resume the alerts", "/operations")
	c.olga.Get("/operations/parked").Says("All alerts have been paused since")

	c.olga.Post("/operations/alerting/resume", url.Values{"reason": {"it is over"}}).Is(http.StatusOK).Says("You resumed all alerts.").LacksHTML("All alerts have been paused")
	c.until(t, "alerts of the blast", 5000, settledAlerts, id)
	c.until(t, "alerts of the small message", 1, settledAlerts, small)
	if n := c.Mails.Count(); n != 5001 {
		t.Errorf("%d alerts were sent, want 5001", n)
	}
	for address, n := range c.Mails.Counts() {
		if n > 1 && address != "p1@example.org" || n > 2 {
			t.Errorf("%s was alerted %d times", address, n)
		}
	}
	c.same(t)
}

// The form to pause shows all its errors at once.
func TestWrongPauses(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.olga.Post("/operations/alerting/pause", url.Values{"reason": {" "}, "message": {"17"}}).Is(http.StatusUnprocessableEntity).
		Says("Say why", "Choose a message from the list").HasHTML(`href="#reason"`, `href="#message"`, `value="17" selected`)
	c.olga.Post("/operations/alerting/pause", url.Values{"reason": {"x"}, "message": {uuid.NewString()}}).Is(http.StatusUnprocessableEntity).
		Says("There is no such message.")
}

// When a pause ends elsewhere, an open page updates its notice, banner and form. Until then
// they stay, with the typed text.
func TestAnOpenPageShowsThePresentPauses(t *testing.T) {
	t.Parallel()
	c := open(t)
	before := c.olga.Get("/operations").Is(http.StatusOK)
	paused := c.olga.Post("/operations/alerting/pause", url.Values{"reason": {"the wrong list"}}).Is(http.StatusOK).Says("Resume all alerting")
	c.olga.Post("/operations/alerting/pause", url.Values{"reason": {"again"}}).Says("Nothing was changed: all alerts were already paused.")
	c.olga.Fragment(renewed(t, before)).Is(http.StatusOK).Says("the wrong list", "Resume all alerting", "Consumers of the record").
		HasHTML(`id="notices" hx-swap-oob="true"`, `id="pauses" hx-swap-oob="true"`, `hx-swap-oob="true">`)
	c.olga.Fragment(renewed(t, paused)).Is(http.StatusOK).Says("Consumers of the record").LacksHTML("hx-swap-oob", "<form")
	c.Staff(t, "Kim Colleague", policy.ReplayDeliveries).Post("/operations/alerting/resume", url.Values{"reason": {"it is over"}}).Is(http.StatusOK)
	c.olga.Fragment(renewed(t, paused)).Is(http.StatusOK).Says("Pause alerting").LacksHTML("the wrong list", "Alerting is paused").
		HasHTML(`id="notices" hx-swap-oob="true"`, `id="pauses" hx-swap-oob="true"`)
}

// renewed is the address that the overview polls.
func renewed(t *testing.T, p *webtest.Page) string {
	t.Helper()
	_, rest, _ := strings.Cut(p.Body, `<div id="live" hx-get="`)
	at, _, found := strings.Cut(rest, `"`)
	if !found {
		t.Fatal("the page does not poll")
	}
	return at
}

// A pause of one message does not affect the others.
func TestOneMessageIsPaused(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.people(t, "p", 10)
	both := c.Staff(t, "Kim Both", policy.ReplayDeliveries, policy.ReadRecord)
	for range 4 { // until the worker puts the chunk off
		c.Mails.Queue(sendgridfake.Fail(http.StatusServiceUnavailable))
	}
	first := c.blast(t)
	c.until(t, "chunks that wait for SendGrid", 1, `SELECT count(*) FROM app.alert_work`)
	both.Get("/messages/" + first.String()).Says("Pause the alerts of this message")
	both.Fragment("/messages/" + first.String() + "/progress?seen=sent-4-true").LacksHTML(`id="pause"`)
	both.Post("/operations/alerting/pause", url.Values{"message": {first.String()}, "back": {"message"}, "reason": {"wrong list"}}).
		Is(http.StatusOK).Says("The alerts of this message are paused", "wrong list", "Resume the alerts")
	c.until(t, "chunks that are paused", 1, waitingChunks) // the retry finds the pause
	both.Fragment("/messages/"+first.String()+"/progress?seen=sent-4-true").Says("The alerts of this message are paused", "wrong list").
		HasHTML(`id="pause" hx-swap-oob="true"`, `id="pauses" hx-swap-oob="true"`, `id="notices" hx-swap-oob="true"`)
	both.Get("/messages/"+first.String()+"/recipients").Says("Waiting alerts are held by a pause, since", "wrong list").HasHTML(`href="/messages/` + first.String() + `">Go to where`)
	second := c.send(t, audience.Selection{PortalUserIDs: []string{"p2"}})
	c.until(t, "alerts of the other message", 1, settledAlerts, second)
	both.Post("/operations/alerting/resume", url.Values{"message": {first.String()}, "back": {"message"}, "reason": {"right after all"}}).
		Is(http.StatusOK).Says("You resumed the alerts of one message.").LacksHTML("are paused since")
	c.until(t, "alerts of the message", 10, settledAlerts, first)
	both.Post("/operations/alerting/pause", url.Values{"message": {uuid.NewString()}, "reason": {"x"}}).Is(http.StatusUnprocessableEntity).Says("There is no such message.")
	c.same(t)
}

// If more than a fifth of a chunk fails, the message is paused automatically and every
// operator sees it. Other messages are not affected. After an operator resumes it, the
// message completes.
func TestAMessageIsPausedAutomatically(t *testing.T) {
	t.Parallel()
	c := openRefusing(t, "bad")
	c.people(t, "bad", 1000) // the whole first chunk, in order of number
	c.people(t, "good", 4000)
	id := c.blast(t)
	c.until(t, "pauses", 1, `SELECT count(*) FROM record.pauses WHERE message_id = $1 AND automatic`, id)
	c.olga.Get("/operations/parked").Is(http.StatusOK).Says("Alerting is paused", "have been paused automatically since", "alerts of one chunk failed, more than 20%")
	c.sam.Get("/messages/" + id.String()).Says("The alerts of this message are paused")
	other := c.send(t, audience.Selection{PortalUserIDs: []string{"good1"}})
	c.until(t, "alerts of another message", 1, settledAlerts, other)

	c.olga.Get("/operations").Says("Resume message " + id.String())
	c.olga.Post("/operations/alerting/resume", url.Values{"message": {id.String()}, "reason": {"the addresses are old, go on"}}).Is(http.StatusOK)
	c.until(t, "alerts of the message", 5000, settledAlerts, id)
	c.until(t, "pauses", 0, `SELECT count(*) FROM record.pauses`)
	if n := c.Mails.Count(); n != 4001 {
		t.Errorf("%d alerts were taken, want 4001", n)
	}
	c.olga.Get("/operations").Says("Alerts by state", "Accepted", "4,001", "1,000", "fanout-bulk", "recorder").HasHTML("<svg", `href="/operations/messages?from=`)
	c.same(t)
}

// openRefusing is open with a SendGrid that refuses addresses with a prefix.
func openRefusing(t *testing.T, letters string) *clinic {
	t.Helper()
	c := open(t)
	c.Refuse(func(address string) string {
		if strings.HasPrefix(address, letters) {
			return "Does not contain a valid address."
		}
		return ""
	})
	return c
}

// Staff without the permission see none of the pages, and no page shows the content of a
// message.
func TestOperationsNeedsThePermission(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.people(t, "p", 2)
	id := c.blast(t)
	c.until(t, "alerts", 2, settledAlerts, id)
	c.Exec(t, `INSERT INTO app.parked (parked_id, consumer, seq, event_id, type, message_id, tries, reason)
		SELECT $1, 'fanout-bulk', seq, id, type, message_id, 8, 'r' FROM record.events WHERE type = 'message.sent'`, id)
	for _, path := range []string{"/operations", "/operations/messages", "/operations/parked", "/operations/parked/" + id.String()} {
		c.olga.Get(path).Is(http.StatusOK).LacksHTML("entrance", "garden", "@example.org")
		c.sam.Get(path).Is(http.StatusForbidden)
		c.SignedOut(t).Get(path).Says("Staff sign-in")
	}
	for _, path := range []string{"/operations/alerting/pause", "/operations/parked", "/operations/parked/" + id.String() + "/retry", "/operations/parked/" + id.String() + "/discard"} {
		c.sam.Post(path, url.Values{"reason": {"x"}}).Is(http.StatusForbidden)
	}
	c.sam.Get("/messages").LacksHTML("Operations")
	c.olga.Fragment("/operations").Is(http.StatusOK).Says("Consumers of the record").LacksHTML("<!DOCTYPE", "<form")
	c.olga.Post("/operations/parked/"+id.String()+"/discard", url.Values{"reason": {""}}).Is(http.StatusUnprocessableEntity).Says("Say why")
	c.olga.Post("/operations/parked/"+id.String()+"/discard", url.Values{"reason": {"a test"}}).Is(http.StatusOK).Says("was discarded", "Discarded")
	c.olga.Get("/operations/parked").Says("Nothing is parked")
	c.olga.Get("/operations/parked?all=true").Says("Discarded")
	c.olga.Get("/operations/parked/" + uuid.NewString()).Is(http.StatusNotFound)
	c.olga.Get("/operations/parked/x").Is(http.StatusNotFound)
}
