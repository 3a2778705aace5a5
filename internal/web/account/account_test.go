package account_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/process"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

var secretOn = regexp.MustCompile(`<code class="app-break">([A-Z2-7 ]+)</code>`)
var removeOn = regexp.MustCompile(`href="(/account/second-factor/[0-9a-f-]{36}/remove)"`)
var recoveryOn = regexp.MustCompile(`<li><code>([a-z2-7-]+)</code></li>`)

// app returns the code that a phone shows for a secret, at the clinic's time.
func app(t *testing.T, s *webtest.Site, secret string) string {
	t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(secret, " ", ""), s.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// equip sets up a second factor, and returns its secret and the recovery codes.
func equip(t *testing.T, s *webtest.Site, v *webtest.Visitor) (secret string, recovery []string) {
	t.Helper()
	shown := v.Post("/account/second-factor", nil).Is(http.StatusOK).Says("Set up an authenticator app", "The 6-digit code")
	secret = secretOn.FindStringSubmatch(shown.Body)[1]
	done := v.Post("/account/second-factor/confirm", url.Values{"code": {app(t, s, secret)}, "password": {webtest.Password}}).Is(http.StatusOK).
		Says("Your recovery codes", "You can see them only now")
	for _, found := range recoveryOn.FindAllStringSubmatch(done.Body, -1) {
		recovery = append(recovery, found[1])
	}
	if len(recovery) != 8 {
		t.Fatalf("there are %d recovery codes", len(recovery))
	}
	s.Clock.Advance(time.Minute)
	return secret, recovery
}

// Without scripts: a second factor is set up, used, lost, reset and removed.
func TestASecondFactor(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.Staff(t, "Sam Staff", policy.SendPortalMessage)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	sam.Get("/account").Is(http.StatusOK).Says("Sam Staff", "sam.staff@clinic.example", "Set up an authenticator app").LacksHTML("recovery codes")
	if at := sam.Get("/account/second-factor").URL.Path; at != "/account" {
		t.Errorf("before the setup begins, the page is at %s", at)
	}
	wrong := sam.Post("/account/second-factor", nil)
	secret := secretOn.FindStringSubmatch(wrong.Body)[1]
	sam.Post("/account/second-factor/confirm", url.Values{"code": {"000000"}, "password": {webtest.Password}}).
		Is(http.StatusUnprocessableEntity).Says("The code is wrong").HasHTML(`href="#code"`, secret)
	sam.Post("/account/second-factor/confirm", url.Values{"code": {app(t, s, secret)}, "password": {"wrong"}}).
		Is(http.StatusUnprocessableEntity).Says("This is not your current password").HasHTML(`href="#password"`).LacksHTML(`href="#code"`)
	sam.Post("/account/second-factor/confirm", url.Values{"code": {"12"}, "password": {"wrong"}}).
		Is(http.StatusUnprocessableEntity).Says("The code is wrong", "This is not your current password").HasHTML(`href="#code"`, `href="#password"`)
	secret, recovery := equip(t, s, sam)
	sam.Get("/account").Says("8 recovery codes left").LacksHTML(strings.ReplaceAll(secret, " ", ""), recovery[0])

	v := s.SignedOut(t)
	if at := v.Get("/sign-in/code").URL.Path; at != "/sign-in" {
		t.Errorf("without a password the code is asked for at %s", at)
	}
	half := func() {
		t.Helper()
		v.Post("/sign-in", url.Values{"email": {"sam.staff@clinic.example"}, "password": {webtest.Password}, "next": {"/search?q=care"}}).
			Is(http.StatusOK).Says("Type your code").HasHTML(`name="next" value="/search?q=care"`).LacksHTML("Sam Staff")
		v.Get("/search").Says("Staff sign-in").LacksHTML("You were signed out")
	}
	half()
	v.Post("/sign-in/code", url.Values{"code": {"000000"}, "next": {"/search?q=care"}}).Is(http.StatusUnprocessableEntity).
		Says("The code is wrong").HasHTML(`href="#code"`, `name="next" value="/search?q=care"`)
	in := v.Post("/sign-in/code", url.Values{"code": {app(t, s, secret)}, "next": {"/search?q=care"}}).Is(http.StatusOK).Says("Sam Staff")
	if at := in.URL.RequestURI(); at != "/search?q=care" {
		t.Errorf("signed in at %s", at)
	}
	v.Post("/sign-out", nil)
	half()
	v.Post("/sign-in/code", url.Values{"code": {recovery[0]}}).Is(http.StatusOK).Says("Sam Staff")
	v.Get("/account").Says("7 recovery codes left")
	v.Post("/sign-out", nil)
	half()
	s.Clock.Advance(11 * time.Minute)
	v.Post("/sign-in/code", url.Values{"code": {app(t, s, secret)}}).Says("Staff sign-in", "It took too long: sign in again")

	at := "/administration/staff/" + sam.ID
	admin.Get(at).Says("They sign in with a second factor: an authenticator app.")
	admin.Post(at+"/reset-second-factor", nil).Is(http.StatusOK).Says("They sign in with their password alone", "They sign in without a second factor.")
	v.Post("/sign-in", url.Values{"email": {"sam.staff@clinic.example"}, "password": {webtest.Password}, "next": {"/account"}}).Is(http.StatusOK).
		Says("Your account", "Set up an authenticator app")

	equip(t, s, v)
	remove := removeOn.FindStringSubmatch(v.Get("/account").Body)[1]
	v.Post(remove, url.Values{"password": {webtest.Password}}).Is(http.StatusOK).Says("Removed.")
	v.Post("/account/sign-out-everywhere", nil).Says("You are signed out on all your devices.")
	v.Get("/account").Says("Staff sign-in")
}

// If the clinic requires a second factor, staff without one are redirected from every page
// to set it up, and can do nothing else.
func TestARequiredSecondFactor(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.FactorRequired = true })
	sam := s.NewStaff(t, "Sam Staff", policy.All...)
	v := s.SignedOut(t)
	v.Post("/sign-in", url.Values{"email": {"sam.staff@clinic.example"}, "password": {webtest.Password}}).Is(http.StatusOK).
		Says("Your clinic requires a second factor", "Set up an authenticator app").LacksHTML("Global Search", `href="/messages"`)
	for _, path := range []string{"/", "/messages", "/search", "/administration/staff", "/record", "/messages/bcc"} {
		if at := v.Get(path).URL.Path; at != "/account" {
			t.Errorf("%s redirects to %s", path, at)
		}
	}
	if at := v.Post("/administration/labels", nil).URL.Path; at != "/account" {
		t.Errorf("a form redirects to %s", at)
	}
	v.Get("/v1/staff").Is(http.StatusForbidden).HasHTML("/problems/second-factor-due")
	equip(t, s, v)
	v.Get("/messages").Is(http.StatusOK).Says("Global Search")
	v.Get("/account").Says("Authenticator app").LacksHTML("/remove")
	mine, err := s.Web.Gate.FactorsOf(t.Context(), policy.Subject{Realm: policy.RealmStaff, ID: sam.ID}, "")
	if err != nil || len(mine.All) != 1 {
		t.Fatalf("%+v, %v", mine, err)
	}
	remove := "/account/second-factor/" + mine.All[0].ID.String() + "/remove"
	if at := v.Post(remove, url.Values{"password": {webtest.Password}}).Says("Your clinic requires a second factor").URL.Path; at != "/account" {
		t.Errorf("removing it redirects to %s", at)
	}
}

