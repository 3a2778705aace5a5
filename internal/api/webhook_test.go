package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/compose/composetest"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/feedback"
	"postern/internal/notify/sendgridfake"
)

// blast is a message whose alerts SendGrid has.
type blast struct {
	*system
	staff *client
	id    string
	mails []sendgridfake.Mail // in the order of portal users
}

// newBlast sends a message to three portal users, pu-1 to pu-3, of whom the last
// two share an address. Their alerts were handed over in two calls, and of the
// second the answer was never learned.
func newBlast(t *testing.T) *blast {
	t.Helper()
	b := &blast{system: newSystem(t)}
	b.staff = b.staffWith(t)
	for i := range 3 {
		b.PortalUser(t, fmt.Sprint("pu-", i+1))
	}
	b.Exec(t, `UPDATE app.portal_users SET email = 'Family@example.org' WHERE portal_user_id IN ('pu-2', 'pu-3')`)
	b.id = b.staff.send(letter("Your results", "pu-1", "pu-2", "pu-3"))
	b.Deliver(t, uuid.MustParse(b.id))
	first, second := uuid.New(), uuid.New()
	b.Exec(t, `INSERT INTO app.attempts (message_id, chunk, attempt, request, request_id, claimed_by, recipients)
		VALUES ($1, 0, 1, 0, $2, $2, '\x03'), ($1, 0, 1, 1, $3, $3, '\x04')`, b.id, first, second)
	b.Record(t, "process:test", events.AlertOutcome{MessageID: uuid.MustParse(b.id), Chunks: 1, Attempt: 1, Recipients: 3, State: events.AlertAccepted,
		Exceptions: []events.AlertException{{PortalUserID: "pu-3", PortalUserNo: 3, State: events.AlertUnknown, Reason: "SendGrid's answer was never learned"}},
		Requests:   []events.AlertRequest{}})
	b.mails = []sendgridfake.Mail{
		{To: "pu-1@example.org", Attempt: first, Position: 0, MessageID: "sg1"},
		{To: "family@example.org", Attempt: first, Position: 1, MessageID: "sg1"},
		{To: "family@example.org", Attempt: second, Position: 2, MessageID: "sg2"},
	}
	return b
}

func (s *system) staffWith(t *testing.T) *client {
	return s.staff(t, "Ada", access.SendPortalMessage)
}

// alerts are the states of the alerts with their reasons, by portal user.
func (b *blast) alerts(t *testing.T) map[string]string {
	t.Helper()
	b.Settle(t)
	got := b.staff.get("/v1/messages/" + b.id + "/deliveries").is(http.StatusOK)
	all := map[string]string{}
	for i, id := range got.all("portal_user_id") {
		all[id] = strings.TrimSpace(got.text(fmt.Sprintf("items.%d.alert.state", i)) + " " + got.text(fmt.Sprintf("items.%d.alert.reason", i)))
	}
	return all
}

