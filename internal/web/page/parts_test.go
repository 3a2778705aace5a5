package page_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/web/page"
	"postern/internal/web/static"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// withParts is the site with one more page, which shows every shared template. A POST to it
// gives errors in two fields.
func withParts(t *testing.T) *webtest.Site {
	t.Helper()
	s := *webtest.New(t)
	renderer := s.Web.Renderer
	set := page.Templates(os.DirFS("testdata"))
	show := func(errors page.Errors) page.Handler {
		return func(w http.ResponseWriter, r *http.Request) error {
			return renderer.Render(w, r, set, page.View{Template: "parts.html", Title: "Parts", Section: "messages", Errors: errors})
		}
	}
	mux := http.NewServeMux()
	renderer.Mount(mux,
		page.Route{Pattern: "GET /parts", Realm: policy.RealmStaff, Actions: page.May(policy.Search), Handle: show(nil)},
		page.Route{Pattern: "POST /parts", Realm: policy.RealmStaff, Actions: page.May(policy.Search), Handle: show(page.Errors{
			{Field: "subject", Message: "Write a subject"}, {Field: "message", Message: "Write a message"}})})
	mux.HandleFunc("GET "+static.Prefix, static.ServeHTTP)
	mux.Handle("/", s.Pages)
	server := httptest.NewServer(renderer.Protect(mux))
	t.Cleanup(server.Close)
	s.Base = server.URL
	return &s
}

// All shared templates are accessible: wide, narrow, dark, and with errors.
func TestPartsOfPages(t *testing.T) {
	t.Parallel()
	s := withParts(t)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(s.NewStaff(t, "Sam Staff", policy.SendPortalMessage, policy.ManageLabels, policy.ManageStaff))
	b.Open("/parts")
	b.AccessibleInAllViews()
	b.Screenshot("parts")
	b.Dark()
	b.Screenshot("parts-dark")
	b.Light()
	b.Narrow()
	b.Screenshot("parts-narrow")
	b.Wide()
	b.Click("Compose")
	b.Sees("Patient Portal Message")
	b.Accessible()
	b.Screenshot("menu")
	b.Press("Escape")
	b.SeesNot("Patient Portal Message")
	b.Click("Save")
	b.Sees("There is a problem", "Write a subject")
	b.Focuses(".govuk-error-summary")
	b.AccessibleInAllViews()
	b.Screenshot("parts-wrong")
	b.Click("Write a subject")
	b.Focuses("Subject")
	b.Print()
	b.SeesNot("Global Search")
	b.Screenshot("parts-paper")
}
