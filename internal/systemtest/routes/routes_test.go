package routes_test

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"postern/internal/web/webtest"
)

// An answer is the class of an answer: what became of the request.
type answer string

// The classes of answers.
const (
	signIn    answer = "sign in first"
	forbidden answer = "forbidden"
	factorDue answer = "set up a second factor first"
	noToken   answer = "refused as of an API token"
	notFound  answer = "not found"
	elsewhere answer = "not theirs" // rule.others
	served    answer = "served"     // also if the request is faulty: the caller may try
	crossSite answer = "refused as of another site"
	broken    answer = "broken"
)

// expected is what the table says that a caller gets.
func (r rule) expected(c caller) answer {
	switch r.needs {
	case everyone:
		if r.session && c.realm == staff && c.token != "" {
			return noToken
		}
		return served
	case absent:
		return notFound
	case halfway, sendGrid:
		return signIn
	case portalUsers:
		if c.realm != portalUsers {
			return signIn
		}
	default:
		switch {
		case c.realm != staff:
			return signIn
		case r.session && c.token != "":
			return noToken
		case c.due && !r.due:
			return factorDue
		case r.needs != staff && !anyOf(c.permissions, r.needs):
			return forbidden
		}
	}
	switch {
	case r.owned == "" || c.owner && r.owned != noOne || anyOf(c.permissions, r.owned):
		return served
	case r.others != "":
		return elsewhere
	}
	return notFound
}

func anyOf(has []string, needs string) bool {
	return slices.ContainsFunc(strings.Fields(needs), func(p string) bool { return slices.Contains(has, p) })
}

// A reply is an answer as it comes.
type reply struct {
	status int
	header http.Header
	body   string
}

// class returns the class of a reply to a request by the rule.
func (r rule) class(got reply) answer {
	var problem struct{ Type string }
	if strings.HasPrefix(got.header.Get("Content-Type"), "application/problem+json") {
		_ = json.Unmarshal([]byte(got.body), &problem)
	}
	to, _, _ := strings.Cut(got.header.Get("Location"), "?")
	switch {
	case problem.Type == "/problems/cross-origin", got.status == http.StatusForbidden && strings.Contains(got.body, "The request comes from another site"):
		return crossSite
	case problem.Type == "/problems/session-needed", got.status == http.StatusForbidden && strings.Contains(got.body, "You have to sign in for that"):
		return noToken
	case problem.Type == "/problems/second-factor-due", to == "/account" && !(r.due && strings.Contains(r.route, " /account")):
		return factorDue
	case got.status == http.StatusUnauthorized, to == "/sign-in", to == "/portal/sign-in":
		return signIn
	case got.status == http.StatusForbidden && (problem.Type == "" || problem.Type == "/problems/forbidden"):
		return forbidden
	case r.others == strings.TrimSpace(fmt.Sprint(got.status, " ", to)):
		return elsewhere
	case got.status == http.StatusNotFound:
		return notFound
	case got.status == http.StatusTooManyRequests && r.needs == everyone: // so many tries of strangers
		return served
	case got.status >= 500, got.status == http.StatusTooManyRequests, got.status == http.StatusMethodNotAllowed:
		return broken
	}
	return served
}

func (r rule) method() string {
	if method, _, found := strings.Cut(r.route, " "); found {
		return method
	}
	return http.MethodGet
}

func (r rule) changes() bool { return r.method() != http.MethodGet }

// address returns the address and the body of a request, with the clinic's objects in them.
func (c *clinic) address(t testing.TB, r rule) (path, body string) {
	t.Helper()
	path, body = r.at, r.body
	if path == "" {
		_, path, _ = strings.Cut(r.route, " ")
	}
	for name, id := range c.objects {
		path, body = strings.ReplaceAll(path, "{"+name+"}", id), strings.ReplaceAll(body, "{"+name+"}", id)
	}
	if strings.ContainsAny(path, "{}") {
		t.Errorf("%s: the address %s names an object that the clinic does not have", r.route, path)
	}
	return path, body
}

// browser follows no redirects.
var browser = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: atATime},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// atATime is how many requests run at once.
const atATime = 8

