package door_test

import (
	"testing"

	"postern/internal/web/webtest"
)

// Two minutes before a session ends by itself it says so, and goes on if one wants.
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
	b.AccessibleAnyhow()
	b.Screenshot("session-warning")
	b.Press("Enter")
	b.SeesNot("You are about to be signed out")
	b.Open("/search?q=labels")
	b.At("/search?q=labels")
}

// Whoever does not answer is signed out, once everything that was written is saved.
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
		t.Errorf("what was written was saved: %q", saved)
	}
	b.Open("/search")
	b.Sees("Staff sign-in")
}

// Portal users are warned as well; Escape stays, as nobody means to leave by it.
func TestSessionWarningInThePortal(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ada")
	b := webtest.OpenBrowser(t, s)
	b.SignInPortal("ada")
	b.SessionEndsIn(60)
	b.Open("/portal")
	b.Sees("You are about to be signed out", "in a minute")
	b.AccessibleAnyhow()
	b.Press("Escape")
	b.SeesNot("You are about to be signed out")
}
