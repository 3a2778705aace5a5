package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/access"
	"postern/internal/access/groups"
	"postern/internal/access/oidc"
	"postern/internal/access/oidc/oidctest"
	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

// withOrganisation is a clinic with its own identity provider.
func withOrganisation(t *testing.T, change ...func(*process.WebConfig)) (*webtest.Site, *oidctest.Issuer) {
	t.Helper()
	return withIssuer(t, oidc.SecondFactor{}, change...)
}

// withIssuer is [withOrganisation] for a clinic that asks for the organisation's second factor.
func withIssuer(t *testing.T, factor oidc.SecondFactor, change ...func(*process.WebConfig)) (*webtest.Site, *oidctest.Issuer) {
	t.Helper()
	issuer := oidctest.New(t)
	s := webtest.New(t, append(change, func(c *process.WebConfig) {
		c.Issuer = oidc.New(oidc.Config{Issuer: issuer.URL, ClientID: oidctest.ClientID, ClientSecret: oidctest.ClientSecret,
			RedirectURL: c.Letters.PublicURL + oidc.CallbackPath, GroupsClaim: "groups", SecondFactor: factor})
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
		{"unverified", sam.Email, func() { issuer.Verified = false }, "Your organisation did not confirm your e-mail address"},
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

// The first sign-in links the account. Then another person at the organisation with the same
// address is refused, until an administrator unlinks the account; its owner unlinks it with the
// password.
func TestAnAccountIsLinkedToOnePerson(t *testing.T) {
	t.Parallel()
	s, issuer := withOrganisation(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	sam := s.NewStaff(t, "Sam Staff")
	at := "/administration/staff/" + sam.ID
	admin.Get(at).LacksHTML("Linked to the organisation", at+"/unlink")
	issuer.Email, issuer.Subject = sam.Email, "one"
	v := s.SignedOut(t)
	v.Get("/sign-in/organisation").Is(http.StatusOK).Says("Sam Staff")
	v.Get("/account").Says("Linked to the organisation since", "Unlink your account from your organisation")
	admin.Get(at).Says("Linked to the organisation since")

	issuer.Email = "sam.married@clinic.example"
	s.SignedOut(t).Get("/sign-in/organisation").Is(http.StatusOK).Says("Sam Staff")
	issuer.Email, issuer.Subject = sam.Email, "two"
	s.SignedOut(t).Get("/sign-in/organisation").Is(http.StatusForbidden).
		Says("The staff account with your e-mail address is linked to another sign-in at your organisation: ask an administrator to unlink it at Staff Info, and start again.")
	if got := signIns(t, s, 1); got != "sign_in.failed by process:api" {
		t.Errorf("recorded %s", got)
	}

	admin.Post(at+"/unlink", nil).Is(http.StatusOK).Says("Unlinked from the organisation.").LacksHTML("Linked to the organisation since")
	v.Get("/account").Says("Staff sign-in")
	v.Get("/sign-in/organisation").Is(http.StatusOK).Says("Sam Staff")

	v.Get("/account/unlink").Is(http.StatusOK).Says("Unlink your account from your organisation")
	v.Post("/account/unlink", url.Values{"password": {"wrong"}}).Is(http.StatusUnprocessableEntity).Says("This is not your current password").HasHTML(`href="#password"`)
	v.Post("/account/unlink", url.Values{"password": {webtest.Password}}).Is(http.StatusOK).Says("Staff sign-in", "Your account is unlinked from your organisation. Sign in with your password.")
	v.Post("/sign-in", url.Values{"email": {sam.Email}, "password": {webtest.Password}, "next": {"/account"}}).Is(http.StatusOK).LacksHTML("Linked to the organisation")
	if path := v.Get("/account/unlink").URL.Path; path != "/account" {
		t.Errorf("an account without a link is unlinked at %s", path)
	}

	// One's own account is not unlinked as administrators do.
	mine := "/administration/staff/" + admin.ID
	issuer.Email, issuer.Subject = "ada.admin@clinic.example", "three"
	admin.Get("/sign-in/organisation").Is(http.StatusOK)
	admin.Get(mine).Says("Linked to the organisation since", "To unlink your own account").LacksHTML(mine + "/unlink")
	admin.Post(mine+"/unlink", nil).Is(http.StatusUnprocessableEntity).Says("You can't unlink your own account here")
	s.Staff(t, "Plain").Post(at+"/unlink", nil).Is(http.StatusForbidden)
}

// A person whose groups give a permission gets an account when they come, and the permissions
// of their groups at each sign-in.
func TestAnAccountForAPersonWhoComes(t *testing.T) {
	t.Parallel()
	s, issuer := withOrganisation(t, func(c *process.WebConfig) {
		c.Organisation = access.Organisation{JustInTime: true, Groups: groups.Mapping{"nurses": {policy.SendPortalMessage}, "office": {policy.ManageLabels}}}
	})
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff, policy.ReadRecord)
	issuer.Email, issuer.Name, issuer.Groups = "noel@clinic.example", "Noel Novice", []string{"everyone"}
	v := s.SignedOut(t)
	v.Get("/sign-in/organisation").Is(http.StatusForbidden).Says("You have no staff account, and none of your groups at your organisation gives you one: ask an administrator to add you.")
	issuer.Groups = []string{"everyone", "nurses"}
	v.Get("/sign-in/organisation").Is(http.StatusOK).Says("Noel Novice", "Compose Patient Portal Message")
	v.Get("/administration/labels").Is(http.StatusForbidden)
	v.Get("/account").Says("You have no password here.", "Linked to the organisation since", "Ask an administrator for a link").LacksHTML(`href="/account/unlink"`)
	issuer.Groups = []string{"office"}
	v.Get("/sign-in/organisation").Is(http.StatusOK)
	v.Get("/administration/labels").Is(http.StatusOK)
	v.Get("/messages/compose").Is(http.StatusForbidden)
	s.Settle(t)
	admin.Get("/administration/staff?q=noel").Says("Noel Novice", "noel@clinic.example", "Manage Custom Labels")
	admin.Get("/record?actor=process:organisation").Says("The organisation created the staff account of Noel Novice", "The organisation gave Noel Novice the permission send_portal_message",
		"The organisation linked the staff account of Noel Novice", "The organisation removed the permission send_portal_message from Noel Novice")
}

// A clinic can ask that the organisation's own second factor was given.
func TestTheOrganisationsSecondFactor(t *testing.T) {
	t.Parallel()
	s, issuer := withIssuer(t, oidc.ParseSecondFactor("true"))
	issuer.Email = s.NewStaff(t, "Sam Staff").Email
	s.SignedOut(t).Get("/sign-in/organisation").Is(http.StatusForbidden).Says("Your organisation did not ask you for a second factor, which your clinic requires")
	if got := signIns(t, s, 1); got != "sign_in.failed by process:api" {
		t.Errorf("recorded %s", got)
	}
	issuer.Spoil = func(claims map[string]any) { claims["amr"] = []string{"pwd", "otp"} }
	s.SignedOut(t).Get("/sign-in/organisation").Is(http.StatusOK).Says("Sam Staff")
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
	b.Open("/account")
	b.Sees("Linked to the organisation since")
	b.AccessibleInAllViews()
	b.Screenshot("account-linked")
	b.Click("Unlink your account from your organisation")
	b.Sees("Your next sign-in through your organisation")
	b.AccessibleInAllViews()
	b.Screenshot("account-unlink")
	b.Click("Unlink the account")
	b.Sees("There is a problem")
	b.AccessibleInAllViews()
}
