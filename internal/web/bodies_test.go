package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/inbound"
	"postern/internal/web/webtest"
)

// endless is a body that never ends. It begins like a form, and counts the bytes read.
type endless struct {
	begin string
	read  int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.begin)
	e.begin = e.begin[n:]
	for i := n; i < len(p); i++ {
		p[i] = 'a'
	}
	e.read += int64(len(p))
	return len(p), nil
}

// larger lists the routes that accept more than a small body from a permitted caller, and
// the most bytes that are read, including those that are read and dropped so that the
// sender gets the answer.
var larger = map[string]int64{
	"POST /v1/attachments":        37 << 20,
	"POST /v1/messages":           2 << 20,
	"POST /v1/recipients/preview": 1 << 20,
	"POST /messages/drafts/{id}":  257 << 20,
	"POST /directory/import":      1<<30 + 2<<20,
	"POST /v1/wordings":           1 << 20,
	"PUT /v1/wordings/{id}":       1 << 20,
	"POST /messages/wordings":     2 << 20, "POST /messages/wordings/{id}": 2 << 20, "POST /messages/wordings/{id}/delete": 2 << 20,
	"PUT /v1/clinic":              160 << 10,
	"POST /administration/clinic": 6 << 20,
	"POST /webhooks/sendgrid":     3 << 20, // without a session: its signature can be checked only at the end
}

// Every route reads an endless body only up to a limit: a small one for strangers, and the
// route's own for permitted callers.
func TestNoRouteReadsAnEndlessBody(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	all := append([]string{"POST /", "POST /v1/nowhere", "POST /webhooks/nowhere", "PUT /healthz", "POST /docs", "GET /metrics", "POST /static/x"}, apiRoutes(t, s)...)
	for _, route := range s.Web.Pages.Routes() {
		if method, _, found := strings.Cut(route.Pattern, " "); found {
			all = append(all, route.Pattern)
			if method == http.MethodGet {
				continue
			}
		}
	}
	staff, portal := signedIn(t, s)
	for _, pattern := range all {
		method, path, _ := strings.Cut(pattern, " ")
		path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllStringFunc(path, func(name string) string {
			if name == "{$}" {
				return ""
			}
			return uuid.NewString()
		})
		for _, contentType := range []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "MULTIPART/Form-Data; boundary=x", "text/plain", ""} {
			for who, cookies := range map[string][]*http.Cookie{"a stranger": nil, "staff": staff, "a portal user": portal} {
				if who != "a stranger" && strings.Contains(path, "sign-out") {
					continue // the rest is asked for in the same session
				}
				limit := int64(inbound.DefaultBytes)
				if who == "staff" || strings.HasPrefix(path, "/webhooks/sendgrid") {
					limit = max(limit, larger[pattern])
				}
				if limit > 100<<20 {
					switch {
					case !strings.HasPrefix(strings.ToLower(contentType), "multipart"):
						limit = 3 << 20 // only a form with files may be large
					case limit > 300<<20:
						continue // a gigabyte, by design: package admin tests its limit
					case contentType != "MULTIPART/Form-Data; boundary=x":
						continue // reading a quarter of a gigabyte is slow, so it is done once
					}
				}
				body := &endless{begin: map[bool]string{true: "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n%PDF-1.4\n", false: "a="}[strings.HasPrefix(strings.ToLower(contentType), "multipart")]}
				r := httptest.NewRequest(method, path, body)
				r.ContentLength = -1
				if contentType != "" {
					r.Header.Set("Content-Type", contentType)
				}
				for _, c := range cookies {
					r.AddCookie(c)
				}
				w := httptest.NewRecorder()
				s.Handler.ServeHTTP(w, r)
				if body.read > limit+64<<10 {
					t.Errorf("%s: %d bytes of %q are read of %s, the limit is %d: %d", pattern, body.read, contentType, who, limit, w.Code)
				}
				if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
					t.Errorf("%s of %q: %d", pattern, contentType, w.Code)
				}
			}
		}
	}
}

// apiRoutes returns the routes in the API's description.
func apiRoutes(t *testing.T, s *webtest.Site) (all []string) {
	t.Helper()
	res, err := http.Get(s.Base + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var described struct{ Paths map[string]map[string]any }
	if err := json.NewDecoder(res.Body).Decode(&described); err != nil {
		t.Fatal(err)
	}
	for path, methods := range described.Paths {
		for method := range methods {
			if strings.Contains(path, "/stream") || method == "delete" {
				continue // streams take long, and signing out would end the session; neither reads a body
			}
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	if len(all) < 50 {
		t.Fatalf("the description names %d operations", len(all))
	}
	return all
}

// signedIn returns the cookies of a staff member with every permission and of a portal user.
func signedIn(t *testing.T, s *webtest.Site) (staff, portal []*http.Cookie) {
	t.Helper()
	who := s.NewStaff(t, "Sam Staff", policy.All...)
	s.NewPortalUser(t, "ada")
	for at, email := range map[string]string{"/v1/session": who.Email, "/v1/portal/session": "ada@example.org"} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(map[string]string{"email": email, "password": webtest.Password})
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Jar: jar}).Post(s.Base+at, "application/json", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s is answered with %d", at, res.StatusCode)
		}
		base, err := url.Parse(s.Base)
		if err != nil {
			t.Fatal(err)
		}
		if at == "/v1/session" {
			staff = jar.Cookies(base)
		} else {
			portal = jar.Cookies(base)
		}
	}
	return staff, portal
}

// A form with files is refused before it is read if the route takes none. A body that is too
// large gets a page that says what to do.
func TestFormsAreRefusedInTime(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	for path, c := range map[string]struct {
		contentType, body, says string
		status                  int
	}{
		"/sign-in":           {"multipart/form-data; boundary=x", "--x--", "The content type is not understood", http.StatusUnsupportedMediaType},
		"/portal/sign-in":    {"MULTIPART/FORM-DATA; boundary=x", "--x--", "The content type is not understood", http.StatusUnsupportedMediaType},
		"/portal/forgotten":  {"application/x-www-form-urlencoded", "email=" + strings.Repeat("a", inbound.DefaultBytes), "The form is too large", http.StatusRequestEntityTooLarge},
		"/portal/invitation": {"Application/X-WWW-Form-Urlencoded; charset=utf-8", "link=x", "This link no longer works", http.StatusGone},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Base+path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", c.contentType)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != c.status || !strings.Contains(string(answer), c.says) {
			t.Errorf("%s of %s is answered with %d: %.2000s", path, c.contentType, res.StatusCode, answer)
		}
	}
}
