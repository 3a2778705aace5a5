package portal_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"postern/internal/web/webtest"
)

// A change of password needs the current one. The portal user stays signed in here and is
// signed out everywhere else.
func TestChangePassword(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	elsewhere := c.SignedOut(t)
	elsewhere.Post("/portal/sign-in", url.Values{"email": {"pu-1@example.org"}, "password": {webtest.Password}})
	elsewhere.Get("/portal/account").Says("Your account", "Name of pu-1", "pu-1@example.org", "Use 10 characters or more")

	change := func(current, next string) *webtest.Page {
		return pat.Post("/portal/account/password", url.Values{"current": {current}, "password": {next}})
	}
	change("a guess", "a brook under the mill").Is(http.StatusUnprocessableEntity).Says("There is a problem", "This is not your current password.").
		HasHTML(`href="#current"`).LacksHTML("a guess", "a brook")
	change(webtest.Password, "short").Is(http.StatusUnprocessableEntity).Says("Choose another password: it needs at least 10 characters.").HasHTML(`href="#password"`)
	elsewhere.Get("/portal/account").Says("Your account")

	change(webtest.Password, "a brook under the mill").Is(http.StatusOK).Says("Your password is changed.", "Your account")
	elsewhere.Get("/portal/account").Says("Sign in to your messages")
	pat.Get("/portal").Says("Your messages")
	c.SignedOut(t).Post("/portal/sign-in", url.Values{"email": {"pu-1@example.org"}, "password": {webtest.Password}}).Is(http.StatusUnprocessableEntity)
	c.SignedOut(t).Post("/portal/sign-in", url.Values{"email": {"pu-1@example.org"}, "password": {"a brook under the mill"}}).Is(http.StatusOK).Says("Your messages")
}

// Guesses at the current password are slowed down, as at the sign-in.
func TestGuessesAtTheCurrentPasswordAreSlowedDown(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	form := url.Values{"current": {"a guess"}, "password": {"a brook under the mill"}}
	for range 5 {
		pat.Post("/portal/account/password", form).Says("This is not your current password.")
	}
	pat.Post("/portal/account/password", form).Is(http.StatusTooManyRequests).Says("Too many tries: try again in")
}

// A portal user sees where they are signed in, and signs the others out.
func TestSessions(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	in := url.Values{"email": {"pu-1@example.org"}, "password": {webtest.Password}}
	there, third := c.SignedOut(t), c.SignedOut(t)
	there.Post("/portal/sign-in", in)
	third.Post("/portal/sign-in", in)
	pat.Get("/portal/account").HasHTML(`href="/portal/account/sessions"`)
	list := pat.Get("/portal/account/sessions").Is(http.StatusOK).Says("Where you are signed in", "This device", "with your password", "Network: 127.0.0.0/24")
	ends := regexp.MustCompile(`action="(/portal/account/sessions/[0-9a-f-]{36}/end)"`).FindAllStringSubmatch(list.Body, -1)
	if len(ends) != 2 {
		t.Fatalf("%d other sessions are shown", len(ends))
	}
	pat.Post(ends[0][1], nil).Is(http.StatusOK).Says("The device is signed out.")
	pat.Post(ends[0][1], nil).Is(http.StatusOK).Says("That device was signed out already.")
	c.PortalUser(t, "pu-2").Post(ends[1][1], nil).Says("That device was signed out already.") // another's is not theirs
	pat.Post("/portal/account/sessions/end-others", nil).Says("All your other devices are signed out.").LacksHTML("Sign out all other devices")
	there.Get("/portal").Says("Sign in to your messages")
	third.Get("/portal").Says("Sign in to your messages")
	pat.Get("/portal").Says("Your messages")
	pat.Post("/portal/account/sessions/17/end", nil).Is(http.StatusNotFound)
}

func TestSignOutEverywhere(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	pat := c.PortalUser(t, "pu-1")
	elsewhere := c.SignedOut(t)
	elsewhere.Post("/portal/sign-in", url.Values{"email": {"pu-1@example.org"}, "password": {webtest.Password}}).Says("Your messages")
	pat.Post("/portal/account/sign-out-everywhere", nil).Is(http.StatusOK).Says("You are signed out on all your devices.", "Sign in")
	pat.Get("/portal").Says("Sign in to your messages")
	elsewhere.Get("/portal").Says("Sign in to your messages")
}