func TestReportsSettleAlerts(t *testing.T) {
	t.Parallel()
	b := newBlast(t)
	now := time.Now()
	reports := []sendgridfake.Event{
		sendgridfake.Processed(b.mails[0], now), sendgridfake.Delivered(b.mails[0], now),
		sendgridfake.Bounce(b.mails[1], now, "5.1.1", "550 5.1.1 <family@example.org>: no such mailbox, family"),
		sendgridfake.Processed(b.mails[2], now),
	}
	foreign := sendgridfake.Delivered(sendgridfake.Mail{To: "x@example.org", Attempt: uuid.New(), Position: 0, MessageID: "sg9"}, now)
	nobodys := sendgridfake.Delivered(sendgridfake.Mail{To: "x@example.org", Position: -1, MessageID: "sg9"}, now)
	beyond := sendgridfake.Delivered(sendgridfake.Mail{To: "x@example.org", Attempt: b.mails[0].Attempt, Position: 2, MessageID: "sg1"}, now)
	if err := b.hook.Post(t.Context(), append(reports, foreign, nobodys, beyond)...); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"pu-1": "accepted",
		"pu-2": "failed the e-mail address does not work: 550 5.1.1 <***@example.org>: no such mailbox, ***", "pu-3": "accepted"}
	if diff := cmp.Diff(want, b.alerts(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	progress := b.staff.get("/v1/messages/" + b.id).is(http.StatusOK)
	if progress.at("progress.alerted") != 2.0 || progress.at("progress.alert_failed") != 1.0 || progress.at("progress.alert_unknown") != 0.0 {
		t.Errorf("the message counts %s", progress.body)
	}
	// Both who have the address are known to have none that works.
	var dead string
	if err := b.Admin.QueryRow(t.Context(), `SELECT string_agg(portal_user_id, ' ' ORDER BY portal_user_id) FROM record.dead_addresses
		JOIN app.portal_users USING (portal_user_no)`).Scan(&dead); err != nil || dead != "pu-2 pu-3" {
		t.Errorf("%q are known to have a dead address: %v", dead, err)
	}
	// The same post again, and the same reports in other company, leave no trace.
	before := b.Keeps(t)
	repeat := b.hook
	repeat.Repeat = 2
	if err := repeat.Post(t.Context(), append(reports, foreign, nobodys, beyond)...); err != nil {
		t.Fatal(err)
	}
	if err := repeat.Post(t.Context(), reports[2], foreign, reports[1]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, b.Keeps(t)); diff != "" {
		t.Errorf("a repeat left a trace:\n%s", diff)
	}
	b.toAnotherProcess(t, reports...)
	if diff := cmp.Diff(before, b.Keeps(t)); diff != "" {
		t.Errorf("a repeat to another process left a trace:\n%s", diff)
	}
	// In other company they are another event there, which changes nothing.
	b.toAnotherProcess(t, reports[2], reports[3])
	after := b.Keeps(t)
	for _, table := range []string{"record.events", "record.hashes", "record.position"} {
		delete(before.Tables, table)
		delete(after.Tables, table)
	}
	if diff := cmp.Diff(before.Tables, after.Tables); diff != "" {
		t.Errorf("a repeat in other company changed something:\n%s", diff)
	}
}

// toAnotherProcess posts to an api that was started a moment ago, and looks that
// what it publishes names nobody's address.
func (b *blast) toAnotherProcess(t *testing.T, reports ...sendgridfake.Event) {
	t.Helper()
	another := b.newDesk(t, func(ctx context.Context, all ...events.Event) (uint64, error) {
		for _, e := range all {
			if said := strings.ToLower(string(e.Data)); strings.Contains(said, "family") || strings.Contains(said, "pu-1@") {
				t.Errorf("the record learns of an address: %s", e.Data)
			}
		}
		return b.Publish(ctx, all...)
	})
	body, err := sendgridfake.EncodeEvents(reports)
	if err != nil {
		t.Fatal(err)
	}
	header, err := b.hook.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := another.Feedback.Post(t.Context(), header, body); err != nil {
		t.Fatal(err)
	}
}

// Whoever is not SendGrid, or not quite, leaves nothing.
func TestPostsThatAreNotTaken(t *testing.T) {
	t.Parallel()
	b := newBlast(t)
	good := []byte(`[{"sg_event_id":"a","event":"bounce","timestamp":1700000000,"attempt_id":"` + b.mails[0].Attempt.String() + `","n":"0"}]`)
	other := b.hook
	other.PrivateKey, _ = sendgridfake.GenerateKey()
	old, young := b.hook, b.hook
	old.Now = func() time.Time { return time.Now().Add(-26 * time.Hour) }
	young.Now = func() time.Time { return time.Now().Add(time.Hour) }
	signed := func(hook sendgridfake.Webhook, body []byte) http.Header {
		h, err := hook.Sign(body)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	without := func(name string) http.Header { h := signed(b.hook, good); h.Del(name); return h }
	huge := append(append([]byte{}, good...), bytes.Repeat([]byte(" "), feedback.MaxPost+1-len(good))...)
	before := b.Keeps(t)
	for _, c := range []struct {
		name   string
		header http.Header
		body   []byte
		status int
		kind   string
	}{
		{"no header", http.Header{}, good, 401, "not-signed"},
		{"no signature", without("X-Twilio-Email-Event-Webhook-Signature"), good, 401, "not-signed"},
		{"no timestamp", without("X-Twilio-Email-Event-Webhook-Timestamp"), good, 401, "not-signed"},
		{"signed by another", signed(other, good), good, 401, "not-signed"},
		{"changed on the way", signed(b.hook, good), bytes.Replace(good, []byte("bounce"), []byte("delive"), 1), 401, "not-signed"},
		{"a space more", signed(b.hook, good), append(good[:len(good):len(good)], ' '), 401, "not-signed"},
		{"of the day before yesterday", signed(old, good), good, 401, "not-signed"},
		{"of the future", signed(young, good), good, 401, "not-signed"},
		{"a byte over 2 MiB", signed(b.hook, huge), huge, 413, "too-large"},
		{"a byte over 2 MiB, unsigned", http.Header{}, huge, 413, "too-large"},
		{"no JSON", signed(b.hook, []byte("[{")), []byte("[{"), 400, "bad-request"},
		{"no list", signed(b.hook, []byte("{}")), []byte("{}"), 400, "bad-request"},
		{"empty", signed(b.hook, nil), nil, 400, "bad-request"},
	} {
		var headers []string
		for name := range c.header {
			headers = append(headers, name, c.header.Get(name))
		}
		got := b.nobody(t).do(http.MethodPost, "/webhooks/sendgrid", bytes.NewReader(c.body), headers...)
		if got.status != c.status || got.at("type") != "/problems/"+c.kind {
			t.Errorf("%s is answered with %d %s", c.name, got.status, got.body)
		}
	}
	if diff := cmp.Diff(before, b.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
	full := huge[:feedback.MaxPost]
	h := signed(b.hook, full)
	b.nobody(t).do(http.MethodPost, "/webhooks/sendgrid", bytes.NewReader(full), "X-Twilio-Email-Event-Webhook-Signature", h.Get("X-Twilio-Email-Event-Webhook-Signature"),
		"X-Twilio-Email-Event-Webhook-Timestamp", h.Get("X-Twilio-Email-Event-Webhook-Timestamp")).is(http.StatusNoContent)
}

func TestHalfAPost(t *testing.T) {
	t.Parallel()
	b := newBlast(t)
	before := b.Keeps(t)
	ends, begins := io.Pipe()
	go func() {
		_, _ = begins.Write([]byte(`[{"sg_event_id":"a",`))
		_ = begins.CloseWithError(io.ErrUnexpectedEOF)
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.hook.URL, ends)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := http.DefaultClient.Do(r); err == nil {
		_ = res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("it is answered with %d", res.StatusCode)
		}
	}
	if diff := cmp.Diff(before, b.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
}

// While the record is away nothing is acknowledged, and what SendGrid then repeats
// counts once, whether the first post had come to the record or not.
func TestReportsWhileTheRecordIsAway(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		b := newBlast(t)
		report := sendgridfake.Blocked(b.mails[0], time.Now(), "5.7.1", "550 refused")
		b.Break(&composetest.Fault{Err: errors.Join(eventlog.ErrUnavailable), After: after})
		if err := b.hook.Post(t.Context(), report); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("a post that can't be recorded is answered with %v", err)
		}
		b.Break(nil)
		if err := b.hook.Post(t.Context(), report); err != nil {
			t.Fatal(err)
		}
		if got := b.alerts(t)["pu-1"]; got != "failed the receiving server turned the e-mail away: 550 refused" {
			t.Errorf("the alert is %s", got)
		}
		var counted, projected int
		if err := b.Admin.QueryRow(t.Context(), `SELECT alert_failed, (SELECT count(*) FROM record.events WHERE type = 'alerts.reported' AND repeats IS NULL)
			FROM record.messages WHERE message_id = $1`, b.id).Scan(&counted, &projected); err != nil || counted != 1 || projected != 1 {
			t.Errorf("%d failed, by %d events: %v", counted, projected, err)
		}
	}
}

// The address of a report that comes after the directory has another one is not
// held against the new one.
func TestAReportOfAFormerAddress(t *testing.T) {
	t.Parallel()
	b := newBlast(t)
	b.Exec(t, `UPDATE app.portal_users SET email = 'new@example.org', email_version = 1 WHERE portal_user_id = 'pu-1'`)
	if err := b.hook.Post(t.Context(), sendgridfake.Bounce(b.mails[0], time.Now(), "5.1.1", "no such mailbox")); err != nil {
		t.Fatal(err)
	}
	if got := b.alerts(t)["pu-1"]; !strings.HasPrefix(got, "failed") {
		t.Errorf("the alert is %s", got)
	}
	var dead int
	if err := b.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.dead_addresses`).Scan(&dead); err != nil || dead != 0 {
		t.Errorf("%d addresses are held to be dead: %v", dead, err)
	}
}