// call sends a request as the caller, with additional headers.
func (c caller) call(t testing.TB, method, path, body string, header ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return reply{}
	}
	switch {
	case strings.HasPrefix(body, "{"), strings.HasPrefix(body, "["):
		r.Header.Set("Content-Type", "application/json")
	case body != "":
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Idempotency-Key", uuid.NewString())
	for _, cookie := range c.cookies {
		r.AddCookie(cookie)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := browser.Do(r)
	if err != nil {
		t.Errorf("%s %s as %s: %v", method, path, c.name, err)
		return reply{}
	}
	defer func() { _ = res.Body.Close() }()
	got := reply{status: res.StatusCode, header: res.Header}
	if res.Header.Get("Content-Type") != "text/event-stream" { // which would not end
		data, err := io.ReadAll(res.Body)
		if err != nil {
			t.Errorf("%s %s as %s: %v", method, path, c.name, err)
		}
		got.body = string(data)
	}
	return got
}

// try calls a route as a caller and compares the answer with the table.
func (c *clinic) try(t testing.TB, r rule, by caller) {
	t.Helper()
	path, body := c.address(t, r)
	got := by.call(t, r.method(), path, body)
	for _, fault := range guarded(path, got) {
		t.Errorf("%s %s as %s: %s", r.method(), path, by.name, fault)
	}
	class, want := r.class(got), r.expected(by)
	if class != want && !(r.last && class == signIn) && !(r.alike && class == elsewhere && want == served) {
		t.Errorf("%s %s as %s: %s (%d, %.100q), want %s", r.method(), path, by.name, class, got.status, got.body, want)
	}
}

// guarded says what is missing in the headers of an answer: no browser may guess its type, run what
// we did not write, show it in a frame, tell its address to others, or keep it.
func guarded(path string, got reply) (faults []string) {
	if got.status == 0 {
		return nil // reported already
	}
	h := got.header
	policy := h.Get("Content-Security-Policy")
	document := strings.HasPrefix(policy, "sandbox; default-src 'none'") // as it was uploaded, in whatever charset
	if !document {
		framed := "frame-ancestors 'none'"
		if path == "/portal/frame" && got.status == http.StatusOK { // by our own pages
			framed = "frame-ancestors 'self'"
		}
		for _, directive := range []string{"default-src 'none'", "base-uri 'none'", framed} {
			if !strings.Contains(policy, directive) {
				faults = append(faults, fmt.Sprintf("the policy %q lacks %s", policy, directive))
			}
		}
	}
	if strings.Contains(policy, "unsafe") {
		faults = append(faults, fmt.Sprintf("the policy %q allows what it should forbid", policy))
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		if h.Get(name) != want {
			faults = append(faults, fmt.Sprintf("%s is %q, want %q", name, h.Get(name), want))
		}
	}
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch text := strings.HasPrefix(kind, "text/") && kind != "text/event-stream"; { // which is always UTF-8
	case got.body == "":
	case err != nil:
		faults = append(faults, fmt.Sprintf("its type is %q: %v", h.Get("Content-Type"), err))
	case text && !document && !strings.EqualFold(parameters["charset"], "utf-8"):
		faults = append(faults, fmt.Sprintf("its type %q names no charset", h.Get("Content-Type")))
	}
	if h.Get("Access-Control-Allow-Origin") != "" && !strings.HasPrefix(path, "/static/") { // which hold nothing of a person
		faults = append(faults, "another site may read it")
	}
	if cached := h.Get("Cache-Control"); got.body != "" && !strings.Contains(cached, "no-store") && !strings.HasPrefix(path, "/static/") {
		faults = append(faults, fmt.Sprintf("a cache may keep it: Cache-Control %q", cached))
	}
	return faults
}

// The methods that only help an attacker are refused at both routers.
func TestOtherMethods(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	nobody := caller{name: "nobody", base: s.Base}
	for _, path := range []string{"/", "/sign-in", "/messages", "/v1/messages", "/v1/portal/messages", "/docs", "/static/app.css", "/nothing"} {
		for _, method := range []string{http.MethodTrace, "TRACK", "DEBUG", "PROPFIND"} {
			got := nobody.call(t, method, path, "", "Cookie", "secret=1")
			if got.status != http.StatusMethodNotAllowed && got.status != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, got.status)
			}
			if strings.Contains(got.body, "secret") {
				t.Errorf("%s %s: the answer repeats the request", method, path)
			}
		}
	}
}

