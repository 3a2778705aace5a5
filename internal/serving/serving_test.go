package serving

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"postern/internal/health"
	"postern/internal/inbound"
)

const (
	proxy  = "10.0.0.1:5000"
	client = "203.0.113.7:5000"
	here   = "127.0.0.1:5000"
)

var passed = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "passed") })

// What becomes of a request, by the way on which it came.
func TestRequire(t *testing.T) {
	trusted, err := inbound.ParseProxies("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	plain := Transport{PublicURL: "http://127.0.0.1:8080"}
	direct := Transport{PublicURL: "https://portal.example.test"}
	behind := Transport{PublicURL: "https://portal.example.test/", BehindProxy: true, Trusted: trusted}
	unsure := Transport{PublicURL: "https://portal.example.test", BehindProxy: true}
	const pass, redirect, refuse = http.StatusOK, http.StatusPermanentRedirect, http.StatusForbidden
	for _, c := range []struct {
		name      string
		transport Transport
		method    string
		from      string
		tls       bool
		proto     []string
		want      int
		hsts      bool
	}{
		{"http where http is right", plain, "GET", here, false, nil, pass, false},
		{"https with our certificate", direct, "POST", client, true, nil, pass, true},
		{"a proxy that says https", behind, "POST", proxy, false, []string{"https"}, pass, true},
		{"a proxy that says HTTPS", behind, "POST", proxy, false, []string{"HTTPS"}, pass, true},
		{"a proxy that says http, for a page", behind, "GET", proxy, false, []string{"http"}, redirect, false},
		{"a proxy that says http, for a form", behind, "POST", proxy, false, []string{"http"}, refuse, false},
		{"a proxy behind a client's header", behind, "POST", proxy, false, []string{"https", "http"}, refuse, false},
		{"a list in one header", behind, "POST", proxy, false, []string{"https, http"}, refuse, false},
		{"a proxy that does not say it", behind, "GET", proxy, false, nil, refuse, false},
		{"a proxy that says nothing", behind, "GET", proxy, false, []string{" "}, refuse, false},
		{"a proxy that says http over TLS", behind, "POST", proxy, true, []string{"http"}, refuse, false},
		{"a stranger past the proxy who says https", behind, "POST", client, false, []string{"https"}, refuse, false},
		{"a stranger past the proxy, for a page", behind, "GET", client, false, nil, redirect, false},
		{"this machine past the proxy", behind, "POST", here, false, nil, pass, false},
		{"proxies that are not named", unsure, "POST", client, false, []string{"http"}, pass, false},
	} {
		r := httptest.NewRequest(c.method, "http://portal.example.test/messages?page=2", nil)
		r.RemoteAddr, r.Header["X-Forwarded-Proto"] = c.from, c.proto
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		c.transport.Require(passed).ServeHTTP(w, r)
		if w.Code != c.want || (w.Header().Get("Strict-Transport-Security") == "max-age=63072000") != c.hsts {
			t.Errorf("%s: %d, with HSTS %q", c.name, w.Code, w.Header().Get("Strict-Transport-Security"))
		}
		if to := w.Header().Get("Location"); c.want == redirect && to != "https://portal.example.test/messages?page=2" {
			t.Errorf("%s: to %s", c.name, to)
		}
		if (w.Body.String() == "passed") != (c.want == pass) {
			t.Errorf("%s: answered with %s", c.name, w.Body)
		}
	}
}

// Subdomains are covered if the operator says so.
func TestSubdomains(t *testing.T) {
	for covered, want := range map[bool]string{false: "max-age=63072000", true: "max-age=63072000; includeSubDomains"} {
		r := httptest.NewRequest(http.MethodGet, "https://portal.example.test/", nil)
		r.TLS = &tls.ConnectionState{}
		w := httptest.NewRecorder()
		Transport{PublicURL: "https://portal.example.test", Subdomains: covered}.Require(passed).ServeHTTP(w, r)
		if got := w.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("%t: %q", covered, got)
		}
	}
}

