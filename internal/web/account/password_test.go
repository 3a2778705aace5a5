package account_test

import (
	"net/http"
	"net/url"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

const chosen = "a brook under the mill"

// A staff member changes their own password with the current one. All other sessions end,
// and this one goes on.
func TestChangingOnesOwnPassword(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	here := s.Staff(t, "Sam Staff", policy.SendPortalMessage)
	there := s.SignedOut(t)
	there.Post("/sign-in", url.Values{"email": {"sam.staff@clinic.example"}, "password": {webtest.Password}}).Is(http.StatusOK)
	here.Get("/account").HasHTML(`href="/account/password"`)
	here.Get("/account/password").Is(http.StatusOK).Says("Change your password", "Use 12 characters or more")
	for _, c := range []struct {
		current, password string
		errors            map[string]string
	}{
		{"wrong", "short", map[string]string{"current": "This is not your current password", "password": "it needs at least 12 characters"}},
		{"wrong", chosen, map[string]string{"current": "This is not your current password"}},
		{webtest.Password, "short", map[string]string{"password": "it needs at least 12 characters"}},
		{"", "", map[string]string{"current": "This is not your current password", "password": "it needs at least 12 characters"}},
	} {
		page := here.Post("/account/password", url.Values{"current": {c.current}, "password": {c.password}}).Is(http.StatusUnprocessableEntity).LacksHTML(webtest.Password)
		for field, text := range c.errors {
			page.Says(text).HasHTML(`href="#` + field + `"`)
		}
	}
	there.Get("/account").Says("Sam Staff")
	here.Post("/account/password", url.Values{"current": {webtest.Password}, "password": {chosen}}).Is(http.StatusOK).
		Says("Your password is changed. All your other devices are signed out.", "Sam Staff")
	here.Get("/account").Says("Sam Staff")
	there.Get("/account").Says("Staff sign-in")
	there.Post("/sign-in", url.Values{"email": {"sam.staff@clinic.example"}, "password": {webtest.Password}}).Is(http.StatusUnprocessableEntity)
	there.Post("/sign-in", url.Values{"email": {"sam.staff@clinic.example"}, "password": {chosen}}).Is(http.StatusOK)
	for range 5 {
		here.Post("/account/password", url.Values{"current": {"a guess"}, "password": {chosen}}).Is(http.StatusUnprocessableEntity)
	}
	here.Post("/account/password", url.Values{"current": {"a guess"}, "password": {chosen}}).Is(http.StatusTooManyRequests).Says("try again in")
}

// Staff without a password, who signed in at their organisation, are told whom to ask.
func TestWithoutAPassword(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.Staff(t, "Sam Staff")
	s.Exec(t, `UPDATE app.staff_accounts SET password_hash = NULL`)
	sam.Get("/account").Says("You have no password here.").LacksHTML(`href="/account/password"`)
	sam.Get("/account/password").Says("ask a staff member with Manage Staff").LacksHTML("<form action=\"/account/password")
}

// The page in a browser: accessible, with and without errors.
func TestChangingAPasswordInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Staff")
	b := webtest.OpenBrowser(t, s)
	b.SignIn(sam)
	b.Open("/account")
	b.Click("Change your password")
	b.AccessibleInAllViews()
	b.Screenshot("account-password")
	b.Type("Your password now", "wrong")
	b.Type("Your new password", "short")
	b.Press("Enter")
	b.Sees("There is a problem")
	b.AccessibleInAllViews()
	b.Type("Your password now", webtest.Password)
	b.Type("Your new password", chosen)
	b.Press("Enter")
	b.Sees("Your password is changed.")
}
