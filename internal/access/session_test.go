package access

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"postern/internal/access/policy"

	"github.com/google/go-cmp/cmp"
)

// A site serves the same session operations as the API: signing in, signing out, and
// reading the subject.
type site struct {
	clinic
	*httptest.Server
}

func newSite(t *testing.T) site {
	t.Helper()
	c := newClinic(t)
	mux := http.NewServeMux()
	mux.Handle("/staff", c.Staff(c.handler(t, policy.RealmStaff)))
	mux.Handle("/portal", c.Portal(c.handler(t, policy.RealmPortalUser)))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return site{c, server}
}

func (c clinic) handler(t *testing.T, realm policy.Realm) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		fail := func(err error) {
			switch {
			case errors.Is(err, ErrWrongCredentials), errors.Is(err, policy.ErrUnauthenticated):
				w.WriteHeader(http.StatusUnauthorized)
			case errors.As(err, new(CodeNeeded)):
				needed := CodeNeeded{}
				errors.As(err, &needed)
				if err := c.AwaitCode(ctx, needed); err != nil {
					t.Error(err)
				}
				w.WriteHeader(http.StatusAccepted)
			case errors.Is(err, ErrWrongCode), errors.Is(err, ErrNotHalfway):
				w.WriteHeader(http.StatusUnauthorized)
			case errors.As(err, new(TooSoon)):
				w.WriteHeader(http.StatusTooManyRequests)
			default:
				t.Error(err)
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
		switch r.Method {
		case http.MethodPost:
			signIn := c.SignInPortal
			if realm == policy.RealmStaff {
				signIn = c.SignInStaff
			}
			if code := r.FormValue("code"); code != "" {
				signIn = func(ctx context.Context, _ Credentials) (policy.Subject, error) {
					return c.SignInWithCode(ctx, realm, code)
				}
			}
			subject, err := signIn(ctx, Credentials{Email: r.FormValue("email"), Password: r.FormValue("password")})
			if err == nil {
				err = c.Begin(ctx, subject)
			}
			if err != nil {
				fail(err)
			}
		case http.MethodDelete:
			if err := c.SignOut(ctx, realm); err != nil {
				fail(err)
			}
		default:
			subject, err := policy.SubjectFrom(ctx)
			if err != nil {
				fail(err)
				return
			}
			_ = json.NewEncoder(w).Encode(subject.Actor())
		}
	})
}

// A browser keeps cookies.
type browser struct {
	t    *testing.T
	site site
	http.Client
}

func (s site) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, s, http.Client{Jar: jar}}
}

// do returns the status, and the subject according to the site.
func (b *browser) do(method, path string, headers ...string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.site.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	response, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	var who string
	_ = json.NewDecoder(response.Body).Decode(&who)
	return response.StatusCode, who
}

