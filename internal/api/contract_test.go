package api_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/limits"
)

var pdf = []byte("%PDF-1.7\na consent form\n%%EOF\n")

// The main job over HTTP, from an upload to what the portal user downloads.
func TestAMessageFromStaffToPortalUser(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada Sender", policy.SendPortalMessage)
	bob := s.staff(t, "Bob Bcc")
	pat, other := s.portalUser(t, "pu-1"), s.portalUser(t, "pu-2")

	up := ada.upload(`..\Übergabe "neu".pdf`, pdf).is(http.StatusCreated)
	if up.at("media_type") != "application/pdf" || up.at("size") != float64(len(pdf)) {
		t.Errorf("the upload is answered with %s", up.body)
	}
	message := letter("Your results", "pu-1")
	message["attachment_ids"] = []string{up.text("id")}
	message["staff_bcc"] = []string{bob.id}
	sent := ada.post("/v1/messages", message, "Idempotency-Key", "k").is(http.StatusAccepted)
	id := sent.text("id")
	again := ada.post("/v1/messages", message, "Idempotency-Key", "k").is(http.StatusAccepted)
	if !bytes.Equal(sent.body, again.body) {
		t.Errorf("a repeat is answered with %s, the first with %s", again.body, sent.body)
	}
	if got := ada.get(sent.text("links.self")).is(http.StatusOK); got.at("status") != "sending" || got.at("body") != message["body"] {
		t.Errorf("right after it was sent, the message is %s", got.body)
	}
	s.Deliver(t, uuid.MustParse(id))

	inbox := pat.get("/v1/portal/messages").is(http.StatusOK)
	if inbox.at("items.0.message_id") != id || inbox.at("items.0.subject") != "Your results" || inbox.at("items.0.from") != "Ada Sender" ||
		inbox.at("items.0.opened_at") != nil || inbox.at("items.0.attachments") != 1.0 || inbox.at("next_cursor") != nil {
		t.Errorf("the inbox shows %s", inbox.body)
	}
	opened := pat.get("/v1/portal/messages/" + id).is(http.StatusOK)
	if opened.at("body") != message["body"] || opened.at("attachments.0.name") != `Übergabe _neu_.pdf` {
		t.Errorf("the message reads %s", opened.body)
	}
	for _, secret := range []string{bob.id, "Bob", "pu-2", "staff_bcc"} {
		if strings.Contains(string(opened.body)+string(inbox.body), secret) {
			t.Errorf("the portal user learns of %q", secret)
		}
	}
	file := pat.get("/v1/portal/messages/" + id + "/attachments/" + up.text("id")).is(http.StatusOK)
	if !bytes.Equal(file.body, pdf) {
		t.Errorf("the document has %d bytes, want %d", len(file.body), len(pdf))
	}
	for name, want := range map[string]string{
		"Content-Type":            "application/pdf",
		"Content-Disposition":     `attachment; filename="_bergabe _neu_.pdf"; filename*=UTF-8''%C3%9Cbergabe%20_neu_.pdf`,
		"X-Content-Type-Options":  "nosniff",
		"Content-Security-Policy": "sandbox; default-src 'none'",
		"Cache-Control":           "private, no-store",
	} {
		if got := file.header.Get(name); got != want {
			t.Errorf("the document comes with %s: %s, want %s", name, got, want)
		}
	}
	other.get("/v1/portal/messages/" + id).is(http.StatusNotFound)
	other.get("/v1/portal/messages/" + id + "/attachments/" + up.text("id")).is(http.StatusNotFound)

	s.Settle(t)
	done := ada.get("/v1/messages/" + id).is(http.StatusOK)
	progress := map[string]any{"recipients": 1.0, "delivered": 1.0, "alerted": 0.0, "alert_failed": 0.0, "alert_skipped": 0.0, "alert_unknown": 0.0, "opened": 1.0}
	if diff := cmp.Diff(any(progress), done.at("progress")); diff != "" || done.at("status") != "sent" {
		t.Errorf("in the end it is %v with progress (-want +got):\n%s", done.at("status"), diff)
	}
	if diff := cmp.Diff([]string{"delivery.opened", "attachment.downloaded"}, typesAfter(t, s, "fanout.completed")); diff != "" {
		t.Errorf("after the delivery the record says (-want +got):\n%s", diff)
	}
}

