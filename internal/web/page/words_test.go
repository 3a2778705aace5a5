package page_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

// untimed matches the text about the end of the session.
var untimed = regexp.MustCompile(`You are signed in until <time.*?</time>`)

// Search words are not readable in the address of the results. Only the staff member who
// searched can open that address again.
func TestSearchWordsAreSealedInTheAddress(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "annika")
	sam := s.Staff(t, "Sam Staff", policy.SendPortalMessage, policy.ImportDirectory)
	for path, says := range map[string]string{
		"/search": "Name of ann", "/directory/portal-users": "Name of ann", "/directory/patients": "No patient matches that search", "/messages": "No message matches", "/messages/bcc": "No message matches"} {
		found := sam.Post(path, url.Values{"q": {"ann"}, "from": {"", "2026-01-01"}}).Is(http.StatusOK).Says(says).HasHTML(`value="ann"`)
		if found.URL.Path != path || strings.Contains(found.URL.RawQuery, "ann") || found.URL.Query().Get("words") == "" {
			t.Errorf("%s redirects to %s", path, found.URL)
		}
		if again := sam.Get(found.URL.RequestURI()); untimed.ReplaceAllString(again.Text(), "") != untimed.ReplaceAllString(found.Text(), "") {
			t.Errorf("%s is a different page when opened again: %s", path, again.Text())
		}
		s.Staff(t, "Eve Else"+path, policy.SendPortalMessage, policy.ImportDirectory).Get(found.URL.RequestURI()).Is(http.StatusOK).LacksHTML(`value="ann"`)
		if none := sam.Post(path, url.Values{"q": {""}}); none.URL.RequestURI() != path {
			t.Errorf("without words it redirects to %s", none.URL)
		}
	}
	sam.Get("/search?words=made-up").Is(http.StatusOK).Says("Type what you are looking for")
	sam.PostFragment("/search", url.Values{"q": {"ann"}}).Is(http.StatusOK).Says("Name of ann").LacksHTML("<html")
}
