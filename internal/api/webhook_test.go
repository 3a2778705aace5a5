package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/notify/reports"
	"postern/internal/notify/sendgridfake"
	"postern/internal/process"
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
	return s.staff(t, "Ada", policy.SendPortalMessage)
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
// the events that it publishes name no address.
func (b *blast) toAnotherProcess(t *testing.T, reports ...sendgridfake.Event) {
	t.Helper()
	another := b.wire(t, process.WebConfig{Publish: func(ctx context.Context, all ...events.Event) (uint64, error) {
		for _, e := range all {
			if said := strings.ToLower(string(e.Data)); strings.Contains(said, "family") || strings.Contains(said, "pu-1@") {
				t.Errorf("the record learns of an address: %s", e.Data)
			}
		}
		return b.Publish(ctx, all...)
	}})
	body, err := sendgridfake.EncodeEvents(reports)
	if err != nil {
		t.Fatal(err)
	}
	header, err := b.hook.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := another.Reports.Post(t.Context(), header, body); err != nil {
		t.Fatal(err)
	}
}

// A post that is not exactly SendGrid's is refused and stores nothing.
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
	huge := append(append([]byte{}, good...), bytes.Repeat([]byte(" "), reports.MaxPost+1-len(good))...)
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
		got := b.anonymous(t).do(http.MethodPost, "/webhooks/sendgrid", bytes.NewReader(c.body), headers...)
		if got.status != c.status || got.at("type") != "/problems/"+c.kind {
			t.Errorf("%s is answered with %d %s", c.name, got.status, got.body)
		}
	}
	if diff := cmp.Diff(before, b.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
	full := huge[:reports.MaxPost]
	h := signed(b.hook, full)
	b.anonymous(t).do(http.MethodPost, "/webhooks/sendgrid", bytes.NewReader(full), "X-Twilio-Email-Event-Webhook-Signature", h.Get("X-Twilio-Email-Event-Webhook-Signature"),
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

// post posts to the webhook as SendGrid does, whatever the body is.
func (b *blast) post(t *testing.T, body string) *reply {
	t.Helper()
	signed, err := b.hook.Sign([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	header := []string{"Content-Type", "application/json"}
	for name := range signed {
		header = append(header, name, signed.Get(name))
	}
	return b.anonymous(t).do(http.MethodPost, "/webhooks/sendgrid", strings.NewReader(body), header...)
}

// The case that came from the field: an event without an id beside a bounce.
func TestAnEventWithoutAnID(t *testing.T) {
	t.Parallel()
	b := newBlast(t)
	text, err := os.ReadFile("testdata/webhook-event-without-id.json")
	if err != nil {
		t.Fatal(err)
	}
	b.post(t, strings.NewReplacer("<attempt_id of the alert>", b.mails[0].Attempt.String(), "<n of the alert>", "0").Replace(string(text))).is(http.StatusNoContent)
	if got := b.alerts(t)["pu-1"]; got != "failed the e-mail address does not work: 550 no such user" {
		t.Errorf("the alert is %s", got)
	}
}

// Odd events of every kind cost the one beside them nothing, in whatever order.
func TestOddEventsCostNoOther(t *testing.T) {
	t.Parallel()
	b := newBlast(t)
	attempt := b.mails[0].Attempt.String()
	of := func(fields string) string { return `{"event":"bounce","attempt_id":"` + attempt + `",` + fields + `}` }
	odd := []string{`null`, `5`, `[]`, `[[{"event":"bounce"}]]`, `"text"`, `{}`, of(`"n":"0"`), of(`"sg_event_id":"o1","n":"5000000000"`), of(`"sg_event_id":"o2","n":[0]`),
		of(`"sg_event_id":"o3","n":"1","timestamp":"soon","type":"blocked"`), of(`"sg_event_id":"o4","n":"1","timestamp":-5,"type":"blocked"`),
		of(`"sg_event_id":"o5","n":"1","timestamp":1e18,"type":"blocked"`), of(`"sg_event_id":"o6","n":"1","timestamp":253402300799,"type":"blocked"`),
		`{"sg_event_id":"o7","event":"bounce","attempt_id":{"a":1},"n":null,"email":["x"]}`, `{"sg_event_id":"o8","event":"bounce","attempt_id":"` + uuid.NewString() + `","n":"0"}`,
		`{"sg_event_id":"o9","event":"new_word","attempt_id":"` + attempt + `","n":"1"}`, `{"sg_event_id":"` + strings.Repeat("x", 5000) + `","event":"open","attempt_id":"` + attempt + `","n":"1"}`,
		// The id of the good one, in an event that is of none of ours.
		`{"sg_event_id":"good","event":"delivered"}`, "{\"sg_event_id\":\"\xff\xfe\",\"event\":\"open\",\"attempt_id\":\"" + attempt + "\",\"n\":\"1\",\"reason\":\"\xff\"}",
		`{"sg_event_id":"o10","event":"bounce","email":"` + strings.Repeat("x", 5000) + `@example.org"}`, "{\"sg_event_id\":\"o11\",\"event\":\"bounce\",\"email\":\"a\\u0000b@example.org\"}"}
	good := of(`"sg_event_id":"good","n":"0","timestamp":1795900000,"type":"bounce","status":"5.1.1","reason":"550 no such user"`)
	b.post(t, "["+strings.Join(slices.Concat(odd, []string{good}, odd), ",")+"]").is(http.StatusNoContent)
	alerts := b.alerts(t)
	if alerts["pu-1"] != "failed the e-mail address does not work: 550 no such user" || !strings.HasPrefix(alerts["pu-2"], "failed the receiving server") {
		t.Errorf("the alerts are %v", alerts)
	}
	var ahead int
	if err := b.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.reports WHERE at > now() + interval '2 hours'`).Scan(&ahead); err != nil || ahead > 0 {
		t.Errorf("%d reports lie ahead: %v", ahead, err)
	}
	b.post(t, `[]`).is(http.StatusNoContent)
	b.post(t, `[null]`).is(http.StatusNoContent)
}

// A bounce that names no alert of ours, but an address that portal users have, says that
// the address does not work, of all who have it; no alert changes, and no address gets on
// the record.
func TestABounceThatNamesNoAlert(t *testing.T) {
	t.Parallel()
	b := newBlast(t)
	before := b.alerts(t)
	b.post(t, `[{"sg_event_id":"a1","event":"bounce","type":"bounce","email":"FAMILY@example.org","timestamp":1795900000,"reason":"550 family@example.org is unknown"},
		{"sg_event_id":"a2","event":"bounce","type":"blocked","email":"pu-1@example.org"},{"sg_event_id":"a3","event":"spamreport","email":"pu-1@example.org"},
		{"sg_event_id":"a4","event":"bounce","email":"stranger@elsewhere.example"}]`).is(http.StatusNoContent)
	if diff := cmp.Diff(before, b.alerts(t)); diff != "" {
		t.Errorf("alerts changed:\n%s", diff)
	}
	var dead string
	if err := b.Admin.QueryRow(t.Context(), `SELECT string_agg(portal_user_id, ' ' ORDER BY portal_user_id)
		FROM record.dead_addresses JOIN app.portal_users USING (portal_user_no)`).Scan(&dead); err != nil || dead != "pu-2 pu-3" {
		t.Errorf("%q are known to have a dead address: %v", dead, err)
	}
	// A repeat is no news, and another's drop of an address that bounced is.
	kept := b.Keeps(t)
	b.post(t, `[{"sg_event_id":"a1","event":"bounce","type":"bounce","email":"family@example.org"}]`).is(http.StatusNoContent)
	if diff := cmp.Diff(kept, b.Keeps(t)); diff != "" {
		t.Errorf("a repeat left a trace:\n%s", diff)
	}
	b.post(t, `[{"sg_event_id":"a5","event":"dropped","reason":"Bounced Address","email":"pu-1@example.org","attempt_id":"`+uuid.NewString()+`","n":"0"}]`).is(http.StatusNoContent)
	b.Settle(t)
	var n int
	if err := b.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.dead_addresses`).Scan(&n); err != nil || n != 3 {
		t.Errorf("%d addresses are known to be dead: %v", n, err)
	}
}
