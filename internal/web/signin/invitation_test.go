package signin_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/giveup"
	"postern/internal/notify/sendgridfake"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

// mails waits until the stand-in has caught n mails, and returns them oldest first.
func mails(t *testing.T, s *webtest.Site, n int) (all []sendgridfake.Mail) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	if err := s.Mails.WaitFor(ctx, n); err != nil {
		t.Fatal(err)
	}
	for m := range s.Mails.Accepted() {
		all = append(all, m)
	}
	return all
}

var linkIn = regexp.MustCompile(`http://\S+`)

func invite(t *testing.T, s *webtest.Site, id string) error {
	t.Helper()
	staff := policy.Subject{Realm: policy.RealmStaff, ID: "s", Permissions: []policy.Permission{policy.ImportDirectory}}
	return s.Web.Letters.Invite(t.Context(), staff, id)
}

const good = "a brook under the mill"

// Staff send an invitation. Its link, pasted without scripts, shows the account; the rules
// for the password are shown; and the chosen password signs in.
func TestAnInvitation(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "pu-1")
	if err := invite(t, s, "pu-1"); err != nil {
		t.Fatal(err)
	}
	mail := mails(t, s, 1)[0]
	if mail.To != "pu-1@example.org" || mail.Letter.Subject != "Set up your account for secure messages" {
		t.Errorf("%s got %q", mail.To, mail.Letter.Subject)
	}
	link := linkIn.FindString(mail.Letter.Text)
	page, token, _ := strings.Cut(link, "#")
	if page != s.Base+"/portal/invitation" || !strings.HasPrefix(token, "pil_") {
		t.Fatalf("the link is %s", link)
	}
	for _, private := range []string{"Name of", "Given", "pu-1"} {
		if strings.Contains(mail.Letter.Text+mail.Letter.HTML, private) {
			t.Errorf("the letter says %q: %s", private, mail.Letter.Text)
		}
	}

	v := s.SignedOut(t)
	v.Get("/portal/invitation").Is(http.StatusOK).Says("Open your link", "paste it here")
	v.Post("/portal/invitation", url.Values{"link": {""}}).Is(http.StatusUnprocessableEntity).Says("Paste the link from the e-mail.")
	v.Post("/portal/invitation", url.Values{"link": {" " + link + "\n"}}).Is(http.StatusOK).
		Says("Choose your password", "This is the account of Name of pu-1.", "Use 10 characters or more").
		HasHTML(`value="pu-1@example.org"`, "<title>Choose a password – Postern</title>")
	v.Post("/portal/invitation", url.Values{"link": {token}, "password": {"short"}}).Is(http.StatusUnprocessableEntity).
		Says("There is a problem", "Choose another password: it needs at least 10 characters.", "Name of pu-1").HasHTML(`value="` + token + `"`).LacksHTML(`"short"`)
	done := v.Post("/portal/invitation", url.Values{"link": {token}, "password": {good}}).Is(http.StatusOK)
	done.Says("Your password is set. Now sign in with it.", "Sign in to your messages")
	if strings.Contains(done.URL.String(), "pil_") {
		t.Errorf("the token is in the address %s", done.URL)
	}
	v.Post("/portal/sign-in", url.Values{"email": {"pu-1@example.org"}, "password": {good}}).Is(http.StatusOK).Says("Your messages")
	for _, form := range []url.Values{{"link": {token}}, {"link": {token}, "password": {"another long one"}}} {
		s.SignedOut(t).Post("/portal/invitation", form).Is(http.StatusGone).Says("This link no longer works", "Get a new link").LacksHTML("Name of pu-1")
	}
}

// Links that never existed, have expired or were replaced by a newer one don't work.
func TestInvalidLinks(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "pu-1")
	for range 2 {
		if err := invite(t, s, "pu-1"); err != nil {
			t.Fatal(err)
		}
	}
	all := mails(t, s, 2)
	replaced, newest := linkIn.FindString(all[0].Letter.Text), linkIn.FindString(all[1].Letter.Text)
	gone := func(link string) {
		t.Helper()
		s.SignedOut(t).Post("/portal/invitation", url.Values{"link": {link}}).Is(http.StatusGone).
			Says("This link no longer works", "the link in the newest one works").LacksHTML("Name of pu-1")
	}
	gone(replaced)
	gone("rubbish")
	s.SignedOut(t).Post("/portal/invitation", url.Values{"link": {newest}}).Is(http.StatusOK).Says("Name of pu-1")
	s.Clock.Advance(7*24*time.Hour + time.Second)
	gone(newest)
}

// A portal user who forgot their password requests a link and chooses a new password. Their
// earlier sessions end.
func TestForgottenPassword(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	before := s.PortalUser(t, "pu-1")
	v := s.SignedOut(t)
	v.Get("/portal/sign-in").Says("I have no password or forgot it").HasHTML(`href="/portal/forgotten"`)
	v.Get("/portal/forgotten").Is(http.StatusOK).Says("Your e-mail address", "Send the e-mail")
	v.Post("/portal/forgotten", url.Values{"email": {"pat"}}).Is(http.StatusUnprocessableEntity).Says("Type an e-mail address, like name@example.org.").HasHTML(`value="pat"`)
	v.Post("/portal/forgotten", url.Values{"email": {" PU-1@Example.org "}}).Is(http.StatusOK).Says("Check your e-mail", "Call the clinic")
	mail := mails(t, s, 1)[0]
	if mail.To != "pu-1@example.org" || mail.Letter.Subject != "Choose a new password for secure messages" {
		t.Errorf("%s got %q", mail.To, mail.Letter.Subject)
	}
	link := linkIn.FindString(mail.Letter.Text)
	v.Post("/portal/invitation", url.Values{"link": {link}}).Says("Choose a new password", "Name of pu-1")
	v.Post("/portal/invitation", url.Values{"link": {link}, "password": {good}}).Says("Now sign in with it.")
	before.Get("/portal").Says("Sign in to your messages")
	v.Post("/portal/sign-in", url.Values{"email": {"pu-1@example.org"}, "password": {good}}).Says("Your messages")
}

