package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
)

// world is what wrong requests are made in: there are messages, portal users and
// staff, and none of it is the asker's.
type world struct {
	*system
	staff, bare, pat *client // with every permission; with none; a portal user
	theirs           string  // a message of another sender, delivered to another portal user
	document         string  // its attachment
}

func newWorld(t *testing.T) world {
	w := world{system: newSystem(t)}
	w.staff = w.system.staff(t, "Ada", slices.DeleteFunc(slices.Clone(policy.All), func(p policy.Permission) bool { return p == policy.ReadRecord })...)
	w.bare = w.system.staff(t, "Bare")
	w.pat = w.portalUser(t, "pu-1")
	w.PortalUser(t, "pu-2")
	eve := w.system.staff(t, "Eve", policy.SendPortalMessage)
	w.document = eve.upload("a.pdf", pdf).is(http.StatusCreated).text("id")
	message := letter("s", "pu-2")
	message["attachment_ids"] = []string{w.document}
	w.theirs = eve.send(message)
	w.Deliver(t, uuid.MustParse(w.theirs))
	return w
}

// wrong is a request that must be refused, and how.
type wrong struct {
	name     string
	who      *client
	call     string // method and route, as in /openapi.json
	path     string // "": the route's own
	body     string
	form     bool // the body is a form
	header   []string
	status   int
	location string // that the answer names; "": none
}

// Wrong input to every endpoint is answered with a problem that says what is
// wrong and where; nothing is kept and nothing is published.
func TestWrongInput(t *testing.T) {
	w := newWorld(t)
	requests := slices.Concat(w.wrongAttachments(), w.wrongRecipients(), w.wrongMessages(), w.wrongSettings(), w.wrongRecord(), w.wrongPerson(), w.wrongErasures(), w.wrongGrants(), w.wrongEmergencies(), w.wrongInvitations(), w.wrongReceipts(), w.wrongDisclosures(), w.wrongOperating(), w.wrongReplays(), w.wrongTokens(), w.wrongSessions(), w.wrongPortal(), w.wrongLists(), w.wrongEverywhere())
	before := w.Keeps(t)
	tested := map[string]bool{}
	for _, c := range requests {
		tested[c.call] = true
		t.Run(c.call+" "+c.name, func(t *testing.T) {
			method, route, _ := strings.Cut(c.call, " ")
			path := c.path
			if path == "" {
				path = route
			}
			header := c.header
			if c.body != "" && !c.form && !slices.Contains(header, "Content-Type") {
				header = append(slices.Clone(header), "Content-Type", "application/json")
			}
			got := c.who.do(method, path, strings.NewReader(c.body), header...)
			if got.status != c.status {
				t.Fatalf("it is answered with %d, want %d: %s", got.status, c.status, got.body)
			}
			got.isProblem(t, c.location)
			if strings.Contains(string(got.body), "Xylophobia") {
				t.Errorf("the answer repeats what was sent: %s", got.body)
			}
		})
	}
	if diff := cmp.Diff(before, w.Keeps(t)); diff != "" {
		t.Errorf("something was kept or published:\n%s", diff)
	}
	for _, call := range w.calls(t) {
		if !tested[call] {
			t.Errorf("no wrong request is made of %s", call)
		}
	}
}

func (r *reply) isProblem(t *testing.T, location string) {
	t.Helper()
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("the answer is of type %s: %s", got, r.body)
	}
	if !strings.HasPrefix(r.text("type"), "/problems/") || r.text("title") == "" || r.text("detail") == "" || r.at("status") != float64(r.status) {
		t.Errorf("the problem does not say what it is: %s", r.body)
	}
	if location == "" {
		return
	}
	var p struct {
		Errors []struct{ Location, Message string }
	}
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Errors {
		if f.Location == location && f.Message != "" {
			return
		}
	}
	t.Errorf("the problem does not name %s: %s", location, r.body)
}

