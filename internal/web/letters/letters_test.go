package letters_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// withoutEmail makes a portal user who has no e-mail address.
func withoutEmail(t *testing.T, s *webtest.Site, id string) {
	t.Helper()
	s.System.PortalUser(t, id)
	s.Exec(t, `UPDATE app.portal_users SET email = '' WHERE portal_user_id = $1`, id)
}

// send sends a message and waits until its alerts are settled.
func send(t *testing.T, s *webtest.Site, sender, subject string, to ...string) uuid.UUID {
	t.Helper()
	now := 0
	sent, err := s.Web.Composer.Send(t.Context(), policy.Subject{Realm: policy.RealmStaff, ID: sender, Permissions: policy.All}, uuid.NewString(),
		compose.Request{Subject: subject, Body: "To the garden side.", UndoSeconds: &now, Recipients: audience.Selection{PortalUserIDs: to}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		changed := s.Position.Changed()
		m, err := s.Web.Messages.Message(t.Context(), sender, sent.ID)
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Progress; p.Recipients > 0 && p.Alerted+p.AlertFailed+p.AlertSkipped == p.Recipients {
			return sent.ID
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("the alerts of the message were not settled")
		}
	}
}

var printed = regexp.MustCompile(`<code dir="ltr">([a-z0-9-]+)</code>`)

// Reception prints letters for those who have no e-mail address: each is a sheet of paper, with a
// user name and a code.
func TestErrandPrintLettersWithoutEmail(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	for _, id := range []string{"anna", "bo", "cy"} {
		withoutEmail(t, s, id)
	}
	who := s.NewStaff(t, "Rita Reception", policy.SendPortalMessage, policy.ImportDirectory)
	s.Exec(t, `INSERT INTO record.clinic (singleton, seq, name, telephone, address, hours, help, colour, logo_type, logo) VALUES (true, 1, 'Lakeside Practice', '+1 555 0100', E'1 Lake Road\nSpringfield', '', '', '', '', '')`)

	e := webtest.StaffErrand(t, s, who)
	e.Click("Messages")
	e.Click("No working e-mail")
	e.Click("Tick Name of anna")
	e.Click("Tick Name of cy")
	e.Accessible()
	e.Screenshot("no-email")
	e.Click("Print letters")
	e.Sees("Print 2 letters?", "2 letters have a user name and a code")
	e.Accessible()
	e.Click("Make the letters")
	e.Sees("2 letters to print", "Lakeside Practice", "1 Lake Road", "Name of anna", "Name of cy", "Your way into our portal", "User name", "Code")
	e.SeesNot("Name of bo")
	e.Accessible()
	e.Screenshot("letters")
	for name, paper := range map[string]webtest.Paper{"A4": webtest.A4, "Letter": webtest.Letter} {
		if n := e.Sheets(paper); n != 2 {
			t.Errorf("on %s: %d sheets", name, n)
		}
	}
	e.Done()
}

// A patient without an e-mail address gets in with a letter and reads the message that waits. It
// counts as readable from then on.
func TestErrandGetInWithALetter(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	withoutEmail(t, s, "anna")
	sam := s.Staff(t, "Sam Sender", policy.SendPortalMessage, policy.ImportDirectory)
	id := send(t, s, sam.ID, "We move", "anna")
	sam.Get("/record/portal-users/anna").Is(http.StatusOK).Says("Not yet: they had no e-mail address, and have no password")
	sam.Get("/messages/" + id.String() + "/recipients").Says("Can’t be read yet")
	asked := sam.Post("/letters/new", url.Values{"user": {"anna"}}).Is(http.StatusOK)
	made := printed.FindAllStringSubmatch(sam.Post("/letters", url.Values{"user": {"anna"}, "print": {hidden(t, asked.Body, "print")}}).Is(http.StatusOK).Body, -1)
	if len(made) != 2 {
		t.Fatalf("the letter has %v", made)
	}

	e := webtest.SignedOutErrand(t, s)
	e.Accessible()
	e.Click("I have a letter with a code")
	e.Accessible()
	e.Type("User name", made[0][1])
	e.Type("Code", made[1][1])
	e.Screenshot("letter-code")
	e.Click("Continue")
	e.Sees("This is the account of Name of anna")
	e.Accessible()
	e.Type("Your new password", webtest.Password)
	e.Click("Save password and sign in")
	e.Sees("Your password is set. Next time, sign in with your user name and your password.")
	e.Click("We move")
	e.Sees("To the garden side.")
	e.Done()

	s.Settle(t)
	sam.Get("/record/portal-users/anna").Says("when they first set a password", "In their inbox since")
	sam.Get("/messages/" + id.String() + "/recipients").Says("Can be read since").LacksHTML("Can’t be read yet")
	sam.Get("/worklists/no-email").Says("Name of anna", "Has a password since")
	// The user name signs in from then on, and the code does not.
	out := s.SignedOut(t)
	out.Post("/portal/letter", url.Values{"user_name": {made[0][1]}, "code": {made[1][1]}}).Is(http.StatusUnprocessableEntity).Says("The user name or the code is wrong, or the code was used")
	out.Post("/portal/sign-in", url.Values{"email": {"bbbb-bbbb"}, "password": {webtest.Password}}).Says("The e-mail address, the user name or the password is wrong")
	out.Post("/portal/sign-in", url.Values{"email": {strings.ToUpper(made[0][1])}, "password": {webtest.Password}}).Is(http.StatusOK).Says("We move")
	// A letter about a message says with what they sign in, and has no code.
	sam.Post("/letters", url.Values{"user": {"anna"}, "about": {"true"}, "print": {uuid.NewString()}}).Says("sign in with your user name " + made[0][1]).LacksHTML("<code")
	// A person who forgot the password gets another code, from their page.
	sam.Get("/directory/portal-users/anna").Says("User name "+made[0][1], "Make a letter with a code")
	again := sam.Post("/letters/new", url.Values{"user": {"anna"}, "renew": {"true"}}).Says("or forgot the password")
	sam.Post("/letters", url.Values{"user": {"anna"}, "renew": {"true"}, "print": {hidden(t, again.Body, "print")}}).Says("Your way into our portal", made[0][1])
	sam.Get("/directory/portal-users/anna").Says("Letter with a code")
}

// hidden returns the value of a hidden field.
func hidden(t *testing.T, body, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `name="`+name+`" value="`)
	if !ok {
		t.Fatalf("the page has no field %s", name)
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// A letter is in the language that the person chose for their account, else in the one that its sender
// chose for the letters.
func TestLanguageOfALetter(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	withoutEmail(t, s, "anna")
	s.NewPortalUser(t, "bo")
	s.Exec(t, `UPDATE app.portal_accounts SET language = 'ar'`)
	sam := s.Staff(t, "Sam Sender", policy.SendPortalMessage, policy.ImportDirectory)
	sam.Post("/letters/new", url.Values{"user": {"anna", "bo"}}).HasHTML(`<option value="en" lang="en" selected`, `<option value="zh" lang="zh-Hans"`)
	sam.Post("/letters", url.Values{"user": {"anna", "bo"}, "print": {uuid.NewString()}, "language": {"fr"}}).
		Says("Votre accès à notre portail", "سجّل الدخول بعنوان بريدك الإلكتروني").
		HasHTML(`aria-label="Letter to Name of anna" lang="fr"`, `lang="ar" dir="rtl"`).LacksHTML("Your way into", "sign in with your")
}

// The page of the letters, loaded again, shows no code and makes none. Staff who may not invite print
// letters without codes. All of a list is printed in parts.
func TestLetters(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	withoutEmail(t, s, "anna")
	s.System.PortalUser(t, "bo")
	sam := s.Staff(t, "Sam Sender", policy.SendPortalMessage, policy.ImportDirectory)
	form := url.Values{"user": {"anna", "bo", "gone"}, "print": {uuid.NewString()}}
	first := sam.Post("/letters", form).Is(http.StatusOK).Says("2 letters to print", "Your way into our portal", "Our messages are in our portal")
	code := printed.FindAllStringSubmatch(first.Body, -1)[1][1]
	sam.Post("/letters", form).Is(http.StatusOK).Says("1 letter to print", "were made already", "Name of anna").LacksHTML("<code", code)
	for _, path := range []string{"/worklists/no-email", "/directory/portal-users/anna", "/record/portal-users/anna"} {
		sam.Get(path).Is(http.StatusOK).LacksHTML(code)
	}
	var logged int
	if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM record.events WHERE type = 'link.issued'`).Scan(&logged); err != nil || logged != 1 {
		t.Errorf("%d letters are recorded: %v", logged, err)
	}
	sam.Post("/letters/new", nil).Says("Tick the people to whom letters go.")
	sam.Post("/letters", url.Values{"user": {"anna"}}).Says("Tick the people to whom letters go.")

	rita := s.Staff(t, "Rita Reception", policy.SendPortalMessage)
	rita.Post("/letters/new", url.Values{"user": {"anna"}}).Says("Some of these portal users can’t sign in yet.", "1 letter says only")
	rita.Post("/letters", url.Values{"user": {"anna"}, "renew": {"true"}, "print": {uuid.NewString()}}).Says("Please call us").LacksHTML("<code")

	s.Exec(t, `INSERT INTO app.portal_users (portal_user_id, name, email, active) SELECT 'many-' || i, 'Someone ' || i, '', true FROM generate_series(1, 60) i`)
	all := sam.Post("/letters/new", url.Values{"all": {"no-email"}}).Says("Print 50 letters?", "These are the next 50 of the list.")
	next := url.Values{"print": {hidden(t, all.Body, "print")}, "next-all": {"no-email"}, "next-after": {hidden(t, all.Body, "next-after")}}
	for _, id := range regexp.MustCompile(`name="user" value="([^"]*)"`).FindAllStringSubmatch(all.Body, -1) {
		next.Add("user", id[1])
	}
	made := sam.Post("/letters", next).Says("50 letters to print", "Next letters of the list")
	if len(made.Body) > 150_000 {
		t.Errorf("fifty letters have %d bytes", len(made.Body))
	}
	sam.Post("/letters/new", url.Values{"all": {"no-email"}, "after": {hidden(t, made.Body, "after")}}).Says("Print 11 letters?").LacksHTML("next-all")
}

// A list of unread deliveries leads to letters for those who are ticked, and for all.
func TestLettersAboutUnreadMessages(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	withoutEmail(t, s, "anna")
	s.System.PortalUser(t, "bo")
	sam := s.Staff(t, "Sam Sender", policy.SendPortalMessage)
	id := send(t, s, sam.ID, "We move", "anna", "bo").String()
	sam.Get("/worklists/unread?days=0").Is(http.StatusOK).Says("Name of anna", "Can’t be read yet: no e-mail address, and no password", "Print letters for all of this list").LacksHTML("Send the alert again")
	sam.Post("/letters/new", url.Values{"delivery": {id + " anna", id + " bo", "x"}}).Says("Print 2 letters?").HasHTML(`name="about"`, `href="/worklists/unread"`)
	sam.Post("/letters/new", url.Values{"all": {"unread"}, "days": {"0"}}).Says("Print 2 letters?")
	sam.Post("/letters", url.Values{"user": {"bo", "anna"}, "about": {"true"}, "print": {uuid.NewString()}}).
		Says("There is a message for you in our portal", "I have no password or forgot it", "Please call us").LacksHTML("We move", "garden", "<code")
}
