package compose_test

import (
	"bytes"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/text/zone"
	"postern/internal/web/webtest"
)

// The clinic is in Berlin, where the clocks change twice a year.
func TestMain(m *testing.M) {
	if err := zone.Use("Europe/Berlin"); err != nil {
		panic(err)
	}
	webtest.Main(m)
}

var (
	draftAt = regexp.MustCompile(`action="(/messages/drafts/[0-9a-f-]+)"`)
	hidden  = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)
)

// writer is a staff member at the page of a draft.
type writer struct {
	*webtest.Visitor
	t    *testing.T
	at   string // of the draft
	page *webtest.Page
}

// compose opens an empty page.
func compose(t *testing.T, v *webtest.Visitor) *writer {
	t.Helper()
	w := &writer{Visitor: v, t: t}
	w.see(v.Get("/messages/compose").Is(http.StatusOK))
	return w
}

// see remembers the current page.
func (w *writer) see(p *webtest.Page) *webtest.Page {
	w.t.Helper()
	if at := draftAt.FindStringSubmatch(p.Body); at != nil {
		w.at = at[1]
	}
	w.page = p
	return p
}

// fields are the hidden fields of the page and the typed ones.
func (w *writer) fields(typed url.Values) url.Values {
	all := url.Values{"subject": {""}, "message": {""}, "when": {"now"}}
	for _, found := range hidden.FindAllStringSubmatch(w.page.Body, -1) {
		all.Set(found[1], strings.NewReplacer("&#34;", `"`, "&amp;", "&").Replace(found[2]))
	}
	maps.Copy(all, typed)
	return all
}

// press sends the form of the draft by one of its buttons.
func (w *writer) press(button string, typed url.Values) *webtest.Page {
	w.t.Helper()
	all := w.fields(typed)
	all.Set("do", button)
	return w.see(w.Post(w.at, all))
}

// file is a document that is attached.
type file struct {
	name string
	data []byte
}

// attach sends the form with files, as a browser without scripts does.
func (w *writer) attach(button string, typed url.Values, files ...file) *webtest.Page {
	w.t.Helper()
	all := w.fields(typed)
	all.Set("do", button)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, values := range all {
		for _, value := range values {
			_ = form.WriteField(name, value)
		}
	}
	for _, f := range files {
		part, err := form.CreateFormFile("file", f.name)
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = part.Write(f.data)
	}
	_ = form.Close()
	return w.see(w.Send(w.at, &body, form.FormDataContentType()))
}

// text is the form of a message with a subject and a body.
func text(subject, message string) url.Values {
	return url.Values{"subject": {subject}, "message": {message}}
}

// pdf is a document of n bytes.
func pdf(size int) []byte {
	data := append([]byte("%PDF-1.7\n"), bytes.Repeat([]byte("x"), size)...)
	return data[:size]
}

