// Package provider_test signs staff in at an OpenID provider that is not ours: at that of
// github.com/zitadel/oidc, through Postern's own HTTP routes and the provider's, with the
// provider's sign-in and consent in between. It is a module of its own, so that the provider is
// no dependency of the product.
package provider_test

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"postern/internal/access"
	"postern/internal/access/groups"
	"postern/internal/access/oidc"
	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// A clinic is a Postern and the provider of its organisation.
type clinic struct {
	*webtest.Site
	*provider
}

func newClinic(t *testing.T, factor oidc.SecondFactor) clinic {
	t.Helper()
	var c clinic
	c.Site = webtest.New(t, func(cfg *process.WebConfig) {
		redirect := cfg.Letters.PublicURL + oidc.CallbackPath
		c.provider = newProvider(t, redirect)
		cfg.Issuer = oidc.New(oidc.Config{Issuer: c.url, ClientID: clientID, ClientSecret: clientSecret, RedirectURL: redirect,
			Scopes: []string{"profile", "groups"}, GroupsClaim: "groups", SecondFactor: factor})
		cfg.Organisation = access.Organisation{JustInTime: true, Groups: groups.Mapping{"nurses": {policy.SendPortalMessage}, "office": {policy.ManageLabels}}}
	})
	return c
}

// A browser has cookies, and stops at each redirect.
type browser struct {
	t    *testing.T
	c    clinic
	http *http.Client
}

func (c clinic) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, c, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is the answer to a request.
type answer struct {
	status int
	body   string
	to     string // where it redirects, as a whole address; "": nowhere
}

func (b *browser) do(r *http.Request, err error) answer {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var body strings.Builder
	if err := res.Write(&body); err != nil {
		b.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, body: body.String()}
	if to, err := res.Location(); err == nil {
		a.to = to.String()
	}
	return a
}

func (b *browser) get(address string) answer {
	b.t.Helper()
	return b.do(http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil))
}

var hidden = regexp.MustCompile(`name="id" value="([^"]+)"`)

