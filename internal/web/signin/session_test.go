package signin_test

import (
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

// Two minutes before a session times out, a warning appears, and the reader can stay
// signed in.
func TestSessionWarningAndStaying(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(s.NewStaff(t, "Sam Staff"))
	b.SessionEndsIn(122)
	b.Open("/search")
	b.SeesNot("You are about to be signed out")
	b.Sees("You are about to be signed out", "in 2 minutes", "kept as a draft")
	b.Focuses("Stay signed in")
	b.AccessibleInAllViews()
	b.Screenshot("session-warning")
	b.Press("Enter")
	b.SeesNot("You are about to be signed out")
	b.Open("/search?q=labels")
	b.At("/search?q=labels")
}

// Without an answer to the warning, the page saves typed text and then signs out.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(s.NewStaff(t, "Sam Staff"))
	b.SessionEndsIn(7)
	b.Open("/search")
	webtest.Evaluate[any](b, `document.addEventListener('postern:saving', (event) => event.detail.waitFor(
		fetch('/search').then(async (answer) => { sessionStorage.saved = (await answer.text()).includes('Sam Staff') })))`)
	b.Sees("You are about to be signed out")
	b.At("/sign-in?expired=1")
	b.Sees("You were signed out", "kept under Drafts")
	if saved := webtest.Evaluate[string](b, `sessionStorage.saved`); saved != "true" {
		t.Errorf("saved: %q", saved)
	}
	b.Open("/search")
	b.Sees("Staff sign-in")
}

// The end that can't be postponed is announced, too, once.
func TestTheEndThatCannotBePostponed(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(s.NewStaff(t, "Sam Staff"))
	b.SessionEndsForGoodIn(100)
	b.Open("/search")
	b.Sees("You are about to be signed out", "You have been signed in for a long time: sign in again after that.")
	b.Focuses("Continue until then")
	b.AccessibleInAllViews()
	b.Screenshot("session-last")
	b.Press("Enter")
	b.SeesNot("You are about to be signed out")
	// A window that becomes visible checks the time again.
	if again := webtest.Evaluate[bool](b, `document.dispatchEvent(new Event('visibilitychange')), document.getElementById('session-warning').open`); again {
		t.Error("the end is announced again")
	}
}

// A page that refreshes automatically does not prolong the session.
func TestPollingDoesNotProlongTheSession(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(s.NewStaff(t, "Rae Reviewer", policy.ReadRecord))
	b.Open("/record")
	s.Exec(t, `UPDATE app.sessions SET expires_at = now() + interval '9 minutes' WHERE realm = 'staff'`)
	answered := webtest.Evaluate[bool](b, `new Promise((resolve) => document.addEventListener('htmx:afterRequest', (event) => resolve(event.detail.successful), { once: true }))`)
	var left time.Duration
	if err := s.Admin.QueryRow(t.Context(), `SELECT expires_at - now() FROM app.sessions WHERE realm = 'staff'`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if !answered || left > 9*time.Minute {
		t.Errorf("after a renewal (answered: %t) %s are left", answered, left)
	}
	b.Open("/search")
	if err := s.Admin.QueryRow(t.Context(), `SELECT expires_at - now() FROM app.sessions WHERE realm = 'staff'`).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left < 25*time.Minute {
		t.Errorf("after a visit %s are left", left)
	}
}

// Without scripts, the page shows the end of the session, and the sign-in page explains what
// happened.
func TestTheEndOfASessionWithoutScripts(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Sam Staff")
	v.Get("/search").Says("You are signed in until", "save your work before then")
	s.PortalUser(t, "ada").Get("/portal").Says("You are signed in until").LacksHTML("save your work")
	s.SignedOut(t).Get("/sign-in").LacksHTML("You are signed in until", "You were signed out")
	s.Exec(t, `UPDATE app.sessions SET expires_at = now() - interval '1 second' WHERE realm = 'staff'`)
	if page := v.Get("/search?q=x").Says("You were signed out.", "when you do nothing for 30 minutes"); page.URL.Query().Get("next") != "/search?q=x" {
		t.Errorf("it continues to %s", page.URL)
	}
}

// Portal users are warned, too. Escape keeps them signed in.
func TestSessionWarningInThePortal(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ada")
	b := webtest.OpenBrowser(t, s)
	b.SignInPortal("ada")
	b.SessionEndsIn(60)
	b.Open("/portal")
	b.Sees("You are about to be signed out", "in a minute")
	b.AccessibleInAllViews()
	b.Press("Escape")
	b.SeesNot("You are about to be signed out")
}