// typesAfter gives the types of the events after the first of that type.
func typesAfter(t *testing.T, s *system, begin events.Type) []string {
	t.Helper()
	s.Settle(t)
	rows, err := s.Admin.Query(t.Context(), `SELECT type FROM record.events
		WHERE seq > (SELECT min(seq) FROM record.events WHERE type = $1) ORDER BY seq`, string(begin))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// To the byte: the largest file is taken, one byte more is not, and leaves nothing.
func TestTheLargestAttachment(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	largest := append(slices.Clone(pdf), make([]byte, int(limits.AttachmentSize)-len(pdf))...)
	ada.upload("a.pdf", largest).is(http.StatusCreated)
	before := s.Keeps(t)
	for _, more := range []int{1, 5 << 20} {
		refused := ada.upload("a.pdf", append(slices.Clone(largest), make([]byte, more)...)).is(http.StatusRequestEntityTooLarge)
		if refused.at("type") != "/problems/attachment-too-large" || refused.at("errors.0.location") != "body.file" {
			t.Errorf("%d bytes too many are answered with %s", more, refused.body)
		}
	}
	if diff := cmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
}

func TestPreviewAndConfirmedAudience(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	single := s.staff(t, "Single", policy.SendPortalMessage)
	s.PortalUser(t, "pu-1")
	allUsers := map[string]any{"recipients": map[string]any{"groups": []string{"all_portal_users"}, "portal_user_ids": []string{"pu-1"}}}
	preview := ada.post("/v1/recipients/preview", allUsers).is(http.StatusOK)
	if preview.at("count") != 1.0 || preview.at("included.added") != 1.0 {
		t.Errorf("the preview says %s", preview.body)
	}
	single.post("/v1/recipients/preview", allUsers).is(http.StatusForbidden)

	s.PortalUser(t, "pu-2")
	message := map[string]any{"subject": "s", "body": "b", "recipients": allUsers["recipients"], "audience_digest": preview.text("digest")}
	refused := ada.post("/v1/messages", message, "Idempotency-Key", "k").is(http.StatusConflict)
	if refused.at("type") != "/problems/audience-changed" || refused.at("preview.count") != 2.0 {
		t.Errorf("another audience is answered with %s", refused.body)
	}
	message["audience_digest"] = refused.text("preview.digest")
	if sent := ada.post("/v1/messages", message, "Idempotency-Key", "k").is(http.StatusAccepted); sent.at("status") != "scheduled" {
		t.Errorf("a message to a group waits for its undo: %s", sent.body)
	}
	single.post("/v1/messages", message, "Idempotency-Key", "k").is(http.StatusForbidden)
}

// Lists are walked to their end by their cursors, newest message first, and each
// sees their own.
func TestListsOfMessages(t *testing.T) {
	s := newSystem(t)
	ada, eve := s.staff(t, "Ada", policy.SendPortalMessage), s.staff(t, "Eve", policy.SendPortalMessage)
	bob := s.staff(t, "Bob")
	reviewer := s.staff(t, "Rhea Viewer", policy.ReadRecord)
	s.PortalUser(t, "pu-1")
	var want []string
	for i := range 5 {
		message := letter(fmt.Sprint("message ", i), "pu-1")
		message["staff_bcc"] = []string{bob.id}
		want = slices.Insert(want, 0, ada.send(message))
	}
	for who, c := range map[string]struct {
		client *client
		path   string
		want   []string
	}{
		"the sender":   {ada, "/v1/messages", want},
		"another":      {eve, "/v1/messages", nil},
		"a reviewer":   {reviewer, "/v1/messages", want},
		"a Staff Bcc":  {bob, "/v1/bcc", want},
		"no Staff Bcc": {ada, "/v1/bcc", nil},
	} {
		var got []string
		for next := c.path + "?limit=2"; next != ""; {
			page := c.client.get(next).is(http.StatusOK)
			got = append(got, page.all("id")...)
			next = ""
			if cursor, ok := page.at("next_cursor").(string); ok {
				next = c.path + "?limit=2&cursor=" + cursor
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s sees (-want +got):\n%s", who, diff)
		}
	}
	bob.get("/v1/messages").is(http.StatusForbidden)
	eve.get("/v1/messages/" + want[0]).is(http.StatusNotFound)
	if full := bob.get("/v1/messages/" + want[0]).is(http.StatusOK); full.at("body") == nil {
		t.Errorf("a Staff Bcc reads %s", full.body)
	}
	if bare := reviewer.get("/v1/messages/" + want[0]).is(http.StatusOK); bare.at("body") != nil || bare.at("staff_bcc") != nil {
		t.Errorf("a reviewer reads the content: %s", bare.body)
	}
}

// Each filter gives exactly those that it names, on pages that fit together,
// whether an alert's state is that of its chunk or its own.
func TestDeliveries(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	const n = 2300
	s.Exec(t, `INSERT INTO app.portal_users (active, portal_user_id, name, email)
		SELECT true, 'pu-' || i, 'Name ' || i, '' FROM generate_series(1, $1) i`, n)
	message := map[string]any{"subject": "s", "body": "b", "recipients": map[string]any{"groups": []string{"all_portal_users"}}, "undo_seconds": 0}
	id := ada.send(message)
	mid := uuid.MustParse(id)
	s.Deliver(t, mid)
	exception := func(no int, state events.AlertState) events.AlertException {
		return events.AlertException{PortalUserID: fmt.Sprint("pu-", no), PortalUserNo: int32(no), State: state, Reason: "a reason"}
	}
	outcome := func(chunk, recipients int, state events.AlertState, exceptions ...events.AlertException) events.Body {
		if exceptions == nil {
			exceptions = []events.AlertException{}
		}
		return events.AlertOutcome{MessageID: mid, Chunk: chunk, Chunks: 3, Attempt: 1, Recipients: recipients, State: state,
			Exceptions: exceptions, Requests: []events.AlertRequest{}}
	}
	s.Record(t, "process:test", outcome(0, 1000, events.AlertAccepted, exception(5, events.AlertFailed), exception(999, events.AlertSkipped)),
		outcome(1, 1000, events.AlertFailed, exception(1500, events.AlertAccepted)))
	for _, no := range []int32{5, 6, 1500, 1501, 2300} {
		s.Record(t, "portal_user:x", events.DeliveryOpened{MessageID: mid, PortalUserID: fmt.Sprint("pu-", no), PortalUserNo: no})
	}

	state := func(no int) string {
		switch {
		case no == 5 || no > 1000 && no <= 2000 && no != 1500:
			return "failed"
		case no == 999:
			return "skipped"
		case no <= 1000 || no == 1500:
			return "accepted"
		default:
			return "pending"
		}
	}
	opened := func(no int) bool { return slices.Contains([]int{5, 6, 1500, 1501, 2300}, no) }
	for _, alert := range []string{"", "accepted", "failed", "skipped", "unknown", "pending"} {
		for _, open := range []string{"", "true", "false"} {
			var want, got []string
			for no := 1; no <= n; no++ {
				if (alert == "" || state(no) == alert) && (open == "" || fmt.Sprint(opened(no)) == open) {
					want = append(want, fmt.Sprint("pu-", no))
				}
			}
			query := "/v1/messages/" + id + "/deliveries?limit=300"
			if alert != "" {
				query += "&alert=" + alert
			}
			if open != "" {
				query += "&opened=" + open
			}
			for next := query; next != ""; {
				page := ada.get(next).is(http.StatusOK)
				got = append(got, page.all("portal_user_id")...)
				next = ""
				if cursor, ok := page.at("next_cursor").(string); ok {
					next = query + "&cursor=" + cursor
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("alert=%s opened=%s gives %d, want %d", alert, open, len(got), len(want))
			}
		}
	}
	one := ada.get("/v1/messages/" + id + "/deliveries?alert=failed&opened=true&limit=1").is(http.StatusOK)
	if one.at("items.0.portal_user_id") != "pu-5" || one.at("items.0.name") != "Name 5" || one.at("items.0.alert.state") != "failed" ||
		one.at("items.0.alert.reason") != "a reason" || one.at("items.0.alert.attempts") != 1.0 || one.at("items.0.opened_at") == nil {
		t.Errorf("a delivery is shown as %s", one.body)
	}
}

// The stream says at once how a message is getting on, and again when that
// changes, until the server closes.
func TestStream(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	s.PortalUser(t, "pu-1")
	id := ada.send(letter("s", "pu-1"))
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/messages/"+id+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+ada.token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("it is of type %s", got)
	}
	lines := bufio.NewScanner(res.Body)
	await := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "data: ") && strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("the stream ended without %s: %v", want, lines.Err())
	}
	await(`"status":"sending"`)
	s.Deliver(t, uuid.MustParse(id))
	await(`"status":"sent","recipients":1,"delivered":1`)
	s.api.Close()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream does not end with the server: %v", err)
	}
}

