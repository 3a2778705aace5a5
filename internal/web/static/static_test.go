package static

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func get(path string, header ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	ServeHTTP(w, r)
	return w.Result()
}

// A file is cached forever under the name with its hash, which pages use, and revalidated
// under its plain name, which scripts import.
func TestFilesAreCached(t *testing.T) {
	for path, want := range map[string]string{
		URL("app.css"):          "public, max-age=31536000, immutable",
		"/static/app.css":       "no-cache",
		"/static/app.css?other": "no-cache",
	} {
		res := get(path)
		if got := res.Header.Get("Cache-Control"); got != want || res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, Cache-Control %q, want %q", path, res.StatusCode, got, want)
		}
		again := get(path, "If-None-Match", res.Header.Get("ETag"))
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s was asked for again and answered with %d", path, again.StatusCode)
		}
	}
	if res := get("/static/gone.css"); res.StatusCode != http.StatusNotFound {
		t.Errorf("a missing file was answered with %d", res.StatusCode)
	}
}

func TestFilesAreCompressedOnRequest(t *testing.T) {
	if e := get("/static/app.css", "Accept-Encoding", "gzip, br").Header.Get("Content-Encoding"); e != "gzip" {
		t.Errorf("encoding %q", e)
	}
	if e := get("/static/app.css").Header.Get("Content-Encoding"); e != "" {
		t.Errorf("encoding %q, which was not requested", e)
	}
}

// Every third-party file has its licence beside it.
func TestEveryVendoredFileHasItsLicence(t *testing.T) {
	for name := range all() {
		if stem, script := strings.CutSuffix(name, ".min.js"); script {
			if _, ok := all()[stem+".LICENSE.txt"]; !ok {
				t.Errorf("%s has no licence beside it", name)
			}
		}
	}
	for _, part := range []string{"LICENSE.txt", "JBIG2.LICENSE.txt", "OPENJPEG.LICENSE.txt"} {
		if _, ok := all()["vendor/pdfjs/"+part]; !ok {
			t.Errorf("pdf.js has no %s beside it", part)
		}
	}
	if !strings.Contains(string(all()["app.css.LICENSE.txt"].plain), "govuk-frontend") {
		t.Error("the licence of govuk-frontend is missing")
	}
}

// The style sheet loads nothing from other sites, needs no web font, and contains no other
// organisation's name.
func TestStyleIsOurOwn(t *testing.T) {
	css := string(all()["app.css"].plain)
	for _, url := range regexp.MustCompile(`url\([^)]*\)`).FindAllString(css, -1) {
		if url != `url("icon.svg")` {
			t.Errorf("it loads %s", url)
		}
	}
	for _, not := range []string{"@import", "@font-face", "GDS", "crown"} {
		if strings.Contains(css, not) {
			t.Errorf("it has %s", not)
		}
	}
}

// The style sheet and the scripts of staff pages leave most of the 150 kB for the page.
func TestStylesAndScriptsAreSmall(t *testing.T) {
	var sum int
	for _, name := range []string{"app.css", "vendor/htmx.min.js", "app.js", "forms.js", "menus.js", "search.js", "session.js", "icon.svg"} {
		sum += len(all()[name].zipped())
	}
	if sum > 50_000 {
		t.Errorf("they have %d bytes", sum)
	}
}

// Our own scripts run no text as code, put no input into a page as HTML, keep nothing in the browser,
// and write to no property that input names.
func TestScriptsDoNothingDangerous(t *testing.T) {
	// The one place where HTML is parsed is an answer of this site, which html/template wrote.
	const answer = "  fresh.innerHTML = html\n"
	dangerous := regexp.MustCompile(`\beval\(|new Function|(inner|outer)HTML\s*\+?=[^=]|insertAdjacentHTML|document\.write|` +
		`localStorage|sessionStorage|indexedDB|document\.cookie|\bcaches\.|__proto__|\w\[[^'"\]]+\]\s*=[^=>]|javascript:`)
	scripts, err := filepath.Glob("*.js")
	if err != nil || len(scripts) < 5 {
		t.Fatalf("the scripts are %v: %v", scripts, err)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script) // #nosec G304 -- a file of the repository
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.Replace(string(text), answer, "", 1)) {
			if found := dangerous.FindString(line); found != "" {
				t.Errorf("%s has %q: %s", script, found, strings.TrimSpace(line))
			}
		}
	}
}