// A redirect leads to PUBLIC_URL and to no other host, whatever the address says. Requests of
// programs are refused, because a redirect would hide that their token was sent in clear.
func TestUnencryptedRequests(t *testing.T) {
	behind := Transport{PublicURL: "https://portal.example.test", BehindProxy: true, Trusted: inbound.Proxies{netip.MustParsePrefix("10.0.0.1/32")}}
	for target, want := range map[string]string{
		"/": "https://portal.example.test/", "//evil.example/x": "https://portal.example.test/evil.example/x", `/\evil.example`: "https://portal.example.test/%5Cevil.example",
		"/a%2Fb?x=%0d%0a": "https://portal.example.test/a%2Fb?x=%0d%0a", "/v1/messages": "", "/v1/portal/messages": "", "/webhooks/sendgrid": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "http://evil.example/", nil)
		path, query, _ := strings.Cut(target, "?")
		u, err := r.URL.Parse("http://evil.example/")
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = query
		if u.Path = path; strings.Contains(path, "%") {
			u.Path, u.RawPath = strings.ReplaceAll(path, "%2F", "/"), path
		}
		r.URL, r.RemoteAddr = u, proxy
		r.Header.Set("X-Forwarded-Proto", "http")
		w := httptest.NewRecorder()
		behind.Require(passed).ServeHTTP(w, r)
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%s: leads to %q", target, got)
		}
		if want == "" && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "/problems/not-encrypted")) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr = client
		w := httptest.NewRecorder()
		if behind.Require(passed).ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Errorf("%s of an orchestrator: %d", path, w.Code)
		}
	}
}

// The inside is this machine without a proxy.
func TestInside(t *testing.T) {
	for _, c := range []struct {
		from, header string
		want         bool
	}{
		{here, "", true}, {"[::1]:5000", "", true}, {"[::ffff:127.0.0.1]:5000", "", true},
		{client, "", false}, {"[2001:db8::1]:5000", "", false}, {"@", "", false},
		{here, "X-Forwarded-For", false}, {here, "X-Forwarded-Proto", false}, {here, "Forwarded", false}, {here, "Via", false}, {here, "X-Real-IP", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/readyz", nil)
		if r.RemoteAddr = c.from; c.header != "" {
			r.Header.Set(c.header, "")
		}
		if got := Inside(r); got != c.want {
			t.Errorf("from %s with %q: %t", c.from, c.header, got)
		}
	}
}

// Reasons, metrics and profiles are for those who may have them, at either address.
func TestOperators(t *testing.T) {
	var faults []health.Fault
	o := Operators{Metrics: passed, Ready: func(*http.Request) ([]health.Fault, []health.Fault) {
		return faults, []health.Fault{{Part: "scanner", Reason: "none"}}
	}}
	ask := func(h http.Handler, from, path string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	broken := []health.Fault{{Part: "nats", Reason: "away"}, {Part: "postgres", Reason: "away too"}}
	for _, c := range []struct {
		name       string
		handler    http.Handler
		from, path string
		faults     []health.Fault
		status     int
		text       string // "…" at the end: the rest is anything
	}{
		{"ready, to operators", o.Handler(), client, "/readyz", nil, 200, "ready\nwarning: scanner: none\n"},
		{"not ready, to operators", o.Handler(), client, "/readyz", broken, 503, "nats: away\npostgres: away too\nwarning: scanner: none\n"},
		{"ready, to this machine", o.HandleHealth(false), here, "/readyz", nil, 200, "ready\nwarning: scanner: none\n"},
		{"not ready, to this machine", o.HandleHealth(false), here, "/readyz", broken, 503, "nats: away\npostgres: away too\nwarning: scanner: none\n"},
		{"ready, to others", o.HandleHealth(true), client, "/readyz", nil, 200, "ready\n"},
		{"not ready, to others", o.HandleHealth(true), client, "/readyz", broken, 503, "not ready\n"},
		{"alive, to others", o.HandleHealth(true), client, "/healthz", broken, 200, "ok\n"},
		{"metrics, to operators", o.Handler(), client, "/metrics", nil, 200, "passed"},
		{"metrics at a loopback address", o.HandleHealth(true), here, "/metrics", nil, 200, "passed"},
		{"metrics at a loopback address, through a proxy", o.HandleHealth(true), client, "/metrics", nil, 404, "…"},
		{"metrics at another address", o.HandleHealth(false), here, "/metrics", nil, 404, "…"},
		{"profiles, to this machine", o.Handler(), here, "/debug/pprof/goroutine?debug=1", nil, 200, "goroutine profile…"},
		{"profiles, to others", o.Handler(), client, "/debug/pprof/goroutine?debug=1", nil, 403, "…"},
		{"the command line", o.Handler(), here, "/debug/pprof/cmdline", nil, 404, "…"},
		{"profiles at the first address", o.HandleHealth(true), here, "/debug/pprof/", nil, 404, "…"},
	} {
		faults = c.faults
		status, text := ask(c.handler, c.from, c.path)
		begin, open := strings.CutSuffix(c.text, "…")
		if status != c.status || text != c.text && !(open && strings.HasPrefix(text, begin)) {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
	}
}
