package page_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/web/page"
	"postern/internal/web/static"
	"postern/internal/web/webtest"
)

// On every failure, a signed-in reader keeps the navigation and reads what to do next.
func TestFailuresKeepTheNavigation(t *testing.T) {
	t.Parallel()
	s := *webtest.New(t)
	renderer := s.Web.Renderer
	mux := http.NewServeMux()
	for pattern, err := range map[string]error{
		"/broken": errors.New("a wire came off"), "/away": context.DeadlineExceeded,
		"/forbidden": policy.Forbidden{Action: policy.SendToGroup, Missing: policy.SendBulkPortalMessage}} {
		renderer.Mount(mux, page.Route{Pattern: pattern, Realm: policy.RealmStaff, Handle: func(http.ResponseWriter, *http.Request) error { return err }})
	}
	renderer.Mount(mux, page.Route{Pattern: "/panic", Realm: policy.RealmStaff, Handle: func(http.ResponseWriter, *http.Request) error { panic("a wire came off") }})
	mux.HandleFunc("GET "+static.Prefix, static.ServeHTTP)
	mux.Handle("/", s.Pages)
	server := httptest.NewServer(renderer.Protect(mux))
	t.Cleanup(server.Close)
	s.Base = server.URL

	sam := s.Staff(t, "Sam Staff", policy.SendPortalMessage)
	in := []string{"Sam Staff", "Patient Portal Message", "Sign out"}
	sam.Get("/nowhere").Is(http.StatusNotFound).Says(in...).Says("Page not found", "use Global Search")
	sam.Get("/messages/nothing").Is(http.StatusNotFound).Says(in...).Says("use Global Search")
	sam.Get("/forbidden").Is(http.StatusForbidden).Says(in...).Says("the permission “Send Bulk Portal Message”", "Staff › Staff Info › System Permissions").LacksHTML("send_to_group")
	for _, path := range []string{"/broken", "/panic"} {
		sam.Get(path).Is(http.StatusInternalServerError).Says(in...).Says("Try again", "urn:uuid:").HasHTML(`href="` + path + `"`).LacksHTML("a wire")
		sam.Post(path, nil).Is(http.StatusInternalServerError).Says(in...).Says("send the form again").LacksHTML(`href="` + path + `"`)
	}
	sam.Get("/away").Is(http.StatusServiceUnavailable).Says(in...).Says("Try again in a moment").HasHTML(`href="/away"`)

	s.PortalUser(t, "ada").Get("/portal/nowhere").Is(http.StatusNotFound).Says("Name of ada", "Account", "Go to your messages")
	s.SignedOut(t).Get("/nowhere").Is(http.StatusNotFound).Says("Go to the first page").LacksHTML("Sign out")

	// If the session can't be read either, the answer is still a page; a script gets a
	// format that it can read.
	s.Pool.Close()
	sam.Get("/messages").Is(http.StatusServiceUnavailable).Says("The service is not available right now", "Nothing is lost", "Try again").HasHTML("<h1", `href="/messages"`)
	if got := sam.Fragment("/messages").Is(http.StatusServiceUnavailable).Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("a script is answered with %s", got)
	}
}
