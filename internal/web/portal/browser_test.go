package portal_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/giveup"
	"postern/internal/web/webtest"
)

var linkIn = regexp.MustCompile(`http://\S+`)

// letterLink waits for the nth mail, and returns its link as a path.
func (c clinic) letterLink(n int) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), giveup.After)
	defer cancel()
	if err := c.Mails.WaitFor(ctx, n); err != nil {
		c.t.Fatal(err)
	}
	var text string
	for m := range c.Mails.Accepted() {
		if n--; n == 0 {
			text = m.Letter.Text
		}
	}
	return strings.TrimPrefix(linkIn.FindString(text), c.Base)
}

const careText = "Dear Mr Haddad,\n\nplease keep the wound dry for three days. Change the dressing each morning.\n\n" +
	"You find pictures here: https://clinic.example/aftercare\n\nIf it hurts more, call us.\n\nAda Brook"

// A patient on a phone opens the link of an e-mail, chooses a password, reads the message,
// saves its document, prints the page and signs out. No token stays in the address.
func TestAPatientOnAPhone(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.System.PortalUser(t, "pu-1")
	c.Exec(t, `UPDATE app.portal_users SET name = 'Karl Haddad'`)
	staff := policy.Subject{Realm: policy.RealmStaff, ID: "s", Permissions: []policy.Permission{policy.ImportDirectory}}
	if err := c.Web.Letters.Invite(t.Context(), staff, "pu-1"); err != nil {
		t.Fatal(err)
	}
	b := webtest.OpenBrowser(t, c.Site)
	b.Phone()
	b.Open(c.letterLink(1))
	b.Sees("Choose your password", "This is the account of Karl Haddad.")
	if at := webtest.Evaluate[string](b, "location.href + document.referrer"); strings.Contains(at, "pil_") {
		t.Errorf("the token is in %s", at)
	}
	b.Reads("You sign in with this e-mail address", "pu-1@example.org")
	b.Type("Your new password", "paper boat harbour")
	b.Click("Show")
	if kind := webtest.Evaluate[string](b, "document.getElementById('password').type"); kind != "text" {
		t.Errorf("a shown password is in a field of type %s", kind)
	}
	b.Screenshot("portal-choose-password-phone")
	b.Click("Save password")
	b.Sees("Your password is set. Now sign in with it.")
	b.Type("E-mail address or user name", "pu-1@example.org")
	b.Type("Password", "paper boat harbour")
	b.Click("Sign in")
	b.Sees("No messages yet.")

	c.send(message{subject: "After your operation", body: careText, documents: []webtest.File{letterPDF}}, "pu-1")
	b.Reload()
	b.Sees("New After your operation", "From Ada Brook", "With 1 document")
	b.Screenshot("portal-inbox-phone")
	b.Click("After your operation")
	b.Sees("Change the dressing each morning.", "PDF document, 48 bytes")
	b.Screenshot("portal-message-phone")
	b.Click("Letter of discharge.pdf")
	b.Sees("Kind PDF document", "Most phones and computers can open it.")
	if got := b.Download("Download"); got.Name != letterPDF.Name || !bytes.Equal(got.Data, letterPDF.Data) {
		t.Errorf("saved %s: %q", got.Name, got.Data)
	}
	b.Click("Back to the message")
	b.Sees("Print this message")
	b.Print()
	b.Sees("Change the dressing each morning.", "Letter of discharge.pdf")
	b.SeesNot("Print this message", "Sign out", "Download", "Back to your messages")
	b.Screenshot("portal-message-paper")
	b.Screen()
	b.Click("Back to your messages")
	b.Sees("After your operation")
	b.SeesNot("New After")
	b.Click("Sign out")
	b.Sees("You have signed out.")
	if diff := cmp.Diff([]string{"password.set", "delivery.opened", "attachment.downloaded"}, c.recorded()); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// The Print button prints, and does not leave the page.
func TestPrint(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.NewPortalUser(t, "pu-1")
	id := c.send(message{subject: "After your operation", body: careText}, "pu-1")
	b := webtest.OpenBrowser(t, c.Site)
	b.SignInPortal("pu-1")
	b.Open("/portal/messages/" + id)
	b.Sees("Print this message")
	webtest.Evaluate[bool](b, "window.printed = 0, window.print = () => { window.printed++ }, true")
	b.Click("Print this message")
	if n := webtest.Evaluate[int](b, "window.printed"); n != 1 {
		t.Errorf("it was printed %d times", n)
	}
	b.At("/portal/messages/" + id)
}

// axe-core finds no violation on any page, wide, narrow and dark, and all buttons and links
// are large enough for a thumb.
func TestAccessible(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.NewPortalUser(t, "pu-1")
	c.NewPortalUser(t, "child")
	c.Exec(t, `UPDATE app.patients SET given_name = 'Anna', family_name = 'Schmitt' WHERE patient_id = 'pt-child'`)
	b := webtest.OpenBrowser(t, c.Site)
	look := func(name string) {
		t.Helper()
		b.AccessibleInAllViews()
		b.Narrow()
		if small := webtest.Evaluate[[]string](b, smallTargets); len(small) > 0 {
			t.Errorf("%s: too small for a thumb: %v", name, small)
		}
		b.Phone()
		b.Screenshot("portal-" + name)
		b.Dark()
		b.Screenshot("portal-" + name + "-dark")
		b.Light()
		b.Wide()
		b.Screenshot("portal-" + name + "-wide")
	}
	b.Open("/portal/sign-in")
	look("sign-in")
	b.Open("/portal/forgotten")
	look("forgotten")
	b.Type("Your e-mail address", "pat")
	b.Click("Send the e-mail")
	b.Sees("There is a problem")
	look("forgotten-error")
	b.Type("Your e-mail address", "pu-1@example.org")
	b.Click("Send the e-mail")
	b.Sees("Check your e-mail")
	look("sent")
	b.Open(c.letterLink(1))
	b.Sees("Choose a new password")
	look("choose")
	b.Type("Your new password", "short")
	b.Click("Save password")
	b.Sees("There is a problem")
	look("choose-error")
	b.Open("/portal/invitation")
	look("link")
	b.Type("The link from the e-mail", "rubbish")
	b.Click("Continue")
	b.Sees("This link no longer works")
	look("spent")

	b.SignInPortal("pu-1")
	look("inbox-empty")
	c.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT portal_user_no, patient_no, 'representative'
		FROM app.portal_users, app.patients WHERE portal_user_id = 'pu-1' AND patient_id = 'pt-child'`)
	for range 18 {
		c.send(message{subject: "An older letter", body: "x"}, "pu-1")
	}
	recalled := c.send(message{subject: "By mistake", body: "x"}, "pu-1")
	if err := c.Web.Composer.Recall(t.Context(), c.ada, uuid.MustParse(recalled), "a mistake"); err != nil {
		t.Fatal(err)
	}
	id := c.send(message{subject: "After your operation, and what to do in the first weeks at home", body: careText,
		documents: []webtest.File{letterPDF, notes, photo(t, 640, 480)}}, "pu-1")
	c.send(message{subject: "Your next visit", body: "On Monday."}, "pu-1")
	b.Open("/portal")
	b.Sees("New Your next visit", "This message was taken back", "About: Anna Schmitt and you", "Older messages")
	look("inbox")
	b.Open("/portal/messages/" + id)
	look("message")
	b.Click("notes.txt")
	b.Sees("Show the text here")
	look("document")
	b.Click("Show the text here")
	b.Sees("Keep dry.")
	look("text")
	b.Open("/portal/messages/" + id)
	b.Click("Scan of the knee.png")
	b.Click("Show the picture here")
	b.Sees("Scan of the knee.png")
	if wide := webtest.Evaluate[int](b, "document.querySelector('.app-document-picture').naturalWidth"); wide != 640 {
		t.Errorf("the picture is %d wide", wide)
	}
	look("picture")
	b.Open("/portal/account")
	look("account")
	b.Type("Your password now", "a guess")
	b.Type("Your new password", "short")
	b.Click("Change password")
	b.Sees("There is a problem")
	look("account-error")
	b.Open("/portal/account/sessions")
	b.Sees("This device")
	look("sessions")
	b.Open("/portal/messages/" + recalled)
	look("recalled")
	b.Open("/portal/messages/" + uuid.NewString())
	look("not-found")
	c.Break(&composetest.Fault{Err: errors.New("no stream")})
	fresh := c.newest()
	b.Open("/portal/messages/" + fresh)
	b.Sees("We can’t open this right now")
	look("unavailable")
	b.Faults() // the browser reports the answers of 503, which are meant
}

// newest returns the newest message of all.
func (c clinic) newest() (id string) {
	c.t.Helper()
	if err := c.Admin.QueryRow(c.t.Context(), `SELECT message_id::text FROM record.messages ORDER BY message_id DESC LIMIT 1`).Scan(&id); err != nil {
		c.t.Fatal(err)
	}
	return id
}

// smallTargets names buttons and links that are less than 44 pixels high. A link within a
// sentence is as high as its line.
const smallTargets = `(() => { const alone = (e) => (e.closest('p, main li:not([class])') ?? e).textContent.trim() === e.textContent.trim()
	return [...document.querySelectorAll('main a[href], main button, main input, header a[href], header button, nav a[href]')]
	.filter((e) => e.checkVisibility() && e.type !== 'hidden' && !e.closest('.app-message-body') && alone(e) && !e.matches('.app-inbox__link') && !e.closest('.govuk-error-summary'))
	.filter((e) => e.getBoundingClientRect().height < 44)
	.map((e) => e.textContent.trim() + ' ' + e.id + ' ' + e.getBoundingClientRect().height) })()`

// A first visit transfers less than 150 kB for any page: the page, its style sheet, its
// scripts and those that they import.
func TestPagesAreSmall(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	long := webtest.File{Name: "long.txt", Data: []byte(strings.Repeat("words & words <>\n", 3800))}
	id := c.send(message{subject: "After your operation", body: strings.Repeat(careText, 20), documents: []webtest.File{long}}, "pu-1")
	for range 20 {
		c.send(message{subject: strings.Repeat("An older letter ", 10), body: "x"}, "pu-1")
	}
	for _, path := range []string{"/portal/sign-in", "/portal/forgotten", "/portal/invitation", "/portal", "/portal/messages/" + id, "/portal/account", "/portal/account/sessions",
		c.document(id), c.document(id) + "/show"} {
		sizes := pat.Transfer(path)
		total := 0
		for _, size := range sizes {
			total += size
		}
		if total > 150_000 || len(sizes) < 4 {
			t.Errorf("%s brings %d bytes: %v", path, total, sizes)
		}
	}
	pat.Get(c.document(id) + "/show").Is(http.StatusOK)
}
