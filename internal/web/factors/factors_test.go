package factors_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

var (
	secretOn   = regexp.MustCompile(`<code class="app-break">([A-Z2-7 ]+)</code>`)
	recoveryOn = regexp.MustCompile(`<li><code>([a-z2-7-]+)</code></li>`)
	removeOn   = regexp.MustCompile(`href="([a-z/-]+/second-factor/[0-9a-f-]{36}/remove)"`)
)

// code returns what a phone shows for a secret, at the clinic's time.
func code(t *testing.T, s *webtest.Site, secret string) string {
	t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(secret, " ", ""), s.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// Without scripts, in both realms: an authenticator app is set up, used, replaced and removed, and
// recovery codes are made.
func TestAnAuthenticatorApp(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	for _, c := range []struct {
		who                   *webtest.Visitor
		home, signIn, at, to  string
		inside, email, helper string
	}{
		{s.Staff(t, "Sam Staff", policy.SendPortalMessage), "/account", "/sign-in", "/account/second-factor", "/messages", "/", "sam.staff@clinic.example", "ask a staff member with Manage Staff"},
		{s.PortalUser(t, "ada"), "/portal/account", "/portal/sign-in", "/portal/account/second-factor", "/portal", "/portal", "ada@example.org", "call the clinic"},
	} {
		password := url.Values{"password": {webtest.Password}}
		v := c.who
		v.Get(c.home).Is(http.StatusOK).Says("Set up an authenticator app", "a stolen password isn’t enough").LacksHTML("recovery code", "Add a passkey")
		for _, page := range []string{"", "/passkey"} { // before the setup begins; at an address without passkeys
			if at := v.Get(c.at + page).URL.Path; at != c.home {
				t.Errorf("%s leads to %s", page, at)
			}
		}
		v.Get(c.at + "/0197aaaa-0000-7000-8000-000000000001/remove").Is(http.StatusNotFound)
		v.Post(c.at+"/17/remove", password).Is(http.StatusNotFound)
		if at := v.Post(c.at+"/recovery", password).Says("You have no second factor").URL.Path; at != c.home {
			t.Errorf("recovery codes lead to %s", at)
		}
		secret := secretOn.FindStringSubmatch(v.Post(c.at, nil).Is(http.StatusOK).Says("Set up an authenticator app").Body)[1]
		v.Post(c.at+"/confirm", url.Values{"code": {"12"}, "password": {"wrong"}}).Is(http.StatusUnprocessableEntity).
			Says("The code is wrong", "This is not your current password").HasHTML(`href="#code"`, `href="#password"`, secret)
		done := v.Post(c.at+"/confirm", url.Values{"code": {code(t, s, secret)}, "password": {webtest.Password}}).Is(http.StatusOK).
			Says("Your recovery codes", "You can see them only now", "Your authenticator app is set up.").HasHTML(`href="` + c.inside + `"`)
		recovery := recoveryOn.FindAllStringSubmatch(done.Body, -1)
		if len(recovery) != 8 {
			t.Fatalf("there are %d recovery codes", len(recovery))
		}
		s.Clock.Advance(time.Minute)
		v.Get(c.home).Says("8 recovery codes left", "Authenticator app", "Set up another phone").LacksHTML(strings.ReplaceAll(secret, " ", ""))

		// Signing in.
		out := s.SignedOut(t)
		if at := out.Get(c.signIn + "/code").URL.Path; at != c.signIn {
			t.Errorf("without a password the code is asked for at %s", at)
		}
		in := url.Values{"email": {c.email}, "password": {webtest.Password}}
		out.Post(c.signIn, in).Is(http.StatusOK).Says("Type your code", c.helper).LacksHTML("passkey.js\" data", `data-passkey="get"`)
		out.Get(c.home).LacksHTML("Your account</h1>")
		out.Post(c.signIn+"/code", url.Values{"code": {"000000"}}).Is(http.StatusUnprocessableEntity).Says("The code is wrong").HasHTML(`href="#code"`)
		out.Post(c.signIn+"/code", nil).Is(http.StatusUnprocessableEntity).Says("Type the code that your app shows.")
		if at := out.Post(c.signIn+"/code", url.Values{"code": {code(t, s, secret)}}).Is(http.StatusOK).URL.Path; at != c.to {
			t.Errorf("signed in at %s", at)
		}
		out.Get(c.home + "/sessions").Says("with your password and a code")

		// New recovery codes, and another phone: the codes stay.
		v.Get(c.at + "/recovery").Is(http.StatusOK).Says("Your earlier codes stop working.")
		v.Post(c.at+"/recovery", url.Values{"password": {"wrong"}}).Is(http.StatusUnprocessableEntity).Says("This is not your current password")
		fresh := recoveryOn.FindAllStringSubmatch(v.Post(c.at+"/recovery", password).Is(http.StatusOK).Says("Earlier codes no longer work").Body, -1)
		if len(fresh) != 8 || fresh[0][1] == recovery[0][1] {
			t.Errorf("the new codes are %v", fresh)
		}
		secret = secretOn.FindStringSubmatch(v.Post(c.at, nil).Is(http.StatusOK).Body)[1]
		if at := v.Post(c.at+"/confirm", url.Values{"code": {code(t, s, secret)}, "password": {webtest.Password}}).Is(http.StatusOK).
			Says("Your authenticator app is set up.", "8 recovery codes left").URL.Path; at != c.home {
			t.Errorf("another phone leads to %s", at)
		}
		remove := removeOn.FindStringSubmatch(v.Get(c.home).Body)[1]
		v.Get(remove).Is(http.StatusOK).Says("Remove your authenticator app", "It is your only second factor.")
		v.Post(remove, url.Values{"password": {"wrong"}}).Is(http.StatusUnprocessableEntity).Says("This is not your current password")
		v.Post(remove, password).Is(http.StatusOK).Says("Removed.", "Set up an authenticator app")
		v.Post(remove, password).Is(http.StatusNotFound)
		s.SignedOut(t).Post(c.signIn, in).Is(http.StatusOK).LacksHTML("Type your code")
		s.Clock.Advance(time.Minute)
	}
}

// A portal user is offered a second factor after signing in, says no, and is not asked again. One
// who has set one up and lost it is reset by staff, who may import the directory.
func TestAPortalUserAndTheOffer(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	ada := s.PortalUser(t, "ada")
	in := url.Values{"email": {"ada@example.org"}, "password": {webtest.Password}}
	ada.Get("/portal").Says("Make signing in safer", "No, thanks").HasHTML(`href="/portal/account#second-factor"`)
	if at := ada.Post("/portal/account/second-factor/no-offer", nil).Says("You can set this up later, at Account.").LacksHTML("No, thanks").URL.Path; at != "/portal" {
		t.Errorf("no leads to %s", at)
	}
	again := s.SignedOut(t)
	again.Post("/portal/sign-in", in).Is(http.StatusOK).LacksHTML("No, thanks")

	admin, other := s.Staff(t, "Ada Admin", policy.ImportDirectory), s.Staff(t, "Sam Sender", policy.SendPortalMessage)
	admin.Get("/directory/portal-users/ada").Says("Second factor None").LacksHTML("Reset the second factor")
	secret := secretOn.FindStringSubmatch(again.Post("/portal/account/second-factor", nil).Body)[1]
	again.Post("/portal/account/second-factor/confirm", url.Values{"code": {code(t, s, secret)}, "password": {webtest.Password}}).Is(http.StatusOK).Says("Your recovery codes")
	admin.Get("/directory/portal-users/ada").Says("Second factor an authenticator app", "Reset the second factor")
	other.Get("/directory/portal-users/ada").LacksHTML("authenticator app", "Reset the second factor")
	other.Post("/directory/portal-users/ada/reset-second-factor", nil).Is(http.StatusForbidden)
	admin.Post("/directory/portal-users/unknown/reset-second-factor", nil).Is(http.StatusNotFound)
	admin.Post("/directory/portal-users/ada/reset-second-factor", nil).Is(http.StatusOK).Says("Second factor reset.", "Second factor None")
	again.Get("/portal").Says("Sign in to your messages")
	again.Post("/portal/sign-in", in).Is(http.StatusOK).Says("Your messages")
}

// Answers that no browser gives are refused, in both realms.
func TestAPasskeyWithoutABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.SignedOut(t)
	for _, realm := range []string{"", "/portal"} {
		v.Get(realm + "/sign-in").LacksHTML("Sign in with a passkey")
		v.Post(realm+"/sign-in/passkey", nil).Is(http.StatusUnprocessableEntity).Says("There is a problem")
		v.Post(realm+"/sign-in/passkey/confirm", url.Values{"credential": {"{}"}}).Is(http.StatusUnprocessableEntity).Says("It took too long, or this page was used before: try again.")
		if at := v.Post(realm+"/sign-in/code/passkey", url.Values{"credential": {"{}"}}).URL.Path; at != realm+"/sign-in" {
			t.Errorf("without a password it leads to %s", at)
		}
	}
	for at, who := range map[string]*webtest.Visitor{"/account": s.Staff(t, "Sam Staff"), "/portal/account": s.PortalUser(t, "ada")} {
		who.Post(at+"/second-factor/passkey", url.Values{"name": {"x"}, "password": {webtest.Password}}).Is(http.StatusOK).Says("Passkeys can’t be used at this address.")
		who.Post(at+"/second-factor/passkey/confirm", url.Values{"credential": {"{}"}}).Is(http.StatusOK).Says("The passkey was not added. Try again.")
	}
}