func TestCancelAndRecall(t *testing.T) {
	s := newSystem(t)
	ada, eve := s.staff(t, "Ada", policy.SendPortalMessage), s.staff(t, "Eve", policy.SendPortalMessage)
	pat := s.portalUser(t, "pu-1")
	held := letter("held", "pu-1")
	held["undo_seconds"] = 60
	id := ada.send(held)
	eve.post("/v1/messages/"+id+"/cancel", nil).is(http.StatusNotFound)
	if done := ada.do(http.MethodPost, "/v1/messages/"+id+"/cancel", nil).is(http.StatusOK); done.at("status") != "cancelled" {
		t.Errorf("a cancelled message is %s", done.body)
	}

	id = ada.send(letter("Secret subject", "pu-1"))
	late := ada.do(http.MethodPost, "/v1/messages/"+id+"/cancel", nil).is(http.StatusConflict)
	if late.at("type") != "/problems/too-late" {
		t.Errorf("a late cancellation is answered with %s", late.body)
	}
	s.Deliver(t, uuid.MustParse(id))
	eve.post("/v1/messages/"+id+"/recall", map[string]any{"reason": "mine"}).is(http.StatusNotFound)
	done := ada.post("/v1/messages/"+id+"/recall", map[string]any{"reason": "the wrong file"}).is(http.StatusOK)
	if done.at("status") != "recalled" || done.at("recall_reason") != "the wrong file" {
		t.Errorf("a recalled message is %s", done.body)
	}
	inbox := pat.get("/v1/portal/messages").is(http.StatusOK)
	if inbox.at("items.0.recalled") != true || strings.Contains(string(inbox.body), "Secret") {
		t.Errorf("the inbox shows %s", inbox.body)
	}
	if gone := pat.get("/v1/portal/messages/" + id).is(http.StatusGone); gone.at("type") != "/problems/message-recalled" {
		t.Errorf("opening it is answered with %s", gone.body)
	}
}

