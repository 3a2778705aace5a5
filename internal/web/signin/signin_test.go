package signin_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// Staff who open a page without a session are sent to the sign-in, and from there back to
// that page.
func TestStaffSignInAndOut(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	who := s.NewStaff(t, "Sam Staff", policy.SendPortalMessage)
	v := s.SignedOut(t)
	asked := v.Get("/search?q=labels").Is(http.StatusOK).Says("Staff sign-in", "E-mail address", "Patients and authorized representatives sign in here.")
	if next := asked.URL.Query().Get("next"); next != "/search?q=labels" {
		t.Errorf("the sign-in redirects to %q", next)
	}
	in := v.Post("/sign-in", url.Values{"email": {who.Email}, "password": {webtest.Password}, "next": {"/search?q=labels"}}).Is(http.StatusOK).
		Says("Global Search", "Sam Staff", "Sign out")
	if at := in.URL.RequestURI(); at != "/search?q=labels" {
		t.Errorf("signed in at %s", at)
	}
	if at := v.Get("/sign-in").URL.Path; at != "/messages" {
		t.Errorf("a signed-in visitor is redirected to %s", at)
	}
	if at := v.Get("/").URL.Path; at != "/messages" {
		t.Errorf("the first page of staff is at %s", at)
	}
	v.Post("/sign-out", nil).Is(http.StatusOK).Says("You have signed out.")
	v.Get("/search").Says("Staff sign-in").LacksHTML("Sam Staff", "You have signed out.")
}

// Portal users have their own sign-in page. Their session is not valid on the staff pages.
func TestPortalUserSignInAndOut(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ada")
	v := s.SignedOut(t)
	v.Get("/portal/sign-in").Is(http.StatusOK).Says("Sign in to your messages", "Do you work at the clinic?").HasHTML(`href="/portal/forgotten"`)
	v.Post("/portal/sign-in", url.Values{"email": {"ada@example.org"}, "password": {webtest.Password}})
	if at := v.Get("/portal/sign-in").URL.Path; at != "/portal" {
		t.Errorf("a signed-in visitor is redirected to %s", at)
	}
	v.Get("/search").Says("Staff sign-in")
	v.Post("/portal/sign-out", nil).Is(http.StatusOK).Says("You have signed out.")
}

// After a wrong password the form keeps the e-mail address and not the password. The error is
// the same for known and unknown addresses.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ada")
	for _, door := range []string{"/sign-in", "/portal/sign-in"} {
		wrong := func(email string) *webtest.Page {
			return s.SignedOut(t).Post(door, url.Values{"email": {email}, "password": {"not it at all"}}).Is(http.StatusUnprocessableEntity).
				Says("There is a problem").HasHTML(`value="`+email+`"`, `href="#email"`, "<title>Error: ").LacksHTML("not it at all")
		}
		known, unknown := wrong("ada@example.org"), wrong("eve@example.org")
		if strings.ReplaceAll(known.Body, "ada@", "eve@") != unknown.Body {
			t.Errorf("%s reveals which addresses have accounts", door)
		}
	}
}

// After a timeout, the sign-in page says so, and that nothing was lost.
func TestExpiredSession(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.SignedOut(t).Get("/sign-in?expired=1").Is(http.StatusOK).Says("You were signed out", "kept under Drafts")
	s.SignedOut(t).Get("/portal/sign-in?expired=1").Is(http.StatusOK).Says("You were signed out", "Your messages are all still there.")
}

// The sign-in never redirects to another site.
func TestSignInRedirectsOnlyToThisSite(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	who := s.NewStaff(t, "Sam Staff")
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/\evil.example/`, "/\t/evil.example", "evil.example", "javascript:alert(1)", "/", ""} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		// The redirect is checked, and not followed.
		client := http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		res, err := client.PostForm(s.Base+"/sign-in", url.Values{"email": {who.Email}, "password": {webtest.Password}, "next": {next}})
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || to != "/messages" {
			t.Errorf("?next=%q was answered with %d and redirects to %q", next, res.StatusCode, to)
		}
	}
}

// A page of another site can't sign users in or out.
func TestCrossOriginPostsAreRefused(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	who := s.NewStaff(t, "Sam Staff")
	for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Base+"/sign-in",
			strings.NewReader(url.Values{"email": {who.Email}, "password": {webtest.Password}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden || len(res.Cookies()) > 0 {
			t.Errorf("with %v: %d, cookies %v", header, res.StatusCode, res.Cookies())
		}
	}
}

// The sign-in pages in a browser: wrong password, right password, sign-out; all accessible.
func TestSignInPagesInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Staff", policy.SendPortalMessage)
	b := webtest.OpenBrowser(t, s)
	for _, path := range []string{"/sign-in", "/sign-in?expired=1", "/portal/sign-in", "/portal/sign-in?expired=1"} {
		b.Open(path)
		b.AccessibleInAllViews()
	}
	b.Screenshot("portal-sign-in")
	b.Open("/sign-in?next=/search")
	b.Type("E-mail address", sam.Email)
	b.Type("Password", "wrong")
	b.Press("Enter")
	b.Sees("There is a problem")
	b.Focuses(".govuk-error-summary")
	b.Reads("E-mail address", sam.Email)
	b.Reads("Password", "")
	b.AccessibleInAllViews()
	b.Screenshot("sign-in-wrong")
	b.Type("Password", webtest.Password)
	b.Press("Enter")
	b.At("/search")
	b.Click("Sign out")
	b.Sees("You have signed out.")
	b.AccessibleInAllViews()
	b.Screenshot("signed-out")
	// The next person at this browser sees nothing of theirs, also with its back button.
	webtest.Evaluate[any](b, `history.back()`)
	b.Sees("Staff sign-in")
	b.SeesNot("Sam Staff")
}