func count(t *testing.T, s *webtest.Site, sql string) (n int) {
	t.Helper()
	if err := s.Admin.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const (
	drafts   = `SELECT count(*) FROM app.drafts`
	sends    = `SELECT count(*) FROM app.sends`
	messages = `SELECT count(*) FROM record.messages`
)

// sender has the permission to send to groups, too.
func sender(t *testing.T, s *webtest.Site) *webtest.Visitor {
	t.Helper()
	return s.Staff(t, "Sam Sender", policy.SendPortalMessage, policy.SendBulkPortalMessage)
}

// Opening an empty page saves nothing. A saved draft is listed, opens unchanged, and is
// deleted after a confirmation.
func TestADraftIsSavedListedAndDeleted(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := sender(t, s)
	v.Get("/messages/drafts").Is(http.StatusOK).Says("No drafts. Compose a message.")
	w := compose(t, v)
	w.page.Says("Patient Portal Message", "Add Recipient(s)", "Add User", "Add New Attachment", "Staff Bcc", "Nothing is saved yet")
	if n := count(t, s, drafts); n != 0 {
		t.Fatalf("opening an empty page left %d drafts", n)
	}
	w.press("save", text("<script>alert(1)</script>", "Two\r\nlines & more")).Is(http.StatusOK).
		Says("The draft was saved.", "Saved at ").HasHTML("&lt;script&gt;", "Two\nlines &amp; more</textarea>").LacksHTML("<script>alert")
	if w.page.URL.Path != w.at {
		t.Errorf("saving redirected to %s, not to the draft at %s", w.page.URL, w.at)
	}
	v.Get(w.at).Is(http.StatusOK).HasHTML(`value="&lt;script&gt;alert(1)&lt;/script&gt;"`)
	v.Get("/messages/drafts").Says("<script>alert(1)</script>", "No recipients yet").LacksHTML("<script>alert", "<title>&lt;script")
	v.Get(w.at+"/delete").Is(http.StatusOK).Says("Delete this draft?", "A deleted draft can’t be restored")
	v.Post(w.at+"/delete", nil).Is(http.StatusOK).Says("The draft was deleted.", "No drafts. Compose a message.")
	v.Get(w.at).Is(http.StatusNotFound).Says("There is no such draft", "sent or deleted")
	v.Post(w.at+"/delete", nil).Is(http.StatusNotFound)
}

// Drafts are listed a page at a time, most recently saved first.
func TestDraftsAreListedInPages(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := sender(t, s)
	for i := range 30 {
		compose(t, v).press("save", text(fmt.Sprintf("Draft number %02d.", i), ""))
	}
	first := v.Get("/messages/drafts").Is(http.StatusOK).Says("number 29.", "number 05.", "Next page").LacksHTML("number 04.")
	next := regexp.MustCompile(`href="(/messages/drafts\?cursor=[^"]+)"`).FindStringSubmatch(first.Body)
	v.Get(next[1]).Is(http.StatusOK).Says("number 04.", "number 00.", "First page").LacksHTML("number 05.")
	v.Get("/messages/drafts?cursor=nonsense").Is(http.StatusNotFound)
}

// Another staff member's draft is not found: it can't be read, changed, checked, sent or
// deleted.
func TestDraftsArePrivate(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ann")
	w := compose(t, sender(t, s))
	w.press("add-user:ann", text("Private", "text"))
	eve := s.Staff(t, "Eve Other", policy.SendPortalMessage, policy.SendBulkPortalMessage)
	for _, below := range []string{"", "/check", "/recipients", "/delete"} {
		eve.Get(w.at + below).Is(http.StatusNotFound).LacksHTML("Private")
	}
	for _, below := range []string{"", "/check", "/delete"} {
		eve.Post(w.at+below, w.fields(text("Eve's", "text"))).Is(http.StatusNotFound).LacksHTML("Private")
	}
	w.Get(w.at).Is(http.StatusOK).HasHTML("Private")
	eve.Get("/messages/drafts/not-an-id").Is(http.StatusNotFound)
	unpermitted := s.Staff(t, "No Permission")
	unpermitted.Get("/messages/compose").Is(http.StatusForbidden)
	unpermitted.Get("/messages/drafts").Is(http.StatusForbidden)
}

// A tab with an outdated version says so, keeps its typed text, and saves it when the
// sender chooses to.
func TestAStaleTabShowsTheConflict(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := sender(t, s)
	w := compose(t, v)
	w.press("save", text("First", ""))
	first := &writer{Visitor: v, t: t}
	first.see(v.Get(w.at))
	second := &writer{Visitor: v, t: t}
	second.see(v.Get(w.at))
	second.press("save", text("Second", "from the second tab")).Says("The draft was saved.")

	first.press("save", text("Third", "from the first tab")).Is(http.StatusConflict).
		Says("There is a problem", "changed in another tab or window").HasHTML(`value="Third"`, "from the first tab</textarea>")
	v.Get(w.at).HasHTML(`value="Second"`)
	overwrite := regexp.MustCompile(`value="(overwrite:\d+)"`).FindStringSubmatch(first.page.Body)
	first.press(overwrite[1], text("Third", "from the first tab")).Is(http.StatusOK).Says("The draft was saved.")
	v.Get(w.at).HasHTML(`value="Third"`, "from the first tab</textarea>")
}

// A script gets the changed parts of the page, including conflicts.
func TestAScriptSavesInTheBackground(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := sender(t, s)
	w := compose(t, v)
	v.PostFragment(w.at, w.fields(text("One", ""))).Is(http.StatusOK).HasHTML(`data-part="status"`, "Saved at ", `name="version" value="1"`).LacksHTML("<html")
	// The answer was lost: the page is still at version 0, without a change by another tab.
	v.PostFragment(w.at, w.fields(text("Two", ""))).Is(http.StatusOK).HasHTML(`name="version" value="2"`)
	other := &writer{Visitor: v, t: t}
	other.see(v.Get(w.at))
	other.press("save", text("Three", ""))
	v.PostFragment(w.at, w.fields(text("Four", ""))).Is(http.StatusConflict).HasHTML("changed in another tab", `value="overwrite:3"`, `name="version" value="0"`)
	v.PostFragment(w.at, url.Values{"version": {"x"}, "page": {"p"}, "subject": {"Five"}}).Is(http.StatusConflict)
	v.Get(w.at).HasHTML(`value="Three"`)
	huge := w.fields(text("Huge", strings.Repeat("x", 1<<20+1)))
	huge.Set("version", "3")
	v.Post(w.at, huge).Is(http.StatusUnprocessableEntity).Says("far too long").HasHTML(`value="Huge"`)
	huge.Set("message", strings.Repeat("x", 3<<20))
	v.Post(w.at, huge).Is(http.StatusRequestEntityTooLarge).Says("Nothing was saved")
}