// In a real browser, in both realms: a passkey is added at Account, signs in after the password and
// then without it, and is removed. The browser's own WebAuthn makes it and signs with it.
func TestAPasskeyInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewStaff(t, "Sam Staff", policy.SendPortalMessage)
	s.NewPortalUser(t, "ada")
	for _, c := range []struct{ realm, home, email, inside string }{
		{"staff", "/account", "sam.staff@clinic.example", "/messages"},
		{"portal", "/portal/account", "ada@example.org", "/portal"},
	} {
		t.Run(c.realm, func(t *testing.T) {
			signIn := strings.TrimSuffix(strings.Replace(c.home, "/account", "/sign-in", 1), "/")
			b := webtest.OpenBrowser(t, s)
			b.HasAuthenticator()
			b.Open(signIn)
			b.AccessibleInAllViews()
			b.Screenshot("passkey-sign-in-" + c.realm)
			b.Type("#email", c.email)
			b.Type("Password", webtest.Password)
			b.Click("Sign in")
			b.At(c.inside)
			if c.realm == "portal" {
				b.Sees("Make signing in safer")
				b.AccessibleInAllViews()
				b.Phone()
				b.Screenshot("offer-phone")
				b.Wide()
			}

			b.Open(c.home)
			b.AccessibleInAllViews()
			b.Screenshot("factors-none-" + c.realm)
			b.Click("Add a passkey")
			b.Sees("Name of the passkey")
			b.AccessibleInAllViews()
			b.Screenshot("passkey-name-" + c.realm)
			b.Press("Tab")
			b.Type("Your password", "wrong")
			b.Click("Continue")
			b.Sees("A name has 1 to 100 characters", "This is not your current password")
			b.AccessibleInAllViews()
			b.Type("Name of the passkey", "My phone")
			b.Type("Your password", webtest.Password)
			b.Click("Continue")
			b.Sees("Create your passkey")
			b.SeesNot("Your browser can’t create passkeys")
			b.AccessibleInAllViews()
			b.Screenshot("passkey-make-" + c.realm)
			b.Click("Create the passkey")
			b.Sees("Your recovery codes", "Your passkey is added.")
			b.AccessibleInAllViews()
			b.Click("I have saved the codes: continue")
			b.Open(c.home)
			b.Sees("Passkey: My phone", "Last used: never", "8 recovery codes left")
			b.AccessibleInAllViews()
			b.Screenshot("factors-" + c.realm)
			b.Phone()
			b.Screenshot("factors-phone-" + c.realm)
			b.Wide()

			// A second one on the same device: the browser says so.
			b.Open(c.home + "/second-factor/passkey")
			b.Type("Name of the passkey", "My phone again")
			b.Type("Your password", webtest.Password)
			b.Click("Continue")
			b.Click("Create the passkey")
			b.Sees("This device has a passkey of yours already.")

			signOut(b, c.realm)
			b.Open(signIn)
			b.Type("#email", c.email)
			b.Type("Password", webtest.Password)
			b.Click("Sign in")
			b.Sees("Use your passkey or a code")
			b.AccessibleInAllViews()
			b.Screenshot("passkey-or-code-" + c.realm)
			b.Click("Use your passkey")
			b.At(c.inside)
			b.Open(c.home + "/sessions")
			b.Sees("with your password and a passkey")

			// Without a password: the page asks the browser by itself.
			signOut(b, c.realm)
			b.Open(signIn + "?next=" + c.home)
			b.Click("Sign in with a passkey")
			b.At(c.home)
			b.Sees("Passkey: My phone", "Last used: Today")
			b.Open(c.home + "/sessions")
			b.Sees("with a passkey")

			b.Open(c.home)
			b.Click("Remove")
			b.Sees("Remove the passkey My phone", "It is your only second factor.")
			b.AccessibleInAllViews()
			b.Screenshot("passkey-remove-" + c.realm)
			b.Type("Your password", webtest.Password)
			b.Click("Remove it")
			b.Sees("Removed.", "a stolen password isn’t enough")

			// What was removed does not sign in.
			signOut(b, c.realm)
			b.Open(signIn)
			b.Click("Sign in with a passkey")
			b.Sees("There is a problem", "This passkey was not accepted")
			b.AccessibleInAllViews()
			b.Screenshot("passkey-refused-" + c.realm)
		})
	}
}

func signOut(b *webtest.Browser, realm string) {
	if realm == "portal" {
		b.Open("/portal/account")
		b.Click("Sign out on this device")
	} else {
		b.Click("Sign out")
	}
	b.Sees("You have signed out.")
}