// A staff member who was invited sets a password, and is then led to set up a second factor.
func TestTheFirstSignInLeadsToASecondFactor(t *testing.T) {
	t.Parallel()
	s := webtest.New(t, func(c *process.WebConfig) { c.FactorRequired = true })
	noel, err := s.Web.Gate.CreateStaff(t.Context(), "operator:test", access.NewStaff{Email: "noel@clinic.example", Name: "Noel Novice", Invited: true})
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.Web.Gate.InviteStaff(t.Context(), "operator:test", noel.ID)
	if err != nil {
		t.Fatal(err)
	}
	v := s.SignedOut(t)
	v.Post("/sign-in/link", url.Values{"link": {made.Token}, "password": {webtest.Password}}).Says("Your password is set. Now sign in with it.")
	v.Post("/sign-in", url.Values{"email": {noel.Email}, "password": {webtest.Password}}).Says("Your clinic requires a second factor")
	equip(t, s, v)
	v.Get("/messages").Is(http.StatusOK).Says("Global Search")
}

// The pages in a browser: accessible, and with pictures.
func TestASecondFactorInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Staff", policy.SendPortalMessage)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(sam)
	b.Open("/account")
	b.AccessibleInAllViews()
	b.Screenshot("account")
	b.Click("Set up an authenticator app")
	b.Sees("If you can’t scan it")
	b.AccessibleInAllViews()
	b.Screenshot("enrol")
	b.Phone()
	b.Screenshot("enrol-phone")
	b.Wide()
	b.Dark()
	b.Screenshot("enrol-dark")
	b.Light()
	secret := webtest.Evaluate[string](b, `document.querySelector('main code').textContent`)
	b.Type("Code", "000000")
	b.Type("Your password", webtest.Password)
	b.Click("Use this app")
	b.Sees("The code is wrong")
	b.AccessibleInAllViews()
	b.Type("Code", app(t, s, secret))
	b.Type("Your password", webtest.Password)
	b.Press("Enter")
	b.Sees("Your recovery codes")
	b.AccessibleInAllViews()
	b.Screenshot("recovery")
	b.Click("I have saved the codes: continue")
	b.At("/messages")
	b.Open("/account")
	b.Click("Remove")
	b.Sees("Remove your authenticator app")
	b.AccessibleInAllViews()
	b.Screenshot("remove")
	b.Click("Sign out")
	s.Clock.Advance(time.Minute)

	b.Open("/sign-in?next=/search")
	b.Type("E-mail address", sam.Email)
	b.Type("Password", webtest.Password)
	b.Press("Enter")
	b.Sees("Type your code")
	b.AccessibleInAllViews()
	b.Screenshot("code")
	b.Type("Code", "123456")
	b.Press("Enter")
	b.Sees("There is a problem")
	b.AccessibleInAllViews()
	b.Screenshot("code-wrong")
	b.Type("Code", app(t, s, secret))
	b.Press("Enter")
	b.At("/search")
}
