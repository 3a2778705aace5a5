package account_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

var tokenOn = regexp.MustCompile(`<code class="app-break" id="token">(pst_[a-z2-7]{56})</code>`)
var revokeOn = regexp.MustCompile(`action="(/account/tokens/[0-9a-f-]+/revoke)"`)

// bearer asks the API with a token and returns the status.
func bearer(t *testing.T, s *webtest.Site, path, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// Without scripts: a token is made, shown once, used and revoked.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.Staff(t, "Sam Staff", policy.SendPortalMessage, policy.ManageLabels)
	sam.Get("/account").HasHTML(`href="/account/tokens"`)
	sam.Get("/account/tokens").Is(http.StatusOK).Says("You have no API tokens.", "Send Portal Message", "Manage Custom Labels").
		HasHTML(`<option value="90" selected>`).LacksHTML("Read the Record", `type="radio" value="owner" checked`)

	form := func(name, scope string, permissions ...string) url.Values {
		return url.Values{"name": {name}, "scope": {scope}, "permission": permissions, "days": {"30"}}
	}
	for _, c := range []struct {
		form         url.Values
		field, error string
	}{
		{form("", "owner"), "name", "The name of a token has 1 to 100 characters"},
		{form("Report", ""), "scope", "Choose what the token permits"},
		{form("Report", "owner", "manage_labels"), "scope", "Choose either everything or the permissions that you ticked"},
		{form("Report", "listed"), "scope", "A token needs at least one permission"},
		{form("Report", "listed", "manage_labels", "manage_staff"), "scope", "A token needs at least one permission, and only its owner's"},
	} {
		refused := sam.Post("/account/tokens", c.form).Is(http.StatusUnprocessableEntity).Says("There is a problem", c.error).
			HasHTML(`href="#`+c.field+`"`, `value="`+c.form.Get("name")+`"`, `<option value="30" selected>`)
		if len(c.form["permission"]) > 0 {
			refused.HasHTML(`value="manage_labels" checked`)
		}
	}
	sam.Get("/account/tokens").Says("You have no API tokens.")

	made := sam.Post("/account/tokens", form("Label export", "listed", "manage_labels")).Is(http.StatusOK).
		Says("Your new API token", "“Label export”", "You can see it only now.")
	token := tokenOn.FindStringSubmatch(made.Body)[1]
	list := sam.Get("/account/tokens").Says("Label export", "Permits: Manage Custom Labels", "Last used: never", "Expires: ").LacksHTML(token)
	if status := bearer(t, s, "/v1/labels", token); status != http.StatusOK {
		t.Errorf("it is answered with %d", status)
	}
	if status := bearer(t, s, "/v1/portal-users", token); status != http.StatusForbidden {
		t.Errorf("what it does not permit is answered with %d", status)
	}
	at := revokeOn.FindStringSubmatch(list.Body)[1]
	s.Staff(t, "Eve Else").Post(at, nil).Is(http.StatusNotFound)
	sam.Post("/account/tokens/17/revoke", nil).Is(http.StatusNotFound)
	sam.Post(at, nil).Is(http.StatusOK).Says("The token is revoked.", "Label export Revoked", "Revoked by you").LacksHTML(at)
	if status := bearer(t, s, "/v1/labels", token); status != http.StatusUnauthorized {
		t.Errorf("revoked, it is answered with %d", status)
	}
	// A staff member without permissions can have one too: it does what they may do.
	plain := s.Staff(t, "Plain")
	plain.Get("/account/tokens").Says("You have no permissions yet.")
	plain.Post("/account/tokens", url.Values{"name": {"Plain"}, "scope": {"owner"}, "days": {"7"}}).Is(http.StatusOK).Says("Your new API token")
	plain.Get("/account/tokens").Says("Permits: everything that you may do")
}