func TestLabels(t *testing.T) {
	s := newSystem(t)
	boss, ada := s.staff(t, "Boss", policy.ManageLabels), s.staff(t, "Ada")
	if got := ada.get("/v1/labels").is(http.StatusOK); got.at("patient.one") != "Patient" || got.at("authorized_representative.many") != "Authorized Representatives" {
		t.Errorf("at first the labels are %s", got.body)
	}
	client := map[string]any{"patient": map[string]any{"one": "Client", "many": "Clients"}}
	ada.json(http.MethodPut, "/v1/labels", client).is(http.StatusForbidden)
	before := s.Settle(t)
	for range 2 {
		if got := boss.json(http.MethodPut, "/v1/labels", client).is(http.StatusOK); got.at("patient.many") != "Clients" || got.at("discharged.one") != "Discharged" {
			t.Errorf("changed, the labels are %s", got.body)
		}
	}
	if after := s.Settle(t); after != before+1 {
		t.Errorf("one change, told twice, is %d events", after-before)
	}
	if got := ada.get("/v1/labels").is(http.StatusOK); got.at("patient.one") != "Client" {
		t.Errorf("now the labels are %s", got.body)
	}
}

func TestStaffAndPermissions(t *testing.T) {
	s := newSystem(t)
	boss, ada := s.staff(t, "Boss", policy.ManageStaff), s.staff(t, "Ada")
	if diff := cmp.Diff([]string{"Ada", "Boss"}, ada.get("/v1/staff").is(http.StatusOK).all("name")); diff != "" {
		t.Errorf("staff are (-want +got):\n%s", diff)
	}
	page := ada.get("/v1/staff?limit=1").is(http.StatusOK)
	if diff := cmp.Diff([]string{"Boss"}, ada.get("/v1/staff?limit=1&cursor="+page.text("next_cursor")).is(http.StatusOK).all("name")); diff != "" {
		t.Errorf("the second page is (-want +got):\n%s", diff)
	}
	path := "/v1/staff/" + ada.id + "/permissions"
	ada.get(path).is(http.StatusForbidden)
	want := map[string]any{"permissions": []string{"send_portal_message"}}
	if got := boss.json(http.MethodPut, path, want).is(http.StatusOK); got.at("permissions.0") != "send_portal_message" {
		t.Errorf("it is answered with %s", got.body)
	}
	ada.get("/v1/portal-users").is(http.StatusOK) // at once
	boss.json(http.MethodPut, path, map[string]any{"permissions": []string{}}).is(http.StatusOK)
	ada.get("/v1/portal-users").is(http.StatusForbidden)
	last := boss.json(http.MethodPut, "/v1/staff/"+boss.id+"/permissions", map[string]any{"permissions": []string{}}).is(http.StatusConflict)
	if last.at("type") != "/problems/last-administrator" {
		t.Errorf("it is answered with %s", last.body)
	}
}

