package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/access/oidc"
	"postern/internal/access/oidc/oidctest"
	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

// withOrganisation is a clinic with its own identity provider.
func withOrganisation(t *testing.T, change ...func(*process.WebConfig)) (*webtest.Site, *oidctest.Issuer) {
	t.Helper()
	issuer := oidctest.New(t)
	s := webtest.New(t, append(change, func(c *process.WebConfig) {
		c.Organisation = oidc.New(oidc.Config{Issuer: issuer.URL, ClientID: oidctest.ClientID,
			ClientSecret: oidctest.ClientSecret, RedirectURL: c.Letters.PublicURL + oidc.CallbackPath})
	})...)
	return s, issuer
}

// signIns returns the last n recorded sign-ins, oldest first.
func signIns(t *testing.T, s *webtest.Site, n int) string {
	t.Helper()
	s.Settle(t)
	var said string
	err := s.Admin.QueryRow(t.Context(), `SELECT coalesce(string_agg(type || ' by ' || actor, ', ' ORDER BY seq), '') FROM
		(SELECT * FROM record.events WHERE type IN ('signed_in', 'sign_in.failed') ORDER BY seq DESC LIMIT $1) last`, n).Scan(&said)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// Staff who sign in through their organisation need neither a Postern password nor its second
// factor.
func TestSignInAtTheOrganisation(t *testing.T) {
	t.Parallel()
	s, issuer := withOrganisation(t, func(c *process.WebConfig) { c.FactorRequired = true })
	sam := s.NewStaff(t, "Sam Staff", policy.SendPortalMessage)
	issuer.Email = strings.ToUpper(sam.Email)
	v := s.SignedOut(t)
	v.Get("/search?q=care").Says("Sign in with your organisation").HasHTML(`href="/sign-in/organisation?next=%2Fsearch%3Fq%3Dcare"`)
	in := v.Get("/sign-in/organisation?next=%2Fsearch%3Fq%3Dcare").Is(http.StatusOK).Says("Sam Staff", "Global Search")
	if at := in.URL.RequestURI(); at != "/search?q=care" {
		t.Errorf("signed in at %s", at)
	}
	v.Get("/messages").Is(http.StatusOK)
	v.Get("/account").Says("You signed in through your organisation")
	if got, want := signIns(t, s, 1), "signed_in by staff:"+sam.ID; got != want {
		t.Errorf("recorded %s, want %s", got, want)
	}
	// A sign-in with the password needs the second factor.
	w := s.SignedOut(t)
	w.Post("/sign-in", url.Values{"email": {sam.Email}, "password": {webtest.Password}}).Says("Your clinic requires a second factor")
	s.SignedOut(t).Get("/portal/sign-in").LacksHTML("organisation")
}

// If the organisation refuses a person, or the person is not staff here, the page says
// what to do. Each failure is recorded.
func TestFailedSignInsAtTheOrganisation(t *testing.T) {
	t.Parallel()
	s, issuer := withOrganisation(t)
	sam, dora := s.NewStaff(t, "Sam Staff"), s.NewStaff(t, "Dora Disabled")
	if err := s.Web.Gate.Disable(t.Context(), "operator:test", dora.ID); err != nil {
		t.Fatal(err)
	}
	unknown := "No staff member has the e-mail address that your organisation gave: ask an administrator to add you with it."
	for _, c := range []struct {
		name, email string
		set         func()
		says        string
	}{
		{"unknown", "eve@clinic.example", func() {}, unknown},
		{"disabled", dora.Email, func() {}, unknown},
		{"unverified", sam.Email, func() { issuer.Verified = false }, "Your organisation did not sign you in"},
		{"forged", sam.Email, func() { issuer.Verified, issuer.Forge = true, true }, "Your organisation did not sign you in"},
		{"another's token", sam.Email, func() {
			issuer.Forge, issuer.Spoil = false, func(claims map[string]any) { claims["aud"] = "another" }
		}, "Your organisation did not sign you in"},
	} {
		c.set()
		issuer.Email = c.email
		v := s.SignedOut(t)
		before := s.Keeps(t).Events
		if got := v.Get("/sign-in/organisation").Says(c.says, "Sign in with your organisation"); got.Status != http.StatusForbidden {
			t.Errorf("%s: status %d", c.name, got.Status)
		}
		v.Get("/search").Says("Staff sign-in")
		if got := signIns(t, s, 1); s.Keeps(t).Events != before+1 || got != "sign_in.failed by process:api" {
			t.Errorf("%s: %d events were recorded, the last %s", c.name, s.Keeps(t).Events-before, got)
		}
	}
}

// The answer of the organisation counts once, and only in the browser that started.
func TestTheAnswerIsValidForOneBrowserOnce(t *testing.T) {
	t.Parallel()
	s, issuer := withOrganisation(t)
	issuer.Email = s.NewStaff(t, "Sam Staff").Email
	v := s.SignedOut(t)
	v.Get("/sign-in/organisation").Is(http.StatusOK).Says("Sam Staff")
	// One browser's answer in another browser, which has no attempt, or another one.
	answer := "/sign-in/organisation/back?" + issuer.Authorize(url.Values{"state": {"x"}}).Encode()
	before := s.Keeps(t).Events
	s.SignedOut(t).Get(answer).Is(http.StatusForbidden).Says("Your organisation did not sign you in: start again")
	if after := s.Keeps(t).Events; after != before {
		t.Error("an answer without an attempt was recorded")
	}
	v.Post("/sign-out", nil)
	v.Get(answer).Is(http.StatusForbidden)
	v.Get("/search").Says("Staff sign-in")
}

// While the organisation is unavailable, its button gives an error, and passwords work.
func TestTheOrganisationIsUnavailable(t *testing.T) {
	t.Parallel()
	s, issuer := withOrganisation(t)
	sam := s.NewStaff(t, "Sam Staff")
	issuer.Leave()
	v := s.SignedOut(t)
	v.Get("/sign-in").Is(http.StatusOK).Says("Sign in with your organisation")
	v.Get("/sign-in/organisation").Is(http.StatusServiceUnavailable).Says("Your organisation's sign-in can't be reached right now").HasHTML(`href="#organisation"`)
	v.Post("/sign-in", url.Values{"email": {sam.Email}, "password": {webtest.Password}, "next": {"/search"}}).Is(http.StatusOK).Says("Sam Staff")
}

// Without an organisation there is no button.
func TestWithoutAnOrganisation(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.SignedOut(t).Get("/sign-in").LacksHTML("organisation")
	for _, path := range []string{"/sign-in/organisation", "/sign-in/organisation/back?state=x&code=y"} {
		s.SignedOut(t).Get(path).Is(http.StatusNotFound)
	}
}

// The same in a browser: the content security policy allows the way there and back.
func TestTheOrganisationInABrowser(t *testing.T) {
	t.Parallel()
	s, issuer := withOrganisation(t)
	b := webtest.OpenBrowser(t, s)
	b.Open("/sign-in?next=/search")
	b.AccessibleInAllViews()
	b.Screenshot("sign-in-organisation")
	issuer.Email = "eve@clinic.example"
	b.Click("Sign in with your organisation")
	b.Sees("There is a problem", "No staff member has the e-mail address")
	b.AccessibleInAllViews()
	b.Screenshot("sign-in-organisation-unknown")
	issuer.Email = s.NewStaff(t, "Sam Staff").Email
	b.Open("/sign-in?next=/search")
	b.Click("Sign in with your organisation")
	b.At("/search")
	b.Sees("Sam Staff")
}
