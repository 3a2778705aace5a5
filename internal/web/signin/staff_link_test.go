package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

// A staff member who forgot their password requests a link and chooses a new password.
// Their sessions end, and no page or letter names a person before the link is opened.
func TestForgottenStaffPassword(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	before := s.Staff(t, "Sam Staff", policy.SendPortalMessage)
	v := s.SignedOut(t)
	v.Get("/sign-in").Says("I have no password or forgot it").HasHTML(`href="/forgotten"`)
	v.Get("/forgotten").Is(http.StatusOK).Says("type the e-mail address of your account", "Send the e-mail").HasHTML(`href="/sign-in"`)
	v.Post("/forgotten", url.Values{"email": {"sam"}}).Is(http.StatusUnprocessableEntity).Says("Type an e-mail address, like name@example.org.").HasHTML(`value="sam"`)
	v.Post("/forgotten", url.Values{"email": {" SAM.staff@Clinic.example "}}).Is(http.StatusOK).Says("Check your e-mail", "Manage Staff")
	mail := mails(t, s, 1)[0]
	if mail.To != "sam.staff@clinic.example" || mail.Letter.Subject != "Choose a new password for your staff account" || strings.Contains(mail.Letter.Text, "Sam") {
		t.Errorf("%s got %q: %s", mail.To, mail.Letter.Subject, mail.Letter.Text)
	}
	link := linkIn.FindString(mail.Letter.Text)
	if at, token, _ := strings.Cut(link, "#"); at != s.Base+"/sign-in/link" || !strings.HasPrefix(token, "psl_") {
		t.Errorf("the link is %s", link)
	}
	before.Get("/messages").Says("Sam Staff")
	v.Get("/sign-in/link").Says("Open your link")
	v.Post("/sign-in/link", url.Values{"link": {""}}).Is(http.StatusUnprocessableEntity).Says("Paste the link from the e-mail.")
	v.Post("/sign-in/link", url.Values{"link": {link}}).Is(http.StatusOK).Says("Choose a new password", "This is the account of Sam Staff.", "Use 12 characters or more")
	v.Post("/sign-in/link", url.Values{"link": {link}, "password": {"elevenchars"}}).Is(http.StatusUnprocessableEntity).Says("it needs at least 12 characters")
	done := v.Post("/sign-in/link", url.Values{"link": {link}, "password": {good}}).Is(http.StatusOK).Says("Your password is set. Now sign in with it.", "Staff sign-in")
	if strings.Contains(done.URL.String(), "psl_") {
		t.Errorf("the token is in the address %s", done.URL)
	}
	before.Get("/messages").Says("Staff sign-in")
	v.Post("/sign-in", url.Values{"email": {"sam.staff@clinic.example"}, "password": {good}}).Is(http.StatusOK).Says("Sam Staff")
	v.Post("/sign-in/link", url.Values{"link": {link}}).Is(http.StatusGone).Says("This link no longer works", "Get a new link").HasHTML(`href="/forgotten"`).LacksHTML("account of")
}

// A link of one realm opens nothing in the other.
func TestALinkBelongsToItsRealm(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "pu-1")
	sam := s.NewStaff(t, "Sam Staff")
	if err := invite(t, s, "pu-1"); err != nil {
		t.Fatal(err)
	}
	portal := linkIn.FindString(mails(t, s, 1)[0].Letter.Text)
	made, err := s.Web.Gate.InviteStaff(t.Context(), "operator:test", sam.ID)
	if err != nil {
		t.Fatal(err)
	}
	v := s.SignedOut(t)
	v.Post("/sign-in/link", url.Values{"link": {portal}}).Is(http.StatusGone)
	v.Post("/portal/invitation", url.Values{"link": {letter.Link(s.Base, made)}}).Is(http.StatusGone)
	v.Post("/portal/invitation", url.Values{"link": {portal}}).Is(http.StatusOK)
	v.Post("/sign-in/link", url.Values{"link": {letter.Link(s.Base, made)}}).Is(http.StatusOK)
}