// A family shares an e-mail address: each account gets its own letter. The letters differ
// only in the link, and each link opens its own account. An inactive account gets none.
func TestAFamilyThatSharesAnAddress(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "anna")
	s.System.PortalUser(t, "karl")
	s.NewPortalUser(t, "gone")
	s.Exec(t, `UPDATE app.portal_users SET email = 'family@example.org'`)
	s.Exec(t, `UPDATE app.portal_users SET active = false WHERE portal_user_id = 'gone'`)
	s.Exec(t, `DELETE FROM app.address_changes`) // they have had it for long
	v := s.SignedOut(t)
	v.Post("/portal/forgotten", url.Values{"email": {"family@example.org"}}).Says("Check your e-mail")
	whose := map[string]bool{}
	for _, mail := range mails(t, s, 2) {
		if strings.Contains(mail.Letter.Text, "anna") || strings.Contains(mail.Letter.Text, "karl") {
			t.Errorf("the letter contains a name: %s", mail.Letter.Text)
		}
		page := v.Post("/portal/invitation", url.Values{"link": {linkIn.FindString(mail.Letter.Text)}}).Is(http.StatusOK).Text()
		for _, id := range []string{"anna", "karl"} {
			if strings.Contains(page, "Name of "+id) {
				whose[id] = true
			}
		}
		if strings.Contains(page, "anna") && strings.Contains(page, "karl") {
			t.Errorf("the page of one names the other: %s", page)
		}
	}
	if len(whose) != 2 {
		t.Errorf("the links are of %v", whose)
	}
}

// A request for a link gives the same answer for a known and for an unknown address, and does
// the same work before it: no lookup. Here a lookup would block on a lock.
func TestRequestsForALinkDoNotRevealAccounts(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "pu-1")
	locked, err := s.Admin.BeginTx(t.Context(), pgx.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locked.Exec(t.Context(), `LOCK TABLE app.portal_users, app.portal_accounts, app.password_links IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	// A lookup would wait for the lock. After 30 seconds the test releases it and fails.
	tooLong := time.AfterFunc(30*time.Second, func() {
		t.Error("the answer waits for the tables of accounts")
		_ = locked.Rollback(context.Background())
	})
	defer tooLong.Stop()
	known := s.SignedOut(t).Post("/portal/forgotten", url.Values{"email": {"pu-1@example.org"}}).Is(http.StatusOK)
	unknown := s.SignedOut(t).Post("/portal/forgotten", url.Values{"email": {"unknown@example.org"}}).Is(http.StatusOK)
	if known.Body != unknown.Body || known.URL.String() != unknown.URL.String() {
		t.Errorf("known address: %s %s\nunknown address: %s %s", known.URL, known.Text(), unknown.URL, unknown.Text())
	}
	if !tooLong.Stop() {
		return
	}
	if err := locked.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := mails(t, s, 1); got[0].To != "pu-1@example.org" {
		t.Errorf("%s got a letter", got[0].To)
	}
}

// Requests can't flood a mailbox: from the fifth on they have to wait, for known and unknown
// addresses.
func TestFrequentRequestsForALinkHaveToWait(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.SignedOut(t)
	form := url.Values{"email": {"unknown@example.org"}}
	for range 5 {
		v.Post("/portal/forgotten", form).Is(http.StatusOK).Says("Check your e-mail")
	}
	v.Post("/portal/forgotten", form).Is(http.StatusTooManyRequests).Says("You have asked for several links for this address.", "try again in a minute")
}

// A letter that can't be handed over at once is retried with the same link.
func TestALetterIsRetried(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "pu-1")
	s.Mails.Queue(sendgridfake.Fail(http.StatusServiceUnavailable), sendgridfake.ResetBefore(), sendgridfake.ResetAfter())
	s.SignedOut(t).Post("/portal/forgotten", url.Values{"email": {"pu-1@example.org"}}).Is(http.StatusOK)
	all := mails(t, s, 2) // the third was accepted, but its answer was lost
	if all[0].Letter.Text != all[1].Letter.Text {
		t.Error("the repeated letter has another link")
	}
	s.SignedOut(t).Post("/portal/invitation", url.Values{"link": {linkIn.FindString(all[0].Letter.Text)}}).Is(http.StatusOK)
}

// Without an e-mail service, the pages say whom to ask instead.
func TestWithoutLetters(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.Letters = letter.Config{} })
	v := s.SignedOut(t)
	v.Get("/portal/forgotten").Is(http.StatusOK).Says("Call the clinic, or ask at the front desk.").LacksHTML(`<form action="/portal/forgotten"`)
	v.Post("/portal/forgotten", url.Values{"email": {"pu-1@example.org"}}).Is(http.StatusOK).Says("Call the clinic")
	v.Post("/portal/invitation", url.Values{"link": {"rubbish"}}).Is(http.StatusGone).Says("call the clinic").LacksHTML("Get a new link")
}
