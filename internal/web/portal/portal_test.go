package portal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	details "postern/internal/clinic"
	"postern/internal/compose"
	"postern/internal/compose/composetest"
	"postern/internal/directory/audience"
	"postern/internal/giveup"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// A clinic is a site on which Ada Brook sends messages.
type clinic struct {
	*webtest.Site
	t   *testing.T
	ada policy.Subject
}

func newClinic(t *testing.T) clinic {
	t.Helper()
	s := webtest.New(t)
	return clinic{s, t, s.System.Staff(t, "Ada Brook", policy.SendPortalMessage)}
}

// message is a message that Ada sends.
type message struct {
	subject, body string
	documents     []webtest.File
	bcc           []string
	about         []audience.About
}

// send sends a message, waits until its recipients are alerted, and returns its id.
func (c clinic) send(m message, to ...string) string {
	c.t.Helper()
	request := compose.Request{Subject: m.subject, Body: m.body, Recipients: audience.Selection{PortalUserIDs: to, About: m.about}, StaffBcc: m.bcc}
	for _, d := range m.documents {
		up, err := c.Web.Composer.Upload(c.t.Context(), c.ada, d.Name, bytes.NewReader(d.Data))
		if err != nil {
			c.t.Fatal(err)
		}
		request.AttachmentIDs = append(request.AttachmentIDs, up.ID)
	}
	alerts := c.Mails.Count() + len(to)
	sent, err := c.Web.Composer.Send(c.t.Context(), c.ada, uuid.NewString(), request)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), giveup.After)
	defer cancel()
	if err := c.Mails.WaitFor(ctx, alerts); err != nil {
		c.t.Fatal(err)
	}
	return sent.ID.String()
}

// document returns the address of a message's only document.
func (c clinic) document(message string) string {
	c.t.Helper()
	headers, err := c.Web.Reader.Headers(c.t.Context(), []uuid.UUID{uuid.MustParse(message)})
	if err != nil {
		c.t.Fatal(err)
	}
	return "/portal/messages/" + message + "/documents/" + headers[uuid.MustParse(message)].Attachments[0].ID.String()
}

// recorded returns the types of all events that portal users caused.
func (c clinic) recorded() (types []string) {
	c.t.Helper()
	c.Settle(c.t)
	rows, err := c.Admin.Query(c.t.Context(), `SELECT type FROM record.events
		WHERE actor LIKE 'portal_user:%' AND repeats IS NULL AND type <> 'signed_in' ORDER BY seq`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			c.t.Fatal(err)
		}
		types = append(types, one)
	}
	return types
}

var (
	letterPDF = webtest.File{Name: "Letter of discharge.pdf", Data: []byte("%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n")}
	notes     = webtest.File{Name: "notes.txt", Data: []byte("Wash <b>daily</b>.\nKeep dry.")}
)

// The inbox shows in words which messages are new, their senders, times and numbers of
// documents.
func TestInbox(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	pat.Get("/portal").Is(http.StatusOK).Says("No messages yet.", "you get an e-mail")

	first := c.send(message{subject: "After your visit", body: "Rest."}, "pu-1")
	c.send(message{subject: "<script>alert(1)</script>", body: "Hello", documents: []webtest.File{letterPDF, notes}}, "pu-1")
	pat.Get("/portal").Says("New After your visit", "New <script>alert(1)</script>", "From Ada Brook", "With 2 documents").
		LacksHTML("<script>alert", "About:", "Staff Bcc")

	pat.Get("/portal/messages/" + first).Is(http.StatusOK)
	pat.Get("/portal").Says("After your visit", "New <script>").LacksHTML("app-inbox__new\">New</strong> <a class=\"app-inbox__link\" href=\"/portal/messages/" + first)
	pat.Get("/portal?before=rubbish").Is(http.StatusOK).Says("After your visit")
	pat.Get("/portal?before=00000000-0000-0000-0000-000000000000").Is(http.StatusOK).Says("There are no older messages.")
}

// A page has twenty messages; the rest is behind "Older messages".
func TestInboxPages(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	for i := range 21 {
		c.send(message{subject: fmt.Sprintf("Letter %02d.", i), body: "x"}, "pu-1")
	}
	newest := pat.Get("/portal").Says("Letter 20.", "Letter 01.", "Older messages").LacksHTML("Letter 00.", "Newest messages")
	_, older, _ := strings.Cut(newest.Body, `href="/portal?before=`)
	older, _, _ = strings.Cut(older, `"`)
	pat.Get("/portal?before="+older).Says("Letter 00.", "Newest messages").LacksHTML("Letter 01.", "Older messages")
}

