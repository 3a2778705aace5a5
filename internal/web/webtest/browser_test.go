package webtest_test

import (
	"fmt"
	"mime"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// page serves one page under our content security policy.
func page(t *testing.T, body string, files map[string]string) *webtest.Site {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		if file, ok := files[r.URL.Path]; ok {
			w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(r.URL.Path)))
			_, _ = w.Write([]byte(file))
			return
		}
		switch r.URL.Path {
		case "/":
			_, _ = fmt.Fprintf(w, `<!DOCTYPE html><html lang="en"><title>A page</title><meta name="viewport" content="width=device-width"><main><h1>A page</h1>%s</main></html>`, body)
		case "/file":
			w.Header().Set("Content-Disposition", `attachment; filename="notes.txt"`)
			_, _ = w.Write([]byte("notes"))
		case "/favicon.ico":
			w.WriteHeader(http.StatusNoContent)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return &webtest.Site{Base: server.URL}
}

// spy records the failures of a test, and lets the test continue.
type spy struct {
	testing.TB
	said []string
}

func (s *spy) Helper()                   {}
func (s *spy) Errorf(f string, a ...any) { s.said = append(s.said, fmt.Sprintf(f, a...)) }

// Accessible finds the faults of a page, and reports nothing for a correct page.
func TestAccessibleFindsFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, style, finds string }{
		"nothing":         {`<p>All is well.</p>`, ``, ""},
		"no label":        {`<input id="subject">`, ``, "label: Form elements must have labels"},
		"pale words":      {`<p>Hard to read</p>`, `p { color: #aaa }`, "color-contrast"},
		"a page too wide": {`<p>Wide</p>`, `p { width: 3000px }`, "is wider than its window"},
		"a small target":  {`<a href="/a">a</a><a href="/b">b</a>`, `a { font-size: 6px; display: inline-block }`, "target-size"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := &spy{TB: t}
			b := webtest.OpenBrowser(seen, page(t, c.body+`<link rel="stylesheet" href="/s.css">`, map[string]string{"/s.css": c.style}))
			b.Open("/")
			b.Accessible()
			said := strings.Join(seen.said, "\n")
			if c.finds == "" && said != "" || !strings.Contains(said, c.finds) {
				t.Errorf("%q was found, want %q", said, c.finds)
			}
		})
	}
}

// Fields, links and keys are found by their text.
func TestBrowserFindsElementsByText(t *testing.T) {
	t.Parallel()
	s := page(t, `
<form><label for="subject">Subject</label> <input id="subject" name="subject">
<label>Documents <input type="file" id="documents" name="documents" multiple></label>
<label for="kind">Kind</label> <select id="kind" name="kind"><option>Letter</option><option>Form</option></select>
<button>Save draft</button></form>
<p id="said"></p> <p><a href="/file">Notes</a></p><script src="/s.js"></script>`, map[string]string{"/s.js": `
const said = document.getElementById('said')
document.querySelector('#documents').addEventListener('change', (e) => { said.textContent = [...e.target.files].map((f) => f.name + ' of ' + f.size).join(', ') })
document.addEventListener('keydown', (e) => { if (e.key === 'Escape') said.textContent = 'Escaped' })`})
	b := webtest.OpenBrowser(t, s)
	b.Open("/")
	b.Type("Subject", "After care")
	b.Reads("Subject", "After care")
	b.Choose("Kind", "Form")
	b.Upload("Documents", webtest.File{Name: "one.txt", Data: []byte("1")}, webtest.File{Name: "two.txt", Data: []byte("22")})
	b.Sees("one.txt of 1, two.txt of 2")
	b.Press("Escape")
	b.Sees("Escaped")
	if got := b.Download("Notes"); got.Name != "notes.txt" || string(got.Data) != "notes" {
		t.Errorf("downloaded %s: %s", got.Name, got.Data)
	}
	b.Type("#subject", "Care")
	b.TabTo("Save draft")
	b.Press("Enter")
	b.At("/?subject=Care&documents=one.txt&documents=two.txt&kind=Form")
	b.SeesNot("Escaped")
	b.Accessible()
}

// Errors in the browser's console fail the test.
func TestConsoleErrorsAndPolicyViolationsAreFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, script, fault string }{
		"console": {``, `console.error('badly', 7)`, "badly"},
		"throws":  {``, `throw new Error('out of paper')`, "out of paper"},
		"inline":  {`<script>document.title = 'Pwned'</script>`, ``, "Content Security Policy"},
		"missing": {`<link rel="stylesheet" href="/static/gone.css">`, ``, "gone.css"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := webtest.OpenBrowser(t, page(t, c.body+`<script src="/s.js"></script>`, map[string]string{"/s.js": c.script}))
			b.Open("/")
			if faults := strings.Join(b.Faults(), "\n"); !strings.Contains(faults, c.fault) {
				t.Errorf("the faults are %q, without %q", faults, c.fault)
			}
		})
	}
}