// calls returns every operation.
func (w world) calls(t *testing.T) []string {
	var described struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(w.bare.get("/openapi.json").is(http.StatusOK).body, &described); err != nil {
		t.Fatal(err)
	}
	var calls []string
	for path, operations := range described.Paths {
		for method := range operations {
			calls = append(calls, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(calls)
	return calls
}

func (w world) wrongAttachments() []wrong {
	const call = "POST /v1/attachments"
	whole, contentType := form("file", "Xylophobia.pdf", pdf)
	asForm := []string{"Content-Type", contentType}
	half := whole.String()[:whole.Len()/2]
	noEnd := whole.String()[:whole.Len()-len("--\r\n")]
	otherField, otherType := form("files", "a.pdf", pdf)
	empty, emptyType := form("file", "a.pdf", nil)
	program, programType := form("file", "a.pdf", []byte("\x7fELF\x02\x01\x01\x00 program"))
	html, htmlType := form("file", "a.pdf", []byte("<html><script>alert(1)</script>"))
	name, nameType := form("file", "a\xff.pdf", pdf)
	two := strings.TrimSuffix(whole.String(), "--\r\n") + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b.pdf\"\r\n\r\n%PDF-1.7\r\n" + whole.String()[:strings.Index(whole.String(), "\r\n")] + "--\r\n"
	return []wrong{
		{"half a form", w.staff, call, "", half, true, asForm, 400, "body"},
		{"a form without its end", w.staff, call, "", noEnd, true, asForm, 400, "body"},
		{"an empty form", w.staff, call, "", "--x--\r\n", true, []string{"Content-Type", "multipart/form-data; boundary=x"}, 422, "body.file"},
		{"another field", w.staff, call, "", otherField.String(), true, []string{"Content-Type", otherType}, 422, "body.files"},
		{"two files", w.staff, call, "", two, true, asForm, 422, "body"},
		{"no form", w.staff, call, "", "%PDF-1.7", true, []string{"Content-Type", "application/pdf"}, 415, "header.Content-Type"},
		{"no boundary", w.staff, call, "", whole.String(), true, []string{"Content-Type", "multipart/form-data"}, 415, "header.Content-Type"},
		{"an empty file", w.staff, call, "", empty.String(), true, []string{"Content-Type", emptyType}, 422, "body.file"},
		{"a program", w.staff, call, "", program.String(), true, []string{"Content-Type", programType}, 422, "body.file"},
		{"a page", w.staff, call, "", html.String(), true, []string{"Content-Type", htmlType}, 422, "body.file"},
		{"a broken name", w.staff, call, "", name.String(), true, []string{"Content-Type", nameType}, 422, "body.file"},
		{"no permission", w.bare, call, "", whole.String(), true, asForm, 403, ""},
		{"an unknown parameter", w.staff, call, call[5:] + "?name=x", whole.String(), true, asForm, 422, "query.name"},
	}
}

// wrongDisclosures are wrong bundles and accountings.
func (w world) wrongDisclosures() []wrong {
	rosa := w.system.staff(w.bare.t, "Rosa Disclosing", policy.ReadRecord)
	const bundle = "POST /v1/messages/{id}/deliveries/{portal_user_id}/bundle"
	path := "/v1/messages/" + w.theirs + "/deliveries/pu-2/bundle"
	const right = `{"to":"Lena Lawyer","purpose":"court order","basis":"other"}`
	all := []wrong{
		{"a portal user", w.pat, bundle, path, right, false, nil, 401, ""},
		{"no permission", w.staff, bundle, path, right, false, nil, 403, ""},
		{"to no one", rosa, bundle, path, `{"to":" ","purpose":"court order","basis":"other"}`, false, nil, 422, "body.to"},
		{"a control character", rosa, bundle, path, `{"to":"a\u0007","purpose":"court order","basis":"other"}`, false, nil, 422, "body.to"},
		{"no purpose", rosa, bundle, path, `{"to":"Lena Lawyer","basis":"other"}`, false, nil, 422, "body.purpose"},
		{"an unknown ground", rosa, bundle, path, `{"to":"Lena Lawyer","purpose":"court order","basis":"Xylophobia"}`, false, nil, 422, "body.basis"},
		{"a name that is too long", rosa, bundle, path, `{"to":"` + strings.Repeat("x", 201) + `","purpose":"court order","basis":"other"}`, false, nil, 422, "body.to"},
		{"content that is not theirs", rosa, bundle, path, `{"to":"Lena Lawyer","purpose":"court order","basis":"other","content":true}`, false, nil, 403, ""},
		{"no such message", rosa, bundle, "/v1/messages/" + uuid.NewString() + "/deliveries/pu-2/bundle", right, false, nil, 404, ""},
		{"no such recipient", rosa, bundle, "/v1/messages/" + w.theirs + "/deliveries/pu-99/bundle", right, false, nil, 404, ""},
	}
	for _, end := range []string{"disclosures", "disclosures.csv"} {
		call, path := "GET /v1/patients/{id}/"+end, "/v1/patients/pt-pu-2/"+end
		all = append(all, []wrong{
			{"a portal user", w.pat, call, path, "", false, nil, 401, ""},
			{"no permission", w.staff, call, path, "", false, nil, 403, ""},
			{"no such patient", rosa, call, "/v1/patients/unknown/" + end, "", false, nil, 404, ""},
			{"no id", rosa, call, "/v1/patients/" + strings.Repeat("x", 65) + "/" + end, "", false, nil, 404, "path.id"},
			{"no day", rosa, call, path + "?from=Xylophobia", "", false, nil, 422, "query.from"},
			{"too long a period", rosa, call, path + "?from=2019-01-01", "", false, nil, 422, "query.from"},
			{"an end before its beginning", rosa, call, path + "?from=2026-02-02&to=2026-02-01", "", false, nil, 422, "query.to"},
		}...)
	}
	return all
}

func (w world) wrongReceipts() []wrong {
	const receipt = "GET /v1/messages/{id}/deliveries/{portal_user_id}/receipt"
	path := "/v1/messages/" + w.theirs + "/deliveries/pu-2/receipt"
	return []wrong{
		{"no permission", w.staff, receipt, path, "", false, nil, 403, ""},
		{"a portal user", w.pat, receipt, path, "", false, nil, 401, ""},
	}
}

func (w world) wrongRecipients() []wrong {
	const preview, search = "POST /v1/recipients/preview", "GET /v1/portal-users"
	many := `"` + strings.Join(numbered(5001), `","`) + `"`
	return []wrong{
		{"nothing", w.staff, preview, "", ``, false, []string{"Content-Type", "application/json"}, 400, ""},
		{"no JSON", w.staff, preview, "", `{"recipients":`, false, nil, 400, "body.recipients"},
		{"two values", w.staff, preview, "", `{"recipients":{}} {}`, false, nil, 400, "body"},
		{"a name twice", w.staff, preview, "", `{"recipients":{},"recipients":{}}`, false, nil, 400, "body.recipients"},
		{"wrong type", w.staff, preview, "", `{"recipients":{"portal_user_ids":"pu-1"}}`, false, nil, 422, "body.recipients.portal_user_ids"},
		{"wrong type within", w.staff, preview, "", `{"recipients":{"portal_user_ids":["pu-1",2]}}`, false, nil, 422, "body.recipients.portal_user_ids[1]"},
		{"unknown field", w.staff, preview, "", `{"recipients":{"users":[]}}`, false, nil, 422, "body.recipients.users"},
		{"missing field", w.staff, preview, "", `{}`, false, nil, 422, "body.recipients"},
		{"unknown group", w.staff, preview, "", `{"recipients":{"groups":["everybody"]}}`, false, nil, 422, "body.recipients.groups[0]"},
		{"unknown portal user", w.staff, preview, "", `{"recipients":{"portal_user_ids":["pu-1","pu-9"]}}`, false, nil, 422, "body.recipients.portal_user_ids[1]"},
		{"no id", w.staff, preview, "", `{"recipients":{"portal_user_ids":["a b"]}}`, false, nil, 422, "body.recipients.portal_user_ids[0]"},
		{"too many", w.staff, preview, "", `{"recipients":{"portal_user_ids":[` + many + `]}}`, false, nil, 422, "body.recipients.portal_user_ids"},
		{"broken UTF-8", w.staff, preview, "", "{\"recipients\":{\"portal_user_ids\":[\"\xff\"]}}", false, nil, 400, "body.recipients.portal_user_ids[0]"},
		{"half a pair", w.staff, preview, "", `{"recipients":{"portal_user_ids":["\ud800"]}}`, false, nil, 400, "body.recipients.portal_user_ids[0]"},
		{"NUL", w.staff, preview, "", `{"recipients":{"portal_user_ids":["\u0000"]}}`, false, nil, 422, "body.recipients.portal_user_ids[0]"},
		{"no JSON at all", w.staff, preview, "", `recipients=1`, false, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "body"},
		{"too large", w.staff, preview, "", `{"recipients":{"groups":["` + strings.Repeat("x", 1<<20) + `"]}}`, false, nil, 413, ""},
		{"no permission", w.bare, preview, "", `{"recipients":{}}`, false, nil, 403, ""},

		{"limit not a number", w.staff, search, "/v1/portal-users?limit=ten", "", false, nil, 422, "query.limit"},
		{"limit 0", w.staff, search, "/v1/portal-users?limit=0", "", false, nil, 422, "query.limit"},
		{"limit 501", w.staff, search, "/v1/portal-users?limit=501", "", false, nil, 422, "query.limit"},
		{"wrong cursor", w.staff, search, "/v1/portal-users?cursor=xyz", "", false, nil, 422, "query.cursor"},
		{"too long", w.staff, search, "/v1/portal-users?q=" + strings.Repeat("x", 201), "", false, nil, 422, "query.q"},
		{"broken UTF-8", w.staff, search, "/v1/portal-users?q=%ff", "", false, nil, 400, "query.q"},
		{"NUL", w.staff, search, "/v1/portal-users?q=a%00b", "", false, nil, 400, "query.q"},
		{"unknown parameter", w.staff, search, "/v1/portal-users?query=x", "", false, nil, 422, "query.query"},
		{"no permission", w.bare, search, "", "", false, nil, 403, ""},
		{"a portal user", w.pat, search, "", "", false, nil, 401, ""},
	}
}

func numbered(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = uuid.NewString()
	}
	return all
}

func (w world) wrongLists() []wrong {
	const notices, readNotice = "GET /v1/notices", "POST /v1/notices/{id}/read"
	const unread, noEmail, patients, runs, period = "GET /v1/worklists/unread", "GET /v1/worklists/no-email", "GET /v1/patients", "GET /v1/invitations", "GET /v1/operations/messages"
	return []wrong{
		{"days below 0", w.staff, unread, "/v1/worklists/unread?days=-1", "", false, nil, 422, "query.days"},
		{"too many days", w.staff, unread, "/v1/worklists/unread?days=3651", "", false, nil, 422, "query.days"},
		{"a cursor of another list", w.staff, unread, "/v1/worklists/unread?cursor=AAAAAA", "", false, nil, 422, "query.cursor"},
		{"no permission", w.bare, unread, "", "", false, nil, 403, ""},
		{"a cursor of another list", w.staff, notices, "/v1/notices?cursor=AAAAAA", "", false, nil, 422, "query.cursor"},
		{"no choice", w.staff, notices, "/v1/notices?unread=perhaps", "", false, nil, 422, "query.unread"},
		{"no permission", w.bare, notices, "", "", false, nil, 403, ""},
		{"a negative sequence", w.staff, "POST /v1/notices/read", "", `{"seq":-1}`, false, nil, 422, "body.seq"},
		{"no permission", w.bare, "POST /v1/notices/read", "", `{"seq":1}`, false, nil, 403, ""},
		{"no sequence", w.staff, readNotice, "/v1/notices/" + w.theirs + "/read", `{}`, false, nil, 422, "body.seq"},
		{"another's message", w.staff, readNotice, "/v1/notices/" + w.theirs + "/read", `{"seq":1}`, false, nil, 404, ""},
		{"no id", w.staff, readNotice, "/v1/notices/17/read", `{"seq":1}`, false, nil, 404, "path.id"},
		{"a cursor of another list", w.staff, noEmail, "/v1/worklists/no-email?cursor=AAAAAAAA", "", false, nil, 422, "query.cursor"},
		{"no permission", w.bare, noEmail, "", "", false, nil, 403, ""},
		{"a long search", w.staff, patients, "/v1/patients?q=" + strings.Repeat("x", 201), "", false, nil, 422, "query.q"},
		{"no permission", w.bare, patients, "/v1/patients?q=a", "", false, nil, 403, ""},
		{"limit 0", w.staff, runs, "/v1/invitations?limit=0", "", false, nil, 422, "query.limit"},
		{"no permission", w.bare, runs, "", "", false, nil, 403, ""},
		{"no period", w.staff, period, "", "", false, nil, 422, "query.from"},
		{"no time", w.staff, period, "/v1/operations/messages?from=noon&to=2026-03-02T09:30:00Z", "", false, nil, 422, "query.from"},
		{"no permission", w.bare, period, "/v1/operations/messages?from=2026-03-02T09:30:00Z&to=2026-03-02T10:30:00Z", "", false, nil, 403, ""},
		{"no status", w.staff, "GET /v1/messages", "/v1/messages?status=lost", "", false, nil, 422, "query.status"},
		{"no time", w.staff, "GET /v1/messages", "/v1/messages?from=noon", "", false, nil, 422, "query.from"},
		{"no time", w.staff, "GET /v1/bcc", "/v1/bcc?to=noon", "", false, nil, 422, "query.to"},
		{"a long search", w.staff, "GET /v1/staff", "/v1/staff?q=" + strings.Repeat("x", 201), "", false, nil, 422, "query.q"},
	}
}

func (w world) wrongMessages() []wrong {
	const send, list, one, deliveries, stream, cancel, recall, document = "POST /v1/messages", "GET /v1/messages", "GET /v1/messages/{id}",
		"GET /v1/messages/{id}/deliveries", "GET /v1/messages/{id}/stream", "POST /v1/messages/{id}/cancel",
		"POST /v1/messages/{id}/recall", "GET /v1/messages/{id}/attachments/{attachment_id}"
	key := []string{"Idempotency-Key", "k"}
	message := func(change string) string {
		return `{"subject":"Xylophobia","body":"Xylophobia","recipients":{"portal_user_ids":["pu-1"]}` + change + `}`
	}
	all := []wrong{
		{"no key", w.staff, send, "", message(""), false, nil, 422, "header.Idempotency-Key"},
		{"a long key", w.staff, send, "", message(""), false, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 422, "header.Idempotency-Key"},
		{"a key with a space", w.staff, send, "", message(""), false, []string{"Idempotency-Key", "two words"}, 422, "header.Idempotency-Key"},
		{"nothing", w.staff, send, "", `{}`, false, key, 422, "body.subject"},
		{"empty", w.staff, send, "", `{"subject":"","body":"","recipients":{}}`, false, key, 422, "body.body"},
		{"a number for a subject", w.staff, send, "", `{"subject":1,"body":"b","recipients":{"portal_user_ids":["pu-1"]}}`, false, key, 422, "body.subject"},
		{"null for a body", w.staff, send, "", `{"subject":"s","body":null,"recipients":{"portal_user_ids":["pu-1"]}}`, false, key, 422, "body.body"},
		{"a long subject", w.staff, send, "", `{"subject":"` + strings.Repeat("ü", 201) + `","body":"b","recipients":{"portal_user_ids":["pu-1"]}}`, false, key, 422, "body.subject"},
		{"a long body", w.staff, send, "", `{"subject":"s","body":"` + strings.Repeat("ü", 100_001) + `","recipients":{"portal_user_ids":["pu-1"]}}`, false, key, 422, "body.body"},
		{"no recipient", w.staff, send, "", `{"subject":"s","body":"b","recipients":{}}`, false, key, 422, "body.recipients"},
		{"unknown portal user", w.staff, send, "", `{"subject":"s","body":"b","recipients":{"portal_user_ids":["pu-9"]}}`, false, key, 422, "body.recipients.portal_user_ids[0]"},
		{"broken UTF-8", w.staff, send, "", "{\"subject\":\"\xff\"}", false, key, 400, "body.subject"},
		{"unknown field", w.staff, send, "", message(`,"from":"x"`), false, key, 422, "body.from"},
		{"unknown Bcc", w.staff, send, "", message(`,"staff_bcc":["unknown"]`), false, key, 422, "body.staff_bcc[0]"},
		{"unknown attachment", w.staff, send, "", message(`,"attachment_ids":["` + uuid.NewString() + `"]`), false, key, 422, "body.attachment_ids[0]"},
		{"another's attachment", w.staff, send, "", message(`,"attachment_ids":["` + w.document + `"]`), false, key, 422, "body.attachment_ids[0]"},
		{"no attachment id", w.staff, send, "", message(`,"attachment_ids":["x"]`), false, key, 422, "body.attachment_ids[0]"},
		{"no time", w.staff, send, "", message(`,"send_at":"tomorrow"`), false, key, 422, "body.send_at"},
		{"in the past", w.staff, send, "", message(`,"send_at":"2020-01-01T00:00:00Z"`), false, key, 422, "body.send_at"},
		{"long undo", w.staff, send, "", message(`,"undo_seconds":601`), false, key, 422, "body.undo_seconds"},
		{"half an undo", w.staff, send, "", message(`,"undo_seconds":0.5`), false, key, 422, "body.undo_seconds"},
		{"huge undo", w.staff, send, "", message(`,"undo_seconds":99999999999999999999`), false, key, 422, "body"},
		{"a wrong digest", w.staff, send, "", message(`,"audience_digest":"sha256:0"`), false, key, 409, "body.audience_digest"},
		{"no permission", w.bare, send, "", message(""), false, key, 403, ""},

		{"wrong cursor", w.staff, list, "/v1/messages?cursor=!", "", false, nil, 422, "query.cursor"},
		{"no permission", w.bare, list, "", "", false, nil, 403, ""},

		{"unknown filter", w.staff, deliveries, "/v1/messages/" + w.theirs + "/deliveries?alert=lost", "", false, nil, 422, "query.alert"},
		{"unknown opened", w.staff, deliveries, "/v1/messages/" + w.theirs + "/deliveries?opened=maybe", "", false, nil, 422, "query.opened"},
		{"a list's cursor", w.staff, deliveries, "/v1/messages/" + w.theirs + "/deliveries?cursor=AZmZmQ00000", "", false, nil, 422, "query.cursor"},

		{"no reason", w.staff, recall, "/v1/messages/" + w.theirs + "/recall", `{}`, false, nil, 422, "body.reason"},
		{"blank reason", w.staff, recall, "/v1/messages/" + w.theirs + "/recall", `{"reason":" "}`, false, nil, 422, "body.reason"},
		{"long reason", w.staff, recall, "/v1/messages/" + w.theirs + "/recall", `{"reason":"` + strings.Repeat("x", 501) + `"}`, false, nil, 422, "body.reason"},
		{"no body", w.staff, recall, "/v1/messages/" + w.theirs + "/recall", ``, false, nil, 400, ""},
	}
	for _, call := range []string{one, deliveries, stream, cancel, recall, document} {
		body := ""
		if call == recall {
			body = `{"reason":"x"}`
		}
		_, route, _ := strings.Cut(call, " ")
		at := func(id, attachment string) string {
			return strings.NewReplacer("{id}", id, "{attachment_id}", attachment).Replace(route)
		}
		all = append(all,
			wrong{"no id", w.staff, call, at("17", w.document), body, false, nil, 404, "path.id"},
			wrong{"an unknown id", w.staff, call, at(uuid.NewString(), w.document), body, false, nil, 404, ""},
			wrong{"another's message", w.staff, call, at(w.theirs, w.document), body, false, nil, 404, ""},
			wrong{"broken UTF-8", w.staff, call, at("%ff", w.document), body, false, nil, 400, "path"},
			wrong{"unauthenticated", w.unauthenticated(), call, at(w.theirs, w.document), body, false, nil, 401, ""})
	}
	return append(all, wrong{"no attachment id", w.staff, document, "/v1/messages/" + w.theirs + "/attachments/1", "", false, nil, 404, "path.attachment_id"})
}

func (w world) unauthenticated() *client { return w.anonymous(w.staff.t) }

func (w world) wrongSettings() []wrong {
	const thePassword = password
	const clinic = "PUT /v1/clinic"
	details := func(version, colour, logo string) string {
		return `{"name":"","telephone":"","address":"","hours":"","help":"","version":` + version + `,"colour":"` + colour + `"` + logo + `}`
	}
	const getLabels, labels, listStaff, getPermissions, permissions, bcc, search = "GET /v1/labels", "PUT /v1/labels", "GET /v1/staff",
		"GET /v1/staff/{id}/permissions", "PUT /v1/staff/{id}/permissions", "GET /v1/bcc", "GET /v1/search"
	bare := "/v1/staff/" + w.bare.id + "/permissions"
	var all []wrong
	for _, verb := range []string{"disable", "enable", "cancel-scheduled"} {
		call := "POST /v1/staff/{id}/" + verb
		all = append(all, wrong{"no permission", w.bare, call, "/v1/staff/x/" + verb, "", false, nil, 403, ""},
			wrong{"unknown staff", w.staff, call, "/v1/staff/unknown/" + verb, "", false, nil, 404, ""})
	}
	const reset, add, change, link, password = "DELETE /v1/staff/{id}/second-factor", "POST /v1/staff", "PATCH /v1/staff/{id}", "POST /v1/staff/{id}/reset", "POST /v1/session/password"
	const unlink, identity = "POST /v1/session/unlink", "DELETE /v1/staff/{id}/identity"
	signedIn := w.staff.session(w.system)
	return append(all, []wrong{
		{"no permission", w.bare, add, "", `{"email":"a@b.test","name":"A"}`, false, nil, 403, ""},
		{"no address", w.staff, add, "", `{"name":"A"}`, false, nil, 422, "body.email"},
		{"wrong address", w.staff, add, "", `{"email":"Xylophobia","name":"A"}`, false, nil, 422, "body.email"},
		{"blank name", w.staff, add, "", `{"email":"a@b.test","name":" "}`, false, nil, 422, "body.name"},
		{"unknown permission", w.staff, add, "", `{"email":"a@b.test","name":"A","permissions":["fly"]}`, false, nil, 422, "body.permissions[0]"},
		{"a password", w.staff, add, "", `{"email":"a@b.test","name":"A","password":"Xylophobia"}`, false, nil, 422, "body.password"},
		{"an address that is taken", w.staff, add, "", `{"email":"` + w.bare.email + `","name":"A"}`, false, nil, 409, ""},
		{"no permission", w.bare, change, "/v1/staff/" + w.bare.id, `{"name":"A"}`, false, nil, 403, ""},
		{"unknown staff", w.staff, change, "/v1/staff/unknown", `{"name":"A"}`, false, nil, 404, ""},
		{"blank name", w.staff, change, "/v1/staff/" + w.bare.id, `{"name":" "}`, false, nil, 422, "body.name"},
		{"wrong address", w.staff, change, "/v1/staff/" + w.bare.id, `{"email":"Xylophobia"}`, false, nil, 422, "body.email"},
		{"one's own address", w.staff, change, "/v1/staff/" + w.staff.id, `{"email":"a@b.test"}`, false, nil, 409, ""},
		{"no permission", w.bare, link, "/v1/staff/x/reset", "", false, nil, 403, ""},
		{"no e-mail service", w.staff, link, "/v1/staff/" + w.bare.id + "/reset", "", false, nil, 503, ""},
		{"unauthenticated", w.unauthenticated(), password, "", `{"current":"x","new":"y"}`, false, nil, 401, ""},
		{"a token", w.staff, password, "", `{"current":"` + thePassword + `","new":"another brook under it"}`, false, nil, 403, ""},
		{"no new password", signedIn, password, "", `{"current":"x"}`, false, nil, 422, "body.new"},
		{"wrong password", signedIn, password, "", `{"current":"Xylophobia","new":"another brook under it"}`, false, nil, 422, "body.current"},
		{"short password", signedIn, password, "", `{"current":"` + thePassword + `","new":"short"}`, false, nil, 422, "body.new"},
		{"unauthenticated", w.unauthenticated(), unlink, "", `{"password":"x"}`, false, nil, 401, ""},
		{"a token", w.staff, unlink, "", `{"password":"` + thePassword + `"}`, false, nil, 403, ""},
		{"no password", signedIn, unlink, "", `{}`, false, nil, 422, "body.password"},
		{"wrong password", signedIn, unlink, "", `{"password":"Xylophobia"}`, false, nil, 422, "body.password"},
		{"no permission", w.bare, identity, "/v1/staff/x/identity", "", false, nil, 403, ""},
		{"unknown staff", w.staff, identity, "/v1/staff/unknown/identity", "", false, nil, 404, ""},
		{"one's own", w.staff, identity, "/v1/staff/" + w.staff.id + "/identity", "", false, nil, 409, ""},
		{"no permission", w.bare, reset, "/v1/staff/x/second-factor", "", false, nil, 403, ""},
		{"unknown staff", w.staff, reset, "/v1/staff/unknown/second-factor", "", false, nil, 404, ""},
		{"unknown label", w.staff, labels, "", `{"doctor":{"one":"a","many":"b"}}`, false, nil, 422, "body.doctor"},
		{"empty label", w.staff, labels, "", `{"patient":{"one":"","many":"b"}}`, false, nil, 422, "body.patient.one"},
		{"long label", w.staff, labels, "", `{"patient":{"one":"a","many":"` + strings.Repeat("x", 41) + `"}}`, false, nil, 422, "body.patient.many"},
		{"half a label", w.staff, labels, "", `{"patient":{"one":"a"}}`, false, nil, 422, "body.patient.many"},
		{"two lines", w.staff, labels, "", `{"patient":{"one":"a\nb","many":"b"}}`, false, nil, 422, "body.patient.one"},
		{"no permission", w.bare, labels, "", `{}`, false, nil, 403, ""},
		{"a cursor of another list", w.staff, "GET /v1/drafts", "/v1/drafts?cursor=AAAAAAAAAAE", "", false, nil, 422, "query.cursor"},
		{"a limit too high", w.staff, "GET /v1/drafts", "/v1/drafts?limit=501", "", false, nil, 422, "query.limit"},
		{"no permission to send", w.bare, "GET /v1/drafts", "", "", false, nil, 403, ""},
		{"a parameter too many", w.staff, "GET /v1/wordings", "/v1/wordings?q=x", "", false, nil, 422, "query.q"},
		{"no name", w.staff, "POST /v1/wordings", "", `{"name":" ","subject":"","body":"x","published":false}`, false, nil, 422, "body.name"},
		{"no permission to publish", w.bare, "POST /v1/wordings", "", `{"name":"x","subject":"","body":"x","published":true}`, false, nil, 403, ""},
		{"no version", w.staff, "PUT /v1/wordings/{id}", "/v1/wordings/" + uuid.NewString(), `{"name":"x","subject":"","body":"x","published":false}`, false, nil, 422, "query.version"},
		{"no such wording", w.staff, "PUT /v1/wordings/{id}", "/v1/wordings/" + uuid.NewString() + "?version=1", `{"name":"x","subject":"","body":"x","published":false}`, false, nil, 404, ""},
		{"no such wording", w.staff, "DELETE /v1/wordings/{id}", "/v1/wordings/" + uuid.NewString() + "?version=1", "", false, nil, 404, ""},
		{"no id", w.staff, "DELETE /v1/wordings/{id}", "/v1/wordings/17?version=1", "", false, nil, 404, "path.id"},
		{"unauthenticated", w.unauthenticated(), "GET /v1/clinic", "", "", false, nil, 401, ""},
		{"an unreadable colour", w.staff, clinic, "", details("0", "#ffffff", ""), false, nil, 422, "body.colour"},
		{"a colour and more", w.staff, clinic, "", details("0", "#000000;}", ""), false, nil, 422, "body.colour"},
		{"no picture", w.staff, clinic, "", details("0", "", `,"logo":{"media_type":"image/png","data":"aGVsbG8="}`), false, nil, 422, "body.logo"},
		{"another kind of picture", w.staff, clinic, "", details("0", "", `,"logo":{"media_type":"image/png","data":"PHN2Zy8+"}`), false, nil, 422, "body.logo.media_type"},
		{"no version", w.staff, clinic, "", `{"name":"","telephone":"","address":"","hours":"","help":"","colour":""}`, false, nil, 422, "body.version"},
		{"another version", w.staff, clinic, "", details("7", "", ""), false, nil, 409, ""},
		{"no permission", w.bare, clinic, "", details("0", "", ""), false, nil, 403, ""},
		{"unauthenticated", w.unauthenticated(), getLabels, "", "", false, nil, 401, ""},
		{"wrong cursor", w.staff, listStaff, "/v1/staff?cursor=_____w", "", false, nil, 422, "query.cursor"},
		{"no permission", w.bare, getPermissions, bare, "", false, nil, 403, ""},
		{"unknown staff", w.staff, getPermissions, "/v1/staff/unknown/permissions", "", false, nil, 404, ""},
		{"long id", w.staff, getPermissions, "/v1/staff/" + strings.Repeat("x", 65) + "/permissions", "", false, nil, 404, "path.id"},
		{"unknown staff", w.staff, permissions, "/v1/staff/unknown/permissions", `{"permissions":[]}`, false, nil, 404, ""},
		{"unknown permission", w.staff, permissions, bare, `{"permissions":["read_record","fly"]}`, false, nil, 422, "body.permissions[1]"},
		{"no list", w.staff, permissions, bare, `{"permissions":"read_record"}`, false, nil, 422, "body.permissions"},
		{"too many", w.staff, permissions, bare, `{"permissions":[` + strings.Repeat(`"read_record",`, 50) + `"read_record"]}`, false, nil, 422, "body.permissions"},
		{"no permission", w.bare, permissions, bare, `{"permissions":["manage_staff"]}`, false, nil, 403, ""},
		{"wrong limit", w.staff, bcc, "/v1/bcc?limit=-1", "", false, nil, 422, "query.limit"},
		{"no question", w.staff, search, "/v1/search", "", false, nil, 422, "query.q"},
		{"broken UTF-8", w.staff, search, "/v1/search?q=%c3%28", "", false, nil, 400, "query.q"},
	}...)
}

func (w world) wrongPerson() []wrong {
	const call, path = "GET /v1/portal-users/{id}/deliveries", "/v1/portal-users/pu-1/deliveries"
	rosa := w.system.staff(w.bare.t, "Rosa of people", policy.ReadRecord)
	return []wrong{
		{"no permission", w.bare, call, path, "", false, nil, 403, ""},
		{"a portal user", w.pat, call, path, "", false, nil, 401, ""},
		{"no such portal user", rosa, call, "/v1/portal-users/pu-0/deliveries", "", false, nil, 404, ""},
		{"no id", rosa, call, "/v1/portal-users/a%20b/deliveries", "", false, nil, 404, "path.id"},
		{"what to show is none of the four", rosa, call, path + "?show=Xylophobia", "", false, nil, 422, "query.show"},
		{"no time", rosa, call, path + "?from=yesterday", "", false, nil, 422, "query.from"},
		{"an end before the beginning", rosa, call, path + "?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "", false, nil, 422, "query.to"},
		{"no cursor", rosa, call, path + "?cursor=x", "", false, nil, 422, "query.cursor"},
	}
}

func (w world) wrongRecord() (all []wrong) {
	rosa := w.system.staff(w.bare.t, "Rosa", policy.ReadRecord)
	const list, event, manifest = "GET /v1/record", "GET /v1/record/{seq}", "GET /v1/record/exports/{id}"
	for _, call := range []string{list, "GET /v1/record.csv", "GET /v1/record.ndjson", "GET /v1/record.fhir.ndjson"} {
		path := call[4:]
		all = append(all, []wrong{
			{"message no id", rosa, call, path + "?message_id=7", "", false, nil, 422, "query.message_id"},
			{"portal user no id", rosa, call, path + "?portal_user_id=a%20b", "", false, nil, 422, "query.portal_user_id"},
			{"patient no id", rosa, call, path + "?patient_id=" + strings.Repeat("x", 65), "", false, nil, 422, "query.patient_id"},
			{"type in capitals", rosa, call, path + "?type=Xylophobia", "", false, nil, 422, "query.type"},
			{"actor of no kind", rosa, call, path + "?actor=Xylophobia", "", false, nil, 422, "query.actor"},
			{"from no time", rosa, call, path + "?from=yesterday", "", false, nil, 422, "query.from"},
			{"to without zone", rosa, call, path + "?to=2026-01-01T00:00:00", "", false, nil, 422, "query.to"},
			{"to before from", rosa, call, path + "?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "", false, nil, 422, "query.to"},
			{"an unknown parameter", rosa, call, path + "?message=7", "", false, nil, 422, "query.message"},
			{"broken UTF-8", rosa, call, path + "?actor=%ff", "", false, nil, 400, "query.actor"},
			{"no permission", w.staff, call, "", "", false, nil, 403, ""},
			{"a portal user", w.pat, call, "", "", false, nil, 401, ""},
		}...)
	}
	return append(all, []wrong{
		{"limit 501", rosa, list, "/v1/record?limit=501", "", false, nil, 422, "query.limit"},
		{"a wrong cursor", rosa, list, "/v1/record?cursor=xyz", "", false, nil, 422, "query.cursor"},
		{"a cursor of another list", rosa, list, "/v1/record?cursor=_____________________w", "", false, nil, 422, "query.cursor"},
		{"no number", rosa, event, "/v1/record/first", "", false, nil, 404, "path.seq"},
		{"event 0", rosa, event, "/v1/record/0", "", false, nil, 404, "path.seq"},
		{"no such event", rosa, event, "/v1/record/9007199254740991", "", false, nil, 404, ""},
		{"no permission", w.staff, event, "/v1/record/1", "", false, nil, 403, ""},
		{"an unknown parameter", rosa, "GET /v1/record/checkpoint", "/v1/record/checkpoint?size=7", "", false, nil, 422, "query.size"},
		{"none that is old enough", w.staff, "GET /v1/record/checkpoint", "", "", false, nil, 404, ""},
		{"an unknown parameter", rosa, "GET /v1/record/key", "/v1/record/key?name=x", "", false, nil, 422, "query.name"},
		{"no id", rosa, manifest, "/v1/record/exports/7", "", false, nil, 404, "path.id"},
		{"no such export", rosa, manifest, "/v1/record/exports/" + uuid.NewString(), "", false, nil, 404, ""},
		{"no permission", w.staff, manifest, "/v1/record/exports/" + uuid.NewString(), "", false, nil, 403, ""},
	}...)
}

func (w world) wrongReplays() []wrong {
	const plan, list, start = "POST /v1/replays", "GET /v1/replays", "POST /v1/replays/{id}/start"
	planned := func(filter string) string { return `{"filter":{` + filter + `},"reason":"Xylophobia"}` }
	all := []wrong{
		{"nothing", w.staff, plan, "", `{}`, false, nil, 422, "body.filter"},
		{"no filter", w.staff, plan, "", `{"reason":"x"}`, false, nil, 422, "body.filter"},
		{"no reason", w.staff, plan, "", `{"filter":{}}`, false, nil, 422, "body.reason"},
		{"blank reason", w.staff, plan, "", `{"filter":{},"reason":" "}`, false, nil, 422, "body.reason"},
		{"long reason", w.staff, plan, "", `{"filter":{},"reason":"` + strings.Repeat("x", 501) + `"}`, false, nil, 422, "body.reason"},
		{"another state", w.staff, plan, "", planned(`"state":["failed","accepted"]`), false, nil, 422, "body.filter.state[1]"},
		{"no id", w.staff, plan, "", planned(`"message_id":"17"`), false, nil, 422, "body.filter.message_id"},
		{"no time", w.staff, plan, "", planned(`"from":"yesterday"`), false, nil, 422, "body.filter.from"},
		{"ends before it begins", w.staff, plan, "", planned(`"from":"2026-02-01T00:00:00Z","to":"2026-01-01T00:00:00Z"`), false, nil, 422, "body.filter.to"},
		{"a whole address", w.staff, plan, "", planned(`"domain":"someone@example.org"`), false, nil, 422, "body.filter.domain"},
		{"unknown field", w.staff, plan, "", planned(`"everything":true`), false, nil, 422, "body.filter.everything"},
		{"broken UTF-8", w.staff, plan, "", planned("\"reason\":\"\xff\""), false, nil, 400, "body.filter.reason"},
		{"no permission", w.bare, plan, "", planned(""), false, nil, 403, ""},
		{"wrong cursor", w.staff, list, list[4:] + "?cursor=x", "", false, nil, 422, "query.cursor"},
		{"no permission", w.bare, list, "", "", false, nil, 403, ""},
		{"no rate", w.staff, start, "/v1/replays/" + uuid.NewString() + "/start", `{"rate":"fast"}`, false, nil, 422, "body.rate"},
		{"less than none", w.staff, start, "/v1/replays/" + uuid.NewString() + "/start", `{"rate":-1}`, false, nil, 422, "body.rate"},
	}
	for _, call := range []string{"GET /v1/replays/{id}", start, "POST /v1/replays/{id}/pause", "POST /v1/replays/{id}/resume", "POST /v1/replays/{id}/cancel"} {
		_, route, _ := strings.Cut(call, " ")
		at := func(id string) string { return strings.ReplaceAll(route, "{id}", id) }
		all = append(all,
			wrong{"no id", w.staff, call, at("17"), "", false, nil, 404, "path.id"},
			wrong{"an unknown id", w.staff, call, at(uuid.NewString()), "", false, nil, 404, ""},
			wrong{"no permission", w.bare, call, at(uuid.NewString()), "", false, nil, 403, ""},
			wrong{"unauthenticated", w.unauthenticated(), call, at(uuid.NewString()), "", false, nil, 401, ""})
	}
	return all
}

func (w world) wrongPortal() []wrong {
	const list, open, document = "GET /v1/portal/messages", "GET /v1/portal/messages/{id}", "GET /v1/portal/messages/{id}/attachments/{attachment_id}"
	all := []wrong{
		{"wrong limit", w.pat, list, "/v1/portal/messages?limit=1e3", "", false, nil, 422, "query.limit"},
		{"wrong cursor", w.pat, list, "/v1/portal/messages?cursor=" + url.QueryEscape("a b"), "", false, nil, 422, "query.cursor"},
		{"staff", w.staff, list, "", "", false, nil, 401, ""},
		{"no number", w.pat, list, "/v1/portal/messages?patient=ana", "", false, nil, 422, "query.patient"},
		{"no choice", w.pat, list, "/v1/portal/messages?unread=perhaps", "", false, nil, 422, "query.unread"},
		{"long words", w.pat, list, "/v1/portal/messages?q=" + strings.Repeat("x", 201), "", false, nil, 422, "query.q"},
		{"staff", w.staff, "GET /v1/portal/patients", "", "", false, nil, 401, ""},
		{"a parameter too many", w.pat, "GET /v1/portal/patients", "/v1/portal/patients?q=x", "", false, nil, 422, "query.q"},
	}
	for _, call := range []string{open, document, open + "/receipt", "POST /v1/portal/messages/{id}/unread"} {
		_, route, _ := strings.Cut(call, " ")
		at := func(id string) string {
			return strings.NewReplacer("{id}", id, "{attachment_id}", w.document).Replace(route)
		}
		all = append(all,
			wrong{"no id", w.pat, call, at("17"), "", false, nil, 404, "path.id"},
			wrong{"an unknown id", w.pat, call, at(uuid.NewString()), "", false, nil, 404, ""},
			wrong{"another's message", w.pat, call, at(w.theirs), "", false, nil, 404, ""},
			wrong{"unauthenticated", w.unauthenticated(), call, at(w.theirs), "", false, nil, 401, ""})
	}
	for _, realm := range []string{"/v1/session", "/v1/portal/session"} {
		who := w.unauthenticated()
		all = append(all,
			wrong{"nothing", who, "POST " + realm, "", ``, false, nil, 400, ""},
			wrong{"no password", who, "POST " + realm, "", `{"email":"a@example.org"}`, false, nil, 422, "body.password"},
			wrong{"wrong type", who, "POST " + realm, "", `{"email":["a"],"password":"Xylophobia"}`, false, nil, 422, "body.email"},
			wrong{"long", who, "POST " + realm, "", `{"email":"a","password":"` + strings.Repeat("Xylophobia", 103) + `"}`, false, nil, 422, "body.password"},
			wrong{"broken UTF-8", who, "POST " + realm, "", "{\"email\":\"a\",\"password\":\"\xff\"}", false, nil, 400, "body.password"},
			wrong{"unknown field", who, "POST " + realm, "", `{"email":"a","password":"Xylophobia","admin":true}`, false, nil, 422, "body.admin"},
			wrong{"unauthenticated", who, "GET " + realm, "", "", false, nil, 401, ""},
			wrong{"neither true nor false", who, "DELETE " + realm, realm + "?everywhere=perhaps", "", false, nil, 422, "query.everywhere"})
	}
	return all
}

func (w world) wrongTokens() []wrong {
	const list, create, revoke, listOf, revokeOf = "GET /v1/tokens", "POST /v1/tokens", "DELETE /v1/tokens/{id}", "GET /v1/staff/{id}/tokens", "DELETE /v1/staff/{id}/tokens/{token_id}"
	in := w.staff.session(w.system)
	at := func(id string) string { return "/v1/staff/" + w.bare.id + "/tokens/" + id }
	return []wrong{
		{"wrong cursor", in, list, "/v1/tokens?cursor=_____w", "", false, nil, 422, "query.cursor"},
		{"a portal user", w.pat, list, "", "", false, nil, 401, ""},
		{"a token", w.staff, create, "", `{"name":"Xylophobia"}`, false, nil, 403, ""},
		{"unauthenticated", w.unauthenticated(), create, "", `{"name":"Xylophobia"}`, false, nil, 401, ""},
		{"nothing", in, create, "", `{}`, false, nil, 422, "body.name"},
		{"blank name", in, create, "", `{"name":" "}`, false, nil, 422, "body.name"},
		{"long name", in, create, "", `{"name":"` + strings.Repeat("x", 101) + `"}`, false, nil, 422, "body.name"},
		{"unknown permission", in, create, "", `{"name":"x","permissions":["fly"]}`, false, nil, 422, "body.permissions[0]"},
		{"a permission that they lack", in, create, "", `{"name":"x","permissions":["read_record"]}`, false, nil, 422, "body.permissions"},
		{"no permission", in, create, "", `{"name":"x","permissions":[]}`, false, nil, 422, "body.permissions"},
		{"no time", in, create, "", `{"name":"x","expires_at":"tomorrow"}`, false, nil, 422, "body.expires_at"},
		{"in the past", in, create, "", `{"name":"x","expires_at":"2020-01-01T00:00:00Z"}`, false, nil, 422, "body.expires_at"},
		{"too late", in, create, "", `{"name":"x","expires_at":"2999-01-01T00:00:00Z"}`, false, nil, 422, "body.expires_at"},
		{"unknown field", in, create, "", `{"name":"x","staff_id":"y"}`, false, nil, 422, "body.staff_id"},
		{"no id", in, revoke, "/v1/tokens/17", "", false, nil, 404, "path.id"},
		{"an unknown id", in, revoke, "/v1/tokens/" + uuid.NewString(), "", false, nil, 404, ""},
		{"a token", w.staff, revoke, "/v1/tokens/" + uuid.NewString(), "", false, nil, 403, ""},
		{"no permission", w.bare, listOf, "/v1/staff/" + w.bare.id + "/tokens", "", false, nil, 403, ""},
		{"unknown staff", w.staff, listOf, "/v1/staff/unknown/tokens", "", false, nil, 404, ""},
		{"no permission", w.bare, revokeOf, at(uuid.NewString()), "", false, nil, 403, ""},
		{"no id", w.staff, revokeOf, at("17"), "", false, nil, 404, "path.token_id"},
		{"an unknown id", w.staff, revokeOf, at(uuid.NewString()), "", false, nil, 404, ""},
	}
}

func (w world) wrongSessions() []wrong {
	all := []wrong{
		{"no permission", w.bare, "DELETE /v1/staff/{id}/sessions", "/v1/staff/" + w.staff.id + "/sessions", "", false, nil, 403, ""},
		{"unknown staff", w.staff, "DELETE /v1/staff/{id}/sessions", "/v1/staff/unknown/sessions", "", false, nil, 404, ""},
		{"no permission", w.bare, "DELETE /v1/portal-users/{id}/sessions", "/v1/portal-users/pu-1/sessions", "", false, nil, 403, ""},
		{"unknown portal user", w.staff, "DELETE /v1/portal-users/{id}/sessions", "/v1/portal-users/unknown/sessions", "", false, nil, 404, ""},
		{"a token", w.staff, "POST /v1/portal-users/{id}/letter", "/v1/portal-users/pu-1/letter", "", false, nil, 403, ""},
		{"no permission", w.bare, "DELETE /v1/portal-users/{id}/second-factor", "/v1/portal-users/pu-1/second-factor", "", false, nil, 403, ""},
		{"unknown portal user", w.staff, "DELETE /v1/portal-users/{id}/second-factor", "/v1/portal-users/unknown/second-factor", "", false, nil, 404, ""},
		{"a token", w.staff, "DELETE /v1/sessions", "", "", false, nil, 403, ""},
		{"a token", w.staff, "DELETE /v1/sessions/{id}", "/v1/sessions/" + uuid.NewString(), "", false, nil, 403, ""},
	}
	for list, who := range map[string]*client{"/v1/sessions": w.staff.session(w.system), "/v1/portal/sessions": w.pat} {
		all = append(all,
			wrong{"wrong limit", who, "GET " + list, list + "?limit=0", "", false, nil, 422, "query.limit"},
			wrong{"unauthenticated", w.unauthenticated(), "GET " + list, "", "", false, nil, 401, ""},
			wrong{"an unknown parameter", who, "DELETE " + list, list + "?all=true", "", false, nil, 422, "query.all"},
			wrong{"unauthenticated", w.unauthenticated(), "DELETE " + list, "", "", false, nil, 401, ""},
			wrong{"no id", who, "DELETE " + list + "/{id}", list + "/17", "", false, nil, 404, "path.id"},
			wrong{"an unknown id", who, "DELETE " + list + "/{id}", list + "/" + uuid.NewString(), "", false, nil, 404, ""})
	}
	return all
}

func (w world) wrongEverywhere() []wrong {
	bad := *w.staff
	bad.token = "pst_wrong"
	return []wrong{
		{"a wrong token", &bad, "GET /v1/messages", "", "", false, nil, 401, ""},
		{"another scheme", w.unauthenticated(), "GET /v1/messages", "", "", false, []string{"Authorization", "Basic YTpi"}, 401, ""},
		{"no such address", w.staff, "GET /v1/nothing", "", "", false, nil, 404, ""},
		{"no such portal address", w.pat, "GET /v1/portal/nothing", "", "", false, nil, 404, ""},
		{"no such method", w.staff, "DELETE /v1/messages", "", "", false, nil, 405, ""},
		{"no signature of SendGrid's", w.staff, "POST /webhooks/sendgrid", "", `[{"email":"Xylophobia"}]`, false, nil, 401, ""},
		{"a half query", w.staff, "GET /v1/messages", "/v1/messages?limit=%zz", "", false, nil, 400, "query"},
	}
}

// A connection that ends in the middle of an upload leaves nothing.
func TestABrokenConnectionLeavesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.Keeps(t)
	body, contentType := form("file", "a.pdf", bytes.Repeat(pdf, 1000))
	ends, begins := io.Pipe()
	go func() {
		_, _ = begins.Write(body.Bytes()[:body.Len()/2])
		_ = begins.CloseWithError(io.ErrUnexpectedEOF)
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/v1/attachments", ends)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer "+w.staff.token)
	if res, err := http.DefaultClient.Do(r); err == nil {
		_ = res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("it is answered with %d", res.StatusCode)
		}
	}
	if diff := cmp.Diff(before, w.Keeps(t)); diff != "" {
		t.Errorf("something was kept:\n%s", diff)
	}
}

// Metrics tell of routes and never of what was asked for.
func TestMetricsNameNobody(t *testing.T) {
	w := newWorld(t)
	w.staff.get("/v1/messages/" + w.theirs).is(http.StatusNotFound)
	metrics := string(w.unauthenticated().get("/metrics").is(http.StatusOK).body)
	if !regexp.MustCompile(`route="GET /v1/messages/\{id\}",status="404"\} 1`).MatchString(metrics) {
		t.Errorf("the request was not counted:\n%s", metrics)
	}
	if strings.Contains(metrics, w.theirs) || strings.Contains(metrics, "pu-1") {
		t.Error("the metrics name what was asked for")
	}
}
