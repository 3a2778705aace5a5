package sendgridfake

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
)

func getMailbox(t *testing.T, f *Fake, url string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	f.Mailbox().ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d", w.Code)
	}
	return w
}

var shownTo = regexp.MustCompile(`<dt>To</dt><dd>([^<]*)</dd>`)

func recipients(w *httptest.ResponseRecorder) []string {
	var all []string
	for _, m := range shownTo.FindAllStringSubmatch(w.Body.String(), -1) {
		all = append(all, m[1])
	}
	return all
}

func TestAnEmptyMailboxSaysWhatToDo(t *testing.T) {
	if page := getMailbox(t, New(Config{}), "/demo/mailbox").Body.String(); !strings.Contains(page, "No e-mail yet. ") {
		t.Error(page)
	}
}

func TestTheMailboxShowsTheNewestFirstWithFiftyOnAPage(t *testing.T) {
	f := New(Config{Now: func() time.Time { return time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC) }})
	for i := range 30 {
		post(t, f, body(each(4, func(j int) string { return to(fmt.Sprintf("u%d@example.org", i*4+j)) })))
	}
	for _, tt := range []struct {
		url         string
		first, last int
		newer       string
		older       string
	}{
		{"/demo/mailbox", 119, 70, "", "?page=2"},
		{"/demo/mailbox?page=2", 69, 20, "?page=1", "?page=3"},
		{"/demo/mailbox?page=3", 19, 0, "?page=2", ""},
		{"/demo/mailbox?page=99", 19, 0, "?page=2", ""},
		{"/demo/mailbox?page=-1", 119, 70, "", "?page=2"},
	} {
		w := getMailbox(t, f, tt.url)
		all := recipients(w)
		if len(all) != tt.first-tt.last+1 || all[0] != fmt.Sprintf("u%d@example.org", tt.first) || all[len(all)-1] != fmt.Sprintf("u%d@example.org", tt.last) {
			t.Errorf("%s shows %v", tt.url, all)
		}
		page := w.Body.String()
		if strings.Contains(page, `rel="prev" href="`+tt.newer+`"`) != (tt.newer != "") || strings.Contains(page, `rel="next" href="`+tt.older+`"`) != (tt.older != "") {
			t.Errorf("%s has the wrong links", tt.url)
		}
		if !strings.Contains(page, `<time datetime="2026-03-01T12:30:00Z">1 March 2026, 12:30:00 UTC</time>`) {
			t.Errorf("%s lacks the time", tt.url)
		}
	}
}

func TestTheMailboxEscapesMails(t *testing.T) {
	f := New(Config{})
	text := strings.NewReplacer("Hello", `<script>x</script>`, `"plain"`, `"<b onclick=x> https://portal.example/?a=1&b=2 javascript:x"`).Replace(body(to("jo@example.org")))
	if w := post(t, f, text); w.Code != http.StatusAccepted {
		t.Fatal(w.Body)
	}
	w := getMailbox(t, f, "/")
	page := w.Body.String()
	for _, bad := range []string{"<script", "<b onclick", "style=", `href="javascript`} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %s", bad)
		}
	}
	if !strings.Contains(page, `href="https://portal.example/?a=1&amp;b=2"`) {
		t.Error("the page lacks the link")
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Error(csp)
	}
	wellFormed(t, page)
}

// wellFormed checks that the page's tags match.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta", "link"}, xml.HTMLEntity
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, page)
		}
	}
}

func TestTheMailboxServesItsOwnStylesheetAndOnlyReads(t *testing.T) {
	f := New(Config{})
	w := getMailbox(t, f, "/demo/mailbox?stylesheet=1")
	if got := w.Header().Get("Content-Type"); got != "text/css; charset=utf-8" || w.Body.Len() == 0 {
		t.Errorf("%s, %d bytes", got, w.Body.Len())
	}
	w = httptest.NewRecorder()
	f.Mailbox().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("%d", w.Code)
	}
}