// Global Search finds what the searcher may see and nothing else.
func TestSearch(t *testing.T) {
	s := newSystem(t)
	boss := s.staff(t, "Boss", policy.ManageLabels, policy.SendPortalMessage)
	eve := s.staff(t, "Eve", policy.SendPortalMessage)
	none := s.staff(t, "None")
	s.PortalUser(t, "pu-1")
	s.Exec(t, `UPDATE app.portal_users SET name = 'Labelle Custis'`)
	s.FoldNames(t)
	boss.send(letter("About your label", "pu-1"))
	if diff := cmp.Diff([]string{"Custom Labels", "About your label", "Labelle Custis"}, boss.get("/v1/search?q=label").is(http.StatusOK).all("title")); diff != "" {
		t.Errorf("the sender finds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Custom Labels"}, boss.get("/v1/search?q=custom+labels").is(http.StatusOK).all("title")); diff != "" {
		t.Errorf("by its name is found (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Labelle Custis"}, eve.get("/v1/search?q=label").is(http.StatusOK).all("title")); diff != "" {
		t.Errorf("another finds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{}, none.get("/v1/search?q=label").is(http.StatusOK).all("title")); diff != "" {
		t.Errorf("a staff member without permissions finds (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"pu-1"}, eve.get("/v1/portal-users?q=cust").is(http.StatusOK).all("portal_user_id")); diff != "" {
		t.Errorf("the recipient picker finds (-want +got):\n%s", diff)
	}
}

func TestSessions(t *testing.T) {
	s := newSystem(t)
	ada := s.staff(t, "Ada", policy.SendPortalMessage)
	s.portalUser(t, "pu-1")
	for name, c := range map[string]struct{ path, email, inside string }{
		"staff":  {"/v1/session", ada.email, "/v1/messages"},
		"portal": {"/v1/portal/session", "pu-1@example.org", "/v1/portal/messages"},
	} {
		t.Run(name, func(t *testing.T) {
			here, there := s.anonymous(t), s.anonymous(t)
			here.get(c.inside).is(http.StatusUnauthorized)
			wrong := here.post(c.path, map[string]any{"email": c.email, "password": "wrong"}).is(http.StatusUnauthorized)
			if wrong.at("type") != "/problems/wrong-credentials" || strings.Contains(string(wrong.body), c.email) {
				t.Errorf("a wrong password is answered with %s", wrong.body)
			}
			for _, device := range []*client{here, there} {
				device.post(c.path, map[string]any{"email": c.email, "password": password}).is(http.StatusOK)
				device.get(c.inside).is(http.StatusOK)
				device.get(c.path).is(http.StatusOK)
			}
			here.do(http.MethodDelete, c.path, nil).is(http.StatusNoContent)
			here.get(c.inside).is(http.StatusUnauthorized)
			there.get(c.inside).is(http.StatusOK)
			here.post(c.path, map[string]any{"email": c.email, "password": password}).is(http.StatusOK)
			here.do(http.MethodDelete, c.path+"?everywhere=true", nil).is(http.StatusNoContent)
			there.get(c.inside).is(http.StatusUnauthorized)
			here.do(http.MethodDelete, c.path, nil).is(http.StatusNoContent)
		})
	}
	// One realm's session opens nothing of the other's.
	pat := s.anonymous(t)
	pat.post("/v1/portal/session", map[string]any{"email": "pu-1@example.org", "password": password}).is(http.StatusOK)
	pat.get("/v1/messages").is(http.StatusUnauthorized)
	ada.get("/v1/portal/messages").is(http.StatusUnauthorized)
}
