package webtest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"postern/internal/access/policy"
)

// Visitor is a person whose browser runs no scripts.
type Visitor struct {
	t    testing.TB
	base string
	http *http.Client
	ID   string // of the staff member or the portal user
}

// SignedOut returns a visitor who is not signed in.
func (s *Site) SignedOut(t testing.TB) *Visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Visitor{t: t, base: s.Base, http: &http.Client{Jar: jar}}
}

// nowhere is the target of a sign-in that is not itself under test.
const nowhere = "/static/icon.svg"

// Staff returns a new staff member, signed in.
func (s *Site) Staff(t testing.TB, name string, permissions ...policy.Permission) *Visitor {
	t.Helper()
	made := s.NewStaff(t, name, permissions...)
	v := s.SignedOut(t)
	v.ID = made.ID
	v.Post("/sign-in", url.Values{"email": {made.Email}, "password": {Password}, "next": {nowhere}}).Is(http.StatusOK)
	return v
}

// PortalUser returns a new portal user, signed in.
func (s *Site) PortalUser(t testing.TB, id string) *Visitor {
	t.Helper()
	s.NewPortalUser(t, id)
	v := s.SignedOut(t)
	v.ID = id
	v.Post("/portal/sign-in", url.Values{"email": {id + "@example.org"}, "password": {Password}, "next": {nowhere}}).Is(http.StatusOK)
	return v
}

// Page is an answer, after all redirects.
type Page struct {
	t      testing.TB
	asked  string
	Status int
	Header http.Header
	URL    *url.URL // the final address
	Body   string
}

// Get requests a page.
func (v *Visitor) Get(path string) *Page {
	v.t.Helper()
	return v.do(http.MethodGet, path, nil, "")
}

// GetWith requests a page with a header.
func (v *Visitor) GetWith(path, name, value string) *Page {
	v.t.Helper()
	return v.do(http.MethodGet, path, nil, "", name, value)
}

// Post sends a form.
func (v *Visitor) Post(path string, form url.Values) *Page {
	v.t.Helper()
	return v.do(http.MethodPost, path, strings.NewReader(form.Encode()), "application/x-www-form-urlencoded")
}

// Send sends a body of any type, for example an upload.
func (v *Visitor) Send(path string, body io.Reader, contentType string) *Page {
	v.t.Helper()
	return v.do(http.MethodPost, path, body, contentType)
}

func (v *Visitor) do(method, path string, body io.Reader, contentType string, header ...string) *Page {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1]) // #nosec G602 -- they come in pairs
	}
	res, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	p := &Page{t: v.t, asked: method + " " + path, Status: res.StatusCode, Header: res.Header, URL: res.Request.URL, Body: string(data)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") && strings.HasPrefix(p.Body, "<!DOCTYPE") {
		for _, fault := range CheckHTML(p.Body) {
			v.t.Errorf("%s is not valid HTML: %s", p.asked, fault)
		}
	}
	return p
}

// Fragment requests a part of a page, as htmx does.
func (v *Visitor) Fragment(path string) *Page {
	v.t.Helper()
	return v.do(http.MethodGet, path, nil, "", "HX-Request", "true")
}

// PostFragment sends a form and requests a part of a page, as a script does.
func (v *Visitor) PostFragment(path string, form url.Values) *Page {
	v.t.Helper()
	return v.do(http.MethodPost, path, strings.NewReader(form.Encode()), "application/x-www-form-urlencoded", "HX-Request", "true")
}

// Is fails the test if the status is different.
func (p *Page) Is(status int) *Page {
	p.t.Helper()
	if p.Status != status {
		p.t.Fatalf("%s was answered with %d, want %d: %s", p.asked, p.Status, status, p.Text())
	}
	return p
}

// Says reports an error for each text that is not visible on the page.
func (p *Page) Says(texts ...string) *Page {
	p.t.Helper()
	seen := p.Text()
	for _, text := range texts {
		if !strings.Contains(seen, text) {
			p.t.Errorf("%s does not say %q: %s", p.asked, text, seen)
		}
	}
	return p
}

// LacksHTML reports an error for each text in the page's source.
func (p *Page) LacksHTML(texts ...string) *Page {
	p.t.Helper()
	for _, text := range texts {
		if strings.Contains(p.Body, text) {
			p.t.Errorf("%s holds %q", p.asked, text)
		}
	}
	return p
}

// HasHTML reports an error for each piece of HTML that the page lacks.
func (p *Page) HasHTML(pieces ...string) *Page {
	p.t.Helper()
	for _, piece := range pieces {
		if !strings.Contains(p.Body, piece) {
			p.t.Errorf("%s does not hold %q", p.asked, piece)
		}
	}
	return p
}

// Text returns the visible text of the page, with single spaces.
func (p *Page) Text() string {
	if !strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
		return p.Body
	}
	var words []string
	skip := false
	for z := html.NewTokenizer(strings.NewReader(p.Body)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return strings.Join(strings.Fields(strings.Join(words, "")), " ")
		case html.StartTagToken:
			name, _ := z.TagName()
			skip = string(name) == "script" || string(name) == "style"
			words = append(words, blank(string(name)))
		case html.EndTagToken:
			name, _ := z.TagName()
			skip = false
			words = append(words, blank(string(name)))
		case html.TextToken:
			if !skip {
				words = append(words, string(z.Text()))
			}
		}
	}
}

// blank returns the space between the texts of two blocks; "" for an inline element.
func blank(tag string) string {
	switch tag {
	case "a", "b", "code", "em", "span", "strong", "time":
		return ""
	}
	return " "
}

// Head sends a HEAD request.
func (v *Visitor) Head(path string) *Page {
	v.t.Helper()
	return v.do(http.MethodHead, path, nil, "")
}

// Prefetch requests a page as a browser does that loads a page before its reader opens it.
func (v *Visitor) Prefetch(path string) *Page {
	v.t.Helper()
	return v.do(http.MethodGet, path, nil, "", "Sec-Purpose", "prefetch;prerender")
}

// PostFrom sends a form from a page of another site.
func (v *Visitor) PostFrom(origin, path string, form url.Values) *Page {
	v.t.Helper()
	return v.do(http.MethodPost, path, strings.NewReader(form.Encode()), "application/x-www-form-urlencoded",
		"Sec-Fetch-Site", "cross-site", "Origin", origin)
}

var resource = regexp.MustCompile(`(?:src|href|from) ?=? ?["']((?:/static/|\./)[^"']+)["']|url\("?([^")]+)"?\)`)

// Transfer requests a page and all its files on this site, as a browser does at a first
// visit. It returns the transferred bytes by address.
func (v *Visitor) Transfer(path string) map[string]int {
	v.t.Helper()
	sizes := map[string]int{}
	for waiting := []string{path}; len(waiting) > 0; waiting = waiting[1:] {
		at := waiting[0]
		if _, known := sizes[at]; known {
			continue
		}
		// With this header, net/http does not decompress the answer.
		zipped := v.do(http.MethodGet, at, nil, "", "Accept-Encoding", "gzip").Is(http.StatusOK)
		sizes[at] = len(zipped.Body)
		text := zipped.Body
		if zipped.Header.Get("Content-Encoding") != "" {
			text = v.Get(at).Body
		}
		for _, found := range resource.FindAllStringSubmatch(text, -1) {
			needed, err := zipped.URL.Parse(found[1] + found[2])
			if err != nil {
				v.t.Fatal(err)
			}
			if needed.Host == zipped.URL.Host { // not a data: URL
				waiting = append(waiting, needed.RequestURI())
			}
		}
	}
	return sizes
}