// A request gives the same answer for every address, and repeated requests have to wait.
// Staff and portal users with one address are counted apart.
func TestRequestsForAStaffLinkDoNotRevealAccounts(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Staff")
	disabled := s.NewStaff(t, "Dora Disabled")
	if err := s.Web.Gate.Disable(t.Context(), "operator:test", disabled.ID); err != nil {
		t.Fatal(err)
	}
	s.NewPortalUser(t, "pu-1")
	var answers []string
	for _, email := range []string{"unknown@clinic.example", disabled.Email, "pu-1@example.org", sam.Email} {
		page := s.SignedOut(t).Post("/forgotten", url.Values{"email": {email}}).Is(http.StatusOK)
		answers = append(answers, page.URL.String()+page.Body)
	}
	for i, answer := range answers {
		if answer != answers[0] {
			t.Errorf("answer %d is another: %s", i, answer)
		}
	}
	if all := mails(t, s, 1); len(all) != 1 || all[0].To != sam.Email {
		t.Errorf("letters: %v", all)
	}
	v := s.SignedOut(t)
	form := url.Values{"email": {"unknown@clinic.example"}}
	for range 4 {
		v.Post("/forgotten", form).Is(http.StatusOK)
	}
	v.Post("/forgotten", form).Is(http.StatusTooManyRequests).Says("You have asked for several links for this address.")
	v.Post("/portal/forgotten", form).Is(http.StatusOK)
}

// Without an e-mail service, the pages say whom to ask instead.
func TestStaffLinksWithoutLetters(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.Letters = letter.Config{} })
	v := s.SignedOut(t)
	v.Get("/forgotten").Is(http.StatusOK).Says("Ask the person who runs Postern").LacksHTML(`<form action="/forgotten"`)
	v.Post("/forgotten", url.Values{"email": {"sam@clinic.example"}}).Is(http.StatusOK).Says("Ask the person who runs Postern")
	v.Post("/sign-in/link", url.Values{"link": {"rubbish"}}).Is(http.StatusGone).Says("ask the person who runs Postern").LacksHTML("Get a new link")
}

// The life of a staff account in a browser: an administrator adds it, its owner opens the
// link of the e-mail, sets up a password and signs in, forgets the password, and chooses
// another; the session of before ends.
func TestAStaffAccountInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.NewStaff(t, "Ada Admin", policy.ManageStaff)
	open := func(b *webtest.Browser, n int) {
		t.Helper()
		link := linkIn.FindString(mails(t, s, n)[n-1].Letter.Text)
		b.Open(strings.TrimPrefix(link, s.Base))
	}
	b := webtest.OpenBrowser(t, s)
	b.SignIn(admin)
	b.Open("/administration/staff")
	b.Click("Add a staff member")
	b.AccessibleInAllViews()
	b.Screenshot("staff-new")
	b.Type("Name", "Noel Novice")
	b.Type("E-mail address", "noel@clinic.example")
	b.Click("Add the staff member")
	b.Sees("an e-mail with a link to choose a password is on its way", "Invited", "Send the link again")
	b.AccessibleInAllViews()
	b.Screenshot("staff-invited")
	b.Open("/administration/staff")
	b.Sees("Noel Novice Invited")
	b.AccessibleInAllViews()
	b.Click("Noel Novice")
	b.Click("Change name or e-mail address")
	b.AccessibleInAllViews()
	b.Screenshot("staff-change")
	b.Click("Sign out")

	b.Phone()
	open(b, 1)
	b.Sees("Choose your password", "This is the account of Noel Novice.")
	if at := webtest.Evaluate[string](b, "location.href + document.referrer"); strings.Contains(at, "psl_") {
		t.Errorf("the token is in %s", at)
	}
	b.Screenshot("staff-choose-password-phone")
	b.AccessibleInAllViews()
	b.Type("Your new password", "paper boat harbour")
	b.Click("Save password")
	b.Sees("Your password is set. Now sign in with it.", "Staff sign-in")
	signIn := func(password string) {
		t.Helper()
		b.Type("E-mail address", "noel@clinic.example")
		b.Type("Password", password)
		b.Press("Enter")
		b.Sees("Noel Novice", "Sign out")
	}
	signIn("paper boat harbour")
	b.Click("Sign out")
	before := s.SignedOut(t) // another device, which stays signed in
	before.Post("/sign-in", url.Values{"email": {"noel@clinic.example"}, "password": {"paper boat harbour"}}).Is(http.StatusOK).Says("Noel Novice")

	b.Click("I have no password or forgot it")
	b.AccessibleInAllViews()
	b.Screenshot("staff-forgotten")
	s.Clock.Advance(3 * time.Minute)
	b.Type("Your e-mail address", "noel@clinic.example")
	b.Click("Send the e-mail")
	b.Sees("Check your e-mail")
	b.AccessibleInAllViews()
	before.Get("/messages/bcc").Says("Noel Novice")
	open(b, 2)
	b.Sees("Choose a new password")
	b.Type("Your new password", "winter garden lantern")
	b.Click("Save password")
	b.Sees("Your password is set.")
	before.Get("/messages/bcc").Says("Staff sign-in")
	signIn("winter garden lantern")
}