// A message is shown as it was written: line breaks and links are kept, and HTML is shown as
// text.
func TestReadAMessage(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	c.PortalUser(t, "pu-2")
	bcc := c.System.Staff(t, "Bea Secret")
	id := c.send(message{subject: "After your visit", body: "Dear Pat,\n\nread https://clinic.example/wounds?a=1&b=2.\n<img src=x>", documents: []webtest.File{letterPDF},
		bcc: []string{bcc.ID}}, "pu-1", "pu-2")
	p := pat.Get("/portal/messages/" + id).Is(http.StatusOK)
	p.Says("After your visit", "From Ada Brook", "1 document", "Letter of discharge.pdf", "PDF document, 48 bytes", "Download")
	p.HasHTML("Dear Pat,\n\nread", `href="https://clinic.example/wounds?a=1&amp;b=2"`, "&lt;img src=x&gt;", "<title>Message – Postern</title>")
	p.LacksHTML("Bea Secret", bcc.ID, "pu-2", "Name of pu-2")
	if diff := cmp.Diff([]string{"delivery.opened"}, c.recorded()); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// A message is shown only after its opening is recorded. If it can't be recorded, nothing is
// shown.
func TestAMessageIsShownOnlyAfterItsOpeningIsRecorded(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	id := c.send(message{subject: "After your visit", body: "Rest well.", documents: []webtest.File{notes}}, "pu-1")
	c.Break(&composetest.Fault{Err: errors.New("no stream")})
	for _, path := range []string{"/portal/messages/" + id, c.document(id), c.document(id) + "/show", c.document(id) + "/download"} {
		p := pat.Get(path).Is(http.StatusServiceUnavailable).Says("We can’t open this right now", "Nothing is lost", "Try again")
		p.HasHTML(`href="` + path + `"`)
		p.LacksHTML("After your visit", "Rest well", "notes.txt", "Wash")
	}
	c.Break(nil)
	pat.Get("/portal/messages/" + id).Is(http.StatusOK).Says("Rest well.")
}

// Another portal user's message is not found, like one that does not exist.
func TestMessagesOfOthersAreNotFound(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.NewPortalUser(t, "pu-1")
	other := c.PortalUser(t, "pu-2")
	id := c.send(message{subject: "After your visit", body: "Rest.", documents: []webtest.File{notes}}, "pu-1")
	for _, path := range []string{"/portal/messages/" + id, c.document(id), c.document(id) + "/show", c.document(id) + "/download", c.document(id) + "/picture",
		"/portal/messages/" + uuid.NewString(), "/portal/messages/rubbish", "/portal/messages/" + id + "/documents/rubbish"} {
		other.Get(path).Is(http.StatusNotFound).Says("We can’t find this message", "call the clinic").LacksHTML("After your visit", "notes.txt", "Ada")
	}
	other.Get("/portal").Says("No messages yet.")
	if got := c.recorded(); len(got) != 0 {
		t.Errorf("recorded %v", got)
	}
	c.SignedOut(t).Get("/portal/messages/" + id).Is(http.StatusOK).Says("Sign in to your messages").HasHTML(`name="next" value="/portal/messages/` + id)
}

// A representative sees which patient each message is about, as long as the link lasts. A
// message about only the reader names no patient.
func TestARepresentativeSeesThePatient(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	rep := c.PortalUser(t, "rep")
	c.NewPortalUser(t, "child")
	c.Exec(t, `UPDATE app.patients SET given_name = 'Anna', family_name = 'Schmitt' WHERE patient_id = 'pt-child'`)
	own := c.send(message{subject: "Your own", body: "x"}, "rep")
	rep.Get("/portal").Says("Your own").LacksHTML("About")
	c.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT portal_user_no, patient_no, 'representative'
		FROM app.portal_users, app.patients WHERE portal_user_id = 'rep' AND patient_id = 'pt-child'`)
	both := c.send(message{subject: "Both of you", body: "x"}, "rep")
	rep.Get("/portal").Says("About: Anna Schmitt and you")
	rep.Get("/portal/messages/" + both).Says("About Anna Schmitt and you")
	rep.Get("/portal/messages/" + own).LacksHTML("Anna")

	c.Exec(t, `UPDATE app.links SET valid_until = current_date - 1 WHERE relationship = 'self' AND portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'rep')`)
	rep.Get("/portal").Says("About: Anna Schmitt").LacksHTML("and you", "Your own")
	rep.Get("/portal/messages/" + own).Is(http.StatusNotFound)
	c.Exec(t, `UPDATE app.patients SET given_name = '', family_name = '' WHERE patient_id = 'pt-child'`)
	rep.Get("/portal").Says("About: a person you represent")
	c.Exec(t, `UPDATE app.links SET valid_until = current_date - 1 WHERE relationship = 'representative'`)
	rep.Get("/portal").Says("No messages yet.")
	rep.Get("/portal/messages/"+both).Is(http.StatusNotFound).LacksHTML("Anna", "Both of you")
}

// The list and the page say so when a message was recalled or erased.
func TestRecalledAndErasedMessages(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	recalled := c.send(message{subject: "Wrong letter", body: "x", documents: []webtest.File{notes}}, "pu-1")
	document := c.document(recalled)
	if err := c.Web.Composer.Recall(t.Context(), c.ada, uuid.MustParse(recalled), "sent by mistake"); err != nil {
		t.Fatal(err)
	}
	c.Settle(t)
	pat.Get("/portal").Says("This message was taken back").LacksHTML("Wrong letter", "With 1 document", "sent by mistake", ">New<")
	for _, path := range []string{"/portal/messages/" + recalled, document, document + "/download"} {
		pat.Get(path).Is(http.StatusGone).Says("This message was taken back", "call the clinic").LacksHTML("Wrong letter", "sent by mistake")
	}

	erased := c.send(message{subject: "Old letter", body: "x", documents: []webtest.File{notes}}, "pu-1")
	document = c.document(erased)
	c.Erase(t, uuid.MustParse(erased))
	pat.Get("/portal").Says("This message was erased").LacksHTML("Old letter")
	for _, path := range []string{"/portal/messages/" + erased, document, document + "/download"} {
		pat.Get(path).Is(http.StatusGone).Says("This message was erased")
	}

	missing := c.send(message{subject: "Lost letter", body: "x", documents: []webtest.File{notes}}, "pu-1")
	document = c.document(missing)
	c.Lose(t, uuid.MustParse(missing))
	pat.Get("/portal").Says("We can’t show this message", "was not erased").LacksHTML("Lost letter")
	for _, path := range []string{"/portal/messages/" + missing, document, document + "/download"} {
		pat.Get(path).Is(http.StatusInternalServerError).Says("We can’t show this message", "was not erased")
	}
	if got := c.recorded(); len(got) != 0 {
		t.Errorf("messages that could not be read were recorded as read: %v", got)
	}
}

// HEAD and prefetch requests open no message, and a page of another site can do nothing.
func TestHeadAndPrefetchOpenNoMessage(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	id := c.send(message{subject: "After your visit", body: "Rest.", documents: []webtest.File{notes}}, "pu-1")
	for _, path := range []string{"/portal/messages/" + id, c.document(id) + "/download"} {
		if p := pat.Head(path); p.Status != http.StatusMethodNotAllowed {
			t.Errorf("HEAD %s is answered with %d", path, p.Status)
		}
	}
	if p := pat.Prefetch("/portal/messages/" + id); p.Status != http.StatusServiceUnavailable {
		t.Errorf("a prefetch is answered with %d", p.Status)
	}
	if got := c.recorded(); len(got) != 0 {
		t.Errorf("recorded %v", got)
	}
	for _, path := range []string{"/portal/account/password", "/portal/account/sign-out-everywhere", "/portal/forgotten", "/portal/invitation", "/portal/sign-out"} {
		pat.PostFrom("https://elsewhere.example", path, url.Values{}).Is(http.StatusForbidden).Says("another site")
	}
	pat.Get("/portal/account").Is(http.StatusOK).Says("Your account")
}

// Each reader sees their own name and the clinic's in a text with fields, in the list, in the message and
// above its documents. The message has one content for all of them, and what is filled in follows a change.
func TestFieldsAreFilledIn(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat, bo := c.PortalUser(t, "pat"), c.PortalUser(t, "bo")
	id := c.send(message{subject: "For {recipient's name}", body: "Dear {recipient’s name}, call {clinic's name}.", documents: []webtest.File{notes}}, "pat", "bo")
	for who, name := range map[*webtest.Visitor]string{pat: "Name of pat", bo: "Name of bo"} {
		who.Get("/portal").Says("For "+name).LacksHTML("{recipient", "{clinic")
		who.Get("/portal/messages/"+id).Says("For "+name, "Dear "+name+", call the clinic.").LacksHTML("{recipient", "{clinic")
		who.Get(c.document(id)).Says("Message For " + name)
		who.Post("/portal", url.Values{"q": {name}}).Says("For " + name)
	}
	if _, err := c.Web.Clinic.Change(t.Context(), "operator:test", 0, details.Details{Name: "Lakeside"}); err != nil {
		t.Fatal(err)
	}
	pat.Get("/portal/messages/" + id).Says("Dear Name of pat, call Lakeside.")
	var contents int
	if err := c.Admin.QueryRow(t.Context(), `SELECT count(*) FROM app.message_content`).Scan(&contents); err != nil || contents != 1 {
		t.Errorf("there are %d contents: %v", contents, err)
	}
}