// fill sends the form of a page of the provider.
func (b *browser) fill(page answer, path string, fields url.Values) answer {
	b.t.Helper()
	found := hidden.FindStringSubmatch(page.body)
	if found == nil {
		b.t.Fatalf("there is no form on %s", page.body)
	}
	fields.Set("id", found[1])
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.c.url+path, strings.NewReader(fields.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return b.do(r, err)
}

// start begins a sign-in at Postern and returns the provider's address to which it leads.
func (b *browser) start() string {
	b.t.Helper()
	got := b.get(b.c.Base + "/sign-in/organisation?next=%2Faccount")
	if got.status != http.StatusSeeOther || !strings.HasPrefix(got.to, b.c.url+"/authorize?") {
		b.t.Fatalf("Postern answers %d and leads to %s", got.status, got.to)
	}
	return got.to
}

// consents signs in at the provider as a person, answers the consent, and returns the address at
// Postern to which the provider redirects.
func (b *browser) consents(authorize, username, consent string) string {
	b.t.Helper()
	login := b.get(authorize)
	if login.status != http.StatusFound || !strings.Contains(login.to, "/login/username?authRequestID=") {
		b.t.Fatalf("the provider answers %d and leads to %q: %s", login.status, login.to, login.body)
	}
	page := b.get(login.to)
	if wrong := b.fill(page, "/login/username", url.Values{"username": {username}, "password": {"not this one"}}); wrong.status != http.StatusForbidden {
		b.t.Fatalf("the provider takes a wrong password: %d", wrong.status)
	}
	asked := b.fill(page, "/login/username", url.Values{"username": {username}, "password": {username}})
	back := b.fill(asked, "/consent", url.Values{"answer": {consent}})
	for back.to != "" && !strings.HasPrefix(back.to, b.c.Base) {
		back = b.get(back.to)
	}
	if back.to == "" {
		b.t.Fatalf("the provider leads nowhere: %s", back.body)
	}
	return back.to
}

// signIn goes the whole way as a person who consents.
func (b *browser) signIn(username string) answer {
	b.t.Helper()
	return b.get(b.consents(b.start(), username, "allow"))
}

// isIn reports that the browser is signed in as the person of that name.
func (b *browser) isIn(got answer, name string) {
	b.t.Helper()
	if got.status != http.StatusSeeOther || got.to != b.c.Base+"/account" {
		b.t.Fatalf("Postern answers %d and leads to %s: %s", got.status, got.to, got.body)
	}
	if account := b.get(got.to); account.status != http.StatusOK || !strings.Contains(account.body, name) || !strings.Contains(account.body, "Linked to the organisation since") {
		b.t.Errorf("the account of %s: %d %s", name, account.status, account.body)
	}
}

// isOut reports that the browser is not signed in, and that a failure is recorded with this
// reason.
func (b *browser) isOut(got answer, reason, says string) {
	b.t.Helper()
	if got.status != http.StatusForbidden || !strings.Contains(got.body, says) {
		b.t.Errorf("Postern answers %d: %s", got.status, got.body)
	}
	if account := b.get(b.c.Base + "/account"); account.status == http.StatusOK {
		b.t.Error("the browser is signed in")
	}
	b.c.Settle(b.t)
	var seq uint64
	if err := b.c.Admin.QueryRow(b.t.Context(), `SELECT max(seq) FROM record.events WHERE type = 'sign_in.failed'`).Scan(&seq); err != nil {
		b.t.Fatal(err)
	}
	stored, err := b.c.Log.Get(b.t.Context(), seq)
	if err != nil {
		b.t.Fatal(err)
	}
	var body struct{ Reason string }
	if err := json.Unmarshal(stored.Data, &body); err != nil || body.Reason != reason {
		b.t.Errorf("the last failure is %q, want %q (%v)", body.Reason, reason, err)
	}
}

const startAgain = "Your organisation did not sign you in: start again"

// A member of staff signs in, again after the provider has another key, and with another address.
// Another person at the provider gets the first address, and is refused.
func TestStaffSignIn(t *testing.T) {
	t.Parallel()
	c := newClinic(t, oidc.SecondFactor{})
	ada := c.NewStaff(t, "Ada Brook")
	there := c.add("4711", "ada", ada.Email)
	first := c.browser(t)
	first.isIn(first.signIn("ada"), "Ada Brook")

	c.rotate(t)
	again := c.browser(t)
	again.isIn(again.signIn("ada"), "Ada Brook")

	c.change(there, func(who *person) { who.Email = "ada.married@clinic.example" })
	renamed := c.browser(t)
	renamed.isIn(renamed.signIn("ada"), "Ada Brook")
	c.change(there, func(who *person) { who.EmailVerified = false })
	unverified := c.browser(t)
	unverified.isIn(unverified.signIn("ada"), "Ada Brook")

	c.add("4712", "ben", ada.Email)
	other := c.browser(t)
	other.isOut(other.signIn("ben"), "other_identity", "is linked to another sign-in at your organisation")
	if err := c.Web.Gate.Unlink(t.Context(), "operator:test", ada.ID); err != nil {
		t.Fatal(err)
	}
	if got := first.get(c.Base + "/account"); got.status == http.StatusOK {
		t.Error("a session outlives the link")
	}
	other.isIn(other.signIn("ben"), "Ada Brook")
	back := c.browser(t)
	c.change(there, func(who *person) { who.Email, who.EmailVerified = ada.Email, true })
	back.isOut(back.signIn("ada"), "other_identity", "ask an administrator to unlink it at Staff Info")
}

// A person whom no one has added gets an account by their groups, and what their groups give.
func TestAPersonWhomNoOneHasAdded(t *testing.T) {
	t.Parallel()
	c := newClinic(t, oidc.SecondFactor{})
	noel := c.add("1", "noel", "noel@clinic.example", "everyone")
	b := c.browser(t)
	b.isOut(b.signIn("noel"), "no_group", "none of your groups at your organisation gives you one")
	c.change(noel, func(who *person) { who.groups = []string{"everyone", "nurses"} })
	b.isIn(b.signIn("noel"), "noel Example")
	may := func(path string, want int) {
		t.Helper()
		if got := b.get(c.Base + path); got.status != want {
			t.Errorf("%s answers %d, want %d", path, got.status, want)
		}
	}
	may("/administration/labels", http.StatusForbidden)
	may("/messages/compose", http.StatusOK)
	c.change(noel, func(who *person) { who.groups = []string{"office"} })
	b.isIn(b.signIn("noel"), "noel Example")
	may("/administration/labels", http.StatusOK)
	may("/messages/compose", http.StatusForbidden)

	staff, err := c.Web.Gate.StaffByEmail(t.Context(), "noel@clinic.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Web.Gate.Disable(t.Context(), "operator:test", staff.ID); err != nil {
		t.Fatal(err)
	}
	out := c.browser(t)
	out.isOut(out.signIn("noel"), "inactive", "No staff member has the e-mail address")
	c.change(c.add("2", "eve", "eve@clinic.example", "nurses"), func(who *person) { who.EmailVerified = false })
	out.isOut(out.signIn("eve"), "unverified_address", "did not confirm your e-mail address")
}

// changed is an address with one parameter of another value.
func changed(t *testing.T, address, name, value string) string {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := at.Query()
	q.Set(name, value)
	at.RawQuery = q.Encode()
	return at.String()
}

// parameter is one parameter of an address.
func parameter(t *testing.T, address, name string) string {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return at.Query().Get(name)
}

// twoPeople is a clinic of which two people are staff and at the provider, and a browser.
func twoPeople(t *testing.T) (clinic, *browser) {
	t.Helper()
	c := newClinic(t, oidc.SecondFactor{})
	c.add("1", "ada", c.NewStaff(t, "Ada Brook").Email)
	c.add("2", "ben", c.NewStaff(t, "Ben Ford").Email)
	return c, c.browser(t)
}

// A sign-in that the person refuses, and one whose request was changed on its way to the
// provider, sign in no one.
func TestChangedRequestsSignInNoOne(t *testing.T) {
	t.Parallel()
	_, b := twoPeople(t)
	b.isOut(b.get(b.consents(b.start(), "ada", "deny")), oidc.RefusedByIssuer, startAgain)

	// The nonce of another attempt: a token that was made for another sign-in.
	b.isOut(b.get(b.consents(changed(t, b.start(), "nonce", "another"), "ada", "allow")), oidc.InvalidToken, startAgain)

	// The challenge of another attempt: the code is not that of this browser (PKCE).
	b.isOut(b.get(b.consents(changed(t, b.start(), "code_challenge", strings.Repeat("x", 43)), "ada", "allow")), oidc.RefusedByIssuer, startAgain)

	// The same browser signs in as it should.
	b.isIn(b.signIn("ada"), "Ada Brook")
}

// An answer that belongs to another person, browser, attempt or application signs in no one.
func TestOtherAnswersSignInNoOne(t *testing.T) {
	t.Parallel()
	c, b := twoPeople(t)

	// A code of another person, put into this browser's answer.
	mallory := c.browser(t)
	stolen := parameter(t, mallory.consents(mallory.start(), "ben", "allow"), "code")
	b.isOut(b.get(changed(t, b.consents(b.start(), "ada", "allow"), "code", stolen)), oidc.RefusedByIssuer, startAgain)

	// The state of another browser.
	b.isOut(b.get(changed(t, b.consents(b.start(), "ada", "allow"), "state", "another")), oidc.WrongState, startAgain)

	// A used code, with a new attempt.
	in := c.browser(t)
	answered := in.consents(in.start(), "ada", "allow")
	in.isIn(in.get(answered), "Ada Brook")
	b.isOut(b.get(changed(t, b.consents(b.start(), "ada", "allow"), "code", parameter(t, answered, "code"))), oidc.RefusedByIssuer, startAgain)

	// A token that the provider made for another application: whoever runs that can't sign in
	// here as its users. It is genuine, and has the nonce of this attempt.
	authorize := b.start()
	canteen := oauth2.Config{ClientID: otherID, ClientSecret: otherSecret, RedirectURL: c.Base + oidc.CallbackPath, Scopes: []string{"openid", "email"},
		Endpoint: oauth2.Endpoint{AuthURL: c.url + "/authorize", TokenURL: c.url + "/oauth/token", AuthStyle: oauth2.AuthStyleInHeader}}
	verifier := oauth2.GenerateVerifier()
	code := parameter(t, b.consents(canteen.AuthCodeURL("x", oauth2.SetAuthURLParam("nonce", parameter(t, authorize, "nonce")), oauth2.S256ChallengeOption(verifier)), "ada", "allow"), "code")
	token, err := canteen.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := json.Marshal(map[string]any{"access_token": token.AccessToken, "token_type": "Bearer", "expires_in": 300, "id_token": token.Extra("id_token")})
	if err != nil {
		t.Fatal(err)
	}
	back := b.consents(authorize, "ada", "allow")
	c.answerNext(theirs)
	b.isOut(b.get(back), oidc.InvalidToken, startAgain)

	// After all that, the same browser signs in as it should.
	b.isIn(b.signIn("ada"), "Ada Brook")
}

// The provider says that it asked for a password alone, which is not enough for a clinic that
// wants a second factor.
func TestASecondFactorAtTheProvider(t *testing.T) {
	t.Parallel()
	c := newClinic(t, oidc.ParseSecondFactor("true"))
	ada := c.NewStaff(t, "Ada Brook")
	c.add("1", "ada", ada.Email)
	b := c.browser(t)
	b.isOut(b.signIn("ada"), oidc.NoSecondFactor, "did not ask you for a second factor")
}