func (b *browser) signIn(path, email, password string) int {
	b.t.Helper()
	response, err := b.PostForm(b.site.URL+path, map[string][]string{"email": {email}, "password": {password}})
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// is checks the subject of the browser; "" means not signed in.
func (b *browser) is(path, want string, headers ...string) {
	b.t.Helper()
	status, who := b.do("GET", path, headers...)
	if who != want || (status == http.StatusOK) != (want != "") {
		b.t.Errorf("GET %s: status %d as %q, want %q", path, status, who, want)
	}
}

func (b *browser) cookie(name string) string {
	b.t.Helper()
	r, err := http.NewRequest("GET", b.site.URL, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, cookie := range b.Jar.Cookies(r.URL) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

func TestASessionLastsFromSignInToSignOut(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	s.enrol(t, "pu-1", "noor@home.example", good)
	b := s.browser(t)
	b.is("/staff", "")
	if status := b.signIn("/staff", "ada@clinic.example", "wrong"); status != http.StatusUnauthorized {
		t.Errorf("status %d", status)
	}
	b.is("/staff", "")
	if n := s.count(t, `SELECT count(*) FROM app.sessions`); n != 0 {
		t.Errorf("%d unauthenticated sessions are stored", n)
	}
	b.signIn("/staff", "ada@clinic.example", good)
	b.is("/staff", "staff:"+ada.ID)
	b.is("/portal", "") // each realm has a cookie of its own
	b.signIn("/portal", "noor@home.example", good)
	b.is("/portal", "portal_user:pu-1")

	former := b.cookie("postern_staff")
	b.signIn("/staff", "ada@clinic.example", good)
	if b.cookie("postern_staff") == former {
		t.Error("signing in again kept the token")
	}
	s.browser(t).is("/staff", "", "Cookie", "postern_staff="+former)
	s.browser(t).is("/portal", "", "Cookie", "postern_portal="+b.cookie("postern_staff"))

	stolen := b.cookie("postern_staff")
	b.do("DELETE", "/staff")
	b.is("/staff", "")
	b.is("/portal", "portal_user:pu-1")
	s.browser(t).is("/staff", "", "Cookie", "postern_staff="+stolen)
	if status, _ := b.do("DELETE", "/staff"); status != http.StatusOK {
		t.Errorf("signing out twice: %d", status)
	}
}

func TestTokensOfSessionsAreKeptHashed(t *testing.T) {
	s := newSite(t)
	s.hire(t, "ada@clinic.example")
	b := s.browser(t)
	b.signIn("/staff", "ada@clinic.example", good)
	rows, err := s.admin.Query(t.Context(), `SELECT row(s.*)::text FROM app.sessions s`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, b.cookie("postern_staff")) || strings.Contains(text, b.cookie("postern_browser")) {
			t.Errorf("the token is kept: %s", text)
		}
	}
}

func TestCookies(t *testing.T) {
	c := newClinic(t)
	c.hire(t, "ada@clinic.example")
	c.enrol(t, "pu-1", "noor@home.example", good)
	cfg := c.cfg
	cfg.Secure = true
	secure, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(gate *Gate, realm policy.Realm, email string) map[string]string {
		handler := gate.Portal(clinic{Gate: gate}.handler(t, realm))
		if realm == policy.RealmStaff {
			handler = gate.Staff(clinic{Gate: gate}.handler(t, realm))
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader("email="+email+"&password="+good))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		cookies := map[string]string{}
		for _, cookie := range w.Result().Cookies() {
			lasts := "session"
			if cookie.MaxAge > 0 {
				lasts = "kept"
			}
			cookie.Value, cookie.MaxAge, cookie.Expires, cookie.RawExpires = "", 0, cookie.Expires.Truncate(1), ""
			_, attributes, _ := strings.Cut(cookie.String(), "; ")
			if i := strings.Index(attributes, "Expires="); i >= 0 {
				_, rest, _ := strings.Cut(attributes[i:], "; ")
				attributes = attributes[:i] + rest
			}
			cookies[cookie.Name] = lasts + "; " + attributes
		}
		return cookies
	}
	plain := "Path=/; HttpOnly; SameSite=Lax"
	tls := "Path=/; HttpOnly; Secure; SameSite=Lax"
	for _, test := range []struct {
		gate  *Gate
		realm policy.Realm
		email string
		want  map[string]string
	}{
		{c.Gate, policy.RealmStaff, "ada@clinic.example", map[string]string{"postern_staff": "session; " + plain, "postern_browser": "kept; " + plain}},
		{secure, policy.RealmStaff, "ada@clinic.example", map[string]string{"__Host-postern_staff": "session; " + tls, "__Host-postern_browser": "kept; " + tls}},
		{secure, policy.RealmPortalUser, "noor@home.example", map[string]string{"__Host-postern_portal": "session; " + tls, "__Host-postern_browser": "kept; " + tls}},
	} {
		if diff := cmp.Diff(test.want, answer(test.gate, test.realm, test.email)); diff != "" {
			t.Errorf("cookies (-want +got):\n%s", diff)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example", policy.ManageStaff)
	s.enrol(t, "pu-1", "noor@home.example", good)
	signedIn := func(t *testing.T) *browser {
		t.Helper()
		b := s.browser(t)
		b.signIn("/staff", "ada@clinic.example", good)
		b.signIn("/portal", "noor@home.example", good)
		b.is("/staff", "staff:"+ada.ID)
		b.is("/portal", "portal_user:pu-1")
		return b
	}
	t.Run("after half an hour without a request", func(t *testing.T) {
		b := signedIn(t)
		s.exec(t, `UPDATE app.sessions SET expires_at = expires_at - interval '29 minutes'`)
		b.is("/staff", "staff:"+ada.ID) // which is a request
		s.exec(t, `UPDATE app.sessions SET expires_at = expires_at - interval '2 minutes'`)
		b.is("/staff", "staff:"+ada.ID)
		b.is("/portal", "")
		s.exec(t, `UPDATE app.sessions SET expires_at = expires_at - interval '30 minutes'`)
		b.is("/staff", "")
	})
	t.Run("despite unattended requests of a page", func(t *testing.T) {
		b := signedIn(t)
		s.exec(t, `UPDATE app.sessions SET expires_at = expires_at - interval '20 minutes'`)
		for _, path := range []string{"/staff", "/portal"} {
			if status, who := b.do("GET", path, Unattended, "true"); status != http.StatusOK || who == "" {
				t.Errorf("GET %s: status %d as %q", path, status, who)
			}
		}
		if n := s.count(t, `SELECT count(*) FROM app.sessions WHERE realm <> 'browser' AND ended_at IS NULL AND expires_at > now() + interval '11 minutes'`); n != 0 {
			t.Errorf("%d sessions were prolonged", n)
		}
		s.exec(t, `UPDATE app.sessions SET expires_at = expires_at - interval '11 minutes'`)
		b.is("/staff", "", Unattended, "true")
	})
	t.Run("at the latest after their lifetime", func(t *testing.T) {
		b := signedIn(t)
		for realm, hours := range map[policy.Realm]int{policy.RealmStaff: 12, policy.RealmPortalUser: 8} {
			if n := s.count(t, `SELECT count(*) FROM app.sessions WHERE realm = $1 AND ended_at IS NULL AND expires_at > now()
				AND (data->>'deadline')::timestamptz BETWEEN now() + make_interval(hours => $2, mins => -1) AND now() + make_interval(hours => $2)`,
				string(realm), hours); n != 1 {
				t.Errorf("%s: %d sessions last %d hours", realm, n, hours)
			}
		}
		// A request never puts the end off beyond the deadline.
		s.exec(t, `UPDATE app.sessions SET expires_at = now() + interval '1 second', data = jsonb_set(data, '{deadline}', to_jsonb(now() + interval '3 minutes'))`)
		b.is("/staff", "staff:"+ada.ID)
		if n := s.count(t, `SELECT count(*) FROM app.sessions WHERE realm = 'staff' AND expires_at > now() + interval '3 minutes'`); n != 0 {
			t.Error("the end was put off beyond the deadline")
		}
	})
	t.Run("everywhere", func(t *testing.T) {
		b, other := signedIn(t), signedIn(t)
		if err := s.SignOutEverywhere(t.Context(), ada.subject()); err != nil {
			t.Fatal(err)
		}
		b.is("/staff", "")
		other.is("/staff", "")
		other.is("/portal", "portal_user:pu-1")
	})
	t.Run("with another password", func(t *testing.T) {
		b := signedIn(t)
		if err := s.SetPortalPassword(t.Context(), operator, "pu-1", good); err != nil {
			t.Fatal(err)
		}
		b.is("/portal", "")
		s.setByLink(t, ada, good)
		b.is("/staff", "")
	})
	t.Run("with the account", func(t *testing.T) {
		b := signedIn(t)
		s.exec(t, `UPDATE app.portal_users SET active = false`)
		b.is("/portal", "")
		s.exec(t, `UPDATE app.portal_users SET active = true`)
		b.is("/portal", "") // for good
		s.exec(t, `DELETE FROM record.staff`)
		b.is("/staff", "")
	})
}

// scs saves a session after the request. A request that was running when all sessions were
// ended must not restore its own.
func TestARequestUnderWayDoesNotReviveASession(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	b := s.browser(t)
	b.signIn("/staff", "ada@clinic.example", good)
	slow := s.Staff(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subject, err := policy.SubjectFrom(r.Context()); err != nil || subject.ID != ada.ID {
			t.Errorf("got %+v, %v", subject, err)
		}
		if err := s.SignOutEverywhere(r.Context(), ada.subject()); err != nil {
			t.Error(err)
		}
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "postern_staff", Value: b.cookie("postern_staff")})
	slow.ServeHTTP(httptest.NewRecorder(), r)
	b.is("/staff", "")
}

// A client that sends a token means that token.
func TestABearerHeaderComesBeforeTheCookie(t *testing.T) {
	s := newSite(t)
	ada, ben := s.hire(t, "ada@clinic.example"), s.hire(t, "ben@clinic.example")
	token := s.token(t, ben)
	b := s.browser(t)
	b.is("/staff", "staff:"+ben.ID, "Authorization", "bearer  "+token)
	b.signIn("/staff", "ada@clinic.example", good)
	b.is("/staff", "staff:"+ada.ID)
	b.is("/staff", "staff:"+ben.ID, "Authorization", "Bearer "+token)
	b.is("/staff", "", "Authorization", "Bearer "+token[:20])
	b.is("/staff", "", "Authorization", "")
	b.is("/staff", "", "Authorization", "Basic YWRhOmFkYQ==")
	b.is("/staff", "", "Authorization", "Bearer "+token, "Authorization", "Bearer "+token)
	b.is("/portal", "", "Authorization", "Bearer "+token) // portal users have none
}

// Guesses at a person's password delay the strangers who guess, not the person.
func TestAKnownBrowserDoesNotWaitForStrangersGuesses(t *testing.T) {
	s := newSite(t)
	s.enrol(t, "pu-1", "noor@home.example", good)
	s.enrol(t, "pu-2", "sam@home.example", good)
	home, stranger := s.browser(t), s.browser(t)
	home.signIn("/portal", "noor@home.example", good)
	stranger.signIn("/portal", "sam@home.example", good) // known as Sam's, not as Noor's
	for range 5 {
		if status := stranger.signIn("/portal", "noor@home.example", "a guess"); status != http.StatusUnauthorized {
			t.Fatalf("status %d", status)
		}
	}
	if status := stranger.signIn("/portal", "noor@home.example", good); status != http.StatusTooManyRequests {
		t.Errorf("a stranger: status %d", status)
	}
	if status := home.signIn("/portal", "noor@home.example", good); status != http.StatusOK {
		t.Errorf("at home: status %d", status)
	}
	for range 5 {
		home.signIn("/portal", "noor@home.example", "a guess")
	}
	if status := home.signIn("/portal", "noor@home.example", good); status != http.StatusTooManyRequests {
		t.Errorf("at home, after as many guesses: status %d", status)
	}
}

func TestSweepDeletesOnlyWhatHasExpired(t *testing.T) {
	s := newSite(t)
	ada := s.hire(t, "ada@clinic.example")
	s.enrol(t, "pu-1", "noor@home.example", "")
	b := s.browser(t)
	b.signIn("/staff", "ada@clinic.example", good)
	b.signIn("/staff", "ada@clinic.example", "a guess")
	if _, err := s.Invite(t.Context(), operator, "pu-1"); err != nil {
		t.Fatal(err)
	}
	s.exec(t, `INSERT INTO app.sessions (token_hash, realm, data, expires_at) VALUES ('old', 'staff', '{}', now() - interval '61 minutes')`)
	s.exec(t, `INSERT INTO app.sign_in_tries VALUES ('old', 9, now() - interval '25 hours', now())`)
	s.exec(t, `INSERT INTO app.password_links VALUES ('old', 'portal_user', 'pu-1', 'first', 0, now() - interval '38 days', now() - interval '31 days', now())`)
	const all = `SELECT (SELECT count(*) FROM app.sessions) + (SELECT count(*) FROM app.sign_in_tries) + (SELECT count(*) FROM app.password_links)`
	before := s.count(t, all)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if gone := before - s.count(t, all); gone != 3 {
		t.Errorf("%d rows were deleted, want 3", gone)
	}
	b.is("/staff", "staff:"+ada.ID)
}

// A handler that was mounted wrongly must not look like a visitor without a session.
func TestSubjectFromWithoutMiddlewareIsAnError(t *testing.T) {
	if _, err := policy.SubjectFrom(t.Context()); err == nil || errors.Is(err, policy.ErrUnauthenticated) {
		t.Errorf("got %v, want a fault of ours", err)
	}
}

// A request that changes nothing about its session writes nothing: otherwise each request would
// wait for the disk, and for the one before it.
func TestARequestWritesNoUnchangedSession(t *testing.T) {
	s := newSite(t)
	s.enrol(t, "pu-1", "noor@home.example", good)
	b := s.browser(t)
	b.signIn("/portal", "noor@home.example", good)
	row := func() (version string) {
		t.Helper()
		err := s.admin.QueryRow(t.Context(), `SELECT xmin || ' ' || xmax || ' ' || ctid FROM app.sessions WHERE realm = 'portal_user'`).Scan(&version)
		if err != nil {
			t.Fatal(err)
		}
		return version
	}
	before := row()
	b.is("/portal", "portal_user:pu-1")
	if after := row(); after != before {
		t.Errorf("the row was written or locked: %s, then %s", before, after)
	}
	if _, err := s.admin.Exec(t.Context(), `UPDATE app.sessions SET expires_at = expires_at - interval '2 minutes'`); err != nil {
		t.Fatal(err)
	}
	before = row()
	if b.is("/portal", "portal_user:pu-1"); row() == before {
		t.Error("the session was not extended")
	}
}