// Without scripts: a staff member sees where they are signed in, and signs the others out.
func TestSessions(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.Staff(t, "Sam Staff")
	in := url.Values{"email": {"sam.staff@clinic.example"}, "password": {webtest.Password}}
	there, third := s.SignedOut(t), s.SignedOut(t)
	there.Post("/sign-in", in)
	third.Post("/sign-in", in)
	sam.Get("/account").HasHTML(`href="/account/sessions"`)
	one := regexp.MustCompile(`action="(/account/sessions/[0-9a-f-]{36}/end)"`)
	list := sam.Get("/account/sessions").Is(http.StatusOK).Says("Unknown browser This device", "with your password", "Network: 127.0.0.0/24", "Sign out all other devices")
	ends := one.FindAllStringSubmatch(list.Body, -1)
	if len(ends) != 2 {
		t.Fatalf("%d other sessions are shown", len(ends))
	}
	sam.Post(ends[0][1], nil).Is(http.StatusOK).Says("The device is signed out.")
	sam.Post(ends[0][1], nil).Is(http.StatusOK).Says("That device was signed out already.")
	if out, in := there.Get("/account").URL.Path, third.Get("/account").URL.Path; (out == "/account") == (in == "/account") {
		t.Errorf("they are at %s and %s", out, in)
	}
	sam.Post("/account/sessions/end-others", nil).Says("All other devices are signed out.").LacksHTML("Sign out all other devices")
	there.Get("/account").Says("Staff sign-in")
	third.Get("/account").Says("Staff sign-in")
	sam.Post("/account/sessions/17/end", nil).Is(http.StatusNotFound)
}

// The same in a browser: the pages are accessible, and a token can be made by keyboard alone.
func TestTokensInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Staff", policy.SendPortalMessage, policy.ManageLabels)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(sam)
	b.Open("/account")
	b.Click("See your API tokens")
	b.AccessibleInAllViews()
	b.Screenshot("tokens-none")
	b.Type("Name", "Label export")
	b.Press("Enter")
	b.Sees("There is a problem", "Choose what the token permits")
	b.AccessibleInAllViews()
	b.Screenshot("tokens-error")
	b.Click("Only the permissions that I tick below")
	b.TabTo("Manage Custom Labels")
	b.Press("Space")
	b.Choose("It expires after", "30 days")
	b.Click("Make the token")
	b.Sees("Your new API token", "You can see it only now.")
	b.AccessibleInAllViews()
	b.Narrow()
	b.Screenshot("token-made-narrow")
	b.Wide()
	token := webtest.Evaluate[string](b, `document.getElementById('token').textContent`)
	if status := bearer(t, s, "/v1/labels", token); status != http.StatusOK {
		t.Errorf("the token on the page is answered with %d", status)
	}
	b.Click("Copy the token")
	b.Sees("cop") // copied, or how to copy it
	b.Click("I have copied the token: continue")
	b.Sees("Label export", "Permits: Manage Custom Labels")
	b.AccessibleInAllViews()
	b.Screenshot("tokens")
	b.Click("Revoke")
	b.Sees("The token is revoked.")
	b.AccessibleInAllViews()
}

// A staff member signs another browser out.
func TestSessionsInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Staff")
	here, there := webtest.OpenBrowser(t, s), webtest.OpenBrowser(t, s)
	here.SignIn(sam)
	there.SignIn(sam)
	here.Open("/account")
	here.Click("See where you are signed in")
	here.Sees("Chrome on", "This device", "Last used: Today")
	here.AccessibleInAllViews()
	here.Screenshot("sessions")
	here.Phone()
	here.Screenshot("sessions-phone")
	here.Wide()
	here.Click("Sign out all other devices")
	here.Sees("All other devices are signed out.")
	here.SeesNot("Sign out all other devices")
	there.Open("/account")
	there.Sees("Staff sign-in")
}

// If the clinic requires a second factor, a staff member without one makes no token.
func TestNoTokenBeforeTheSecondFactor(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.FactorRequired = true })
	s.NewStaff(t, "Sam Staff", policy.All...)
	v := s.SignedOut(t)
	v.Post("/sign-in", url.Values{"email": {"sam.staff@clinic.example"}, "password": {webtest.Password}}).LacksHTML("/account/tokens")
	if at := v.Post("/account/tokens", url.Values{"name": {"x"}, "scope": {"owner"}}).URL.Path; at != "/account" {
		t.Errorf("it redirects to %s", at)
	}
	v.Get("/account/sessions").Is(http.StatusOK).Says("This device")
}