// Every route gives every kind of caller what the table says, and a refused request changes
// nothing: no row, no blob, no event.
func TestEveryRouteAsEveryone(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	rules := slices.Concat(pages, operations)
	before, sessionsBefore := c.Keeps(t), c.sessions(t)
	var group errgroup.Group
	group.SetLimit(atATime)
	each := func(do func(rule, caller)) {
		for _, r := range rules {
			for _, by := range c.callers {
				group.Go(func() error { do(r, by); return nil })
			}
		}
		_ = group.Wait()
	}
	each(func(r rule, by caller) {
		if !r.last && r.expected(by) != served {
			c.try(t, r, by)
		}
	})
	each(func(r rule, by caller) {
		if r.changes() {
			c.refusesOtherSites(t, r, by)
		}
	})
	if diff := cmp.Diff(before, c.Keeps(t)); diff != "" {
		t.Errorf("requests that were refused changed something (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(sessionsBefore, c.sessions(t)); diff != "" {
		t.Errorf("requests that were refused changed sessions (-before +after):\n%s", diff)
	}
	if t.Failed() {
		return
	}
	each(func(r rule, by caller) {
		if !r.changes() && r.expected(by) == served {
			c.try(t, r, by)
		}
	})
	for _, late := range []bool{false, true} {
		for _, r := range rules {
			for _, by := range c.callers {
				if r.changes() && !r.last && r.late == late && r.expected(by) == served {
					c.try(t, r, by)
					if r.once {
						break
					}
				}
			}
		}
	}
	for _, r := range rules {
		for _, by := range c.callers {
			if r.last {
				c.try(t, r, by)
			}
		}
	}
}

// refusesOtherSites checks that a page of another site can't make a browser send the request with
// the cookie of its user. A browser adds no token by itself.
func (c *clinic) refusesOtherSites(t testing.TB, r rule, by caller) {
	t.Helper()
	if len(by.cookies) == 0 {
		return
	}
	path, body := c.address(t, r)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		if got := by.call(t, r.method(), path, body, header...); r.class(got) != crossSite {
			t.Errorf("%s %s as %s with %s: %s (%d), want %s", r.method(), path, by.name, strings.Join(header, ": "), r.class(got), got.status, crossSite)
		}
	}
}

// Each route of both routers has a row in the table, each row is of a route, and its address is
// one of that route.
func TestEveryRouteHasARow(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	var ofPages []string
	for _, route := range s.Web.Pages.Routes() {
		ofPages = append(ofPages, route.Pattern)
	}
	ofPages = append(ofPages, "GET /static/") // files, which the pages load
	for _, one := range []struct {
		name   string
		routes []string
		rules  []rule
	}{{"pages", ofPages, pages}, {"operations", s.Web.API.Routes(), operations}} {
		var rows []string
		for _, r := range one.rules {
			rows = append(rows, r.route)
			if !matches(r) {
				t.Errorf("%s is not an address of %s", r.at, r.route)
			}
		}
		slices.Sort(rows)
		slices.Sort(one.routes)
		if diff := cmp.Diff(slices.Compact(one.routes), slices.Compact(rows)); diff != "" {
			t.Errorf("%s (-in the router +in the table):\n%s", one.name, diff)
		}
	}
}

var object = regexp.MustCompile(`\{[^$}]*\}`)

// matches reports whether the address of a rule belongs to its route.
func matches(r rule) bool {
	if r.at == "" {
		return !object.MatchString(r.route)
	}
	mux := http.NewServeMux()
	mux.Handle(r.route, http.NotFoundHandler())
	_, got := mux.Handler(httptest.NewRequest(r.method(), object.ReplaceAllString(r.at, "x"), nil))
	return got == r.route
}
