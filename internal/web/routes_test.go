package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/labels"
	"postern/internal/navigation"
	"postern/internal/web/webtest"
)

// open lists the addresses that name no action: they need no sign-in.
var open = []string{
	"/", // a 404 page, on which a signed-in reader keeps the menu
	"/portal/",
	"GET /clinic/logo", "GET /clinic/style.css", // of the pages that need no sign-in, too
	"GET /forgotten",
	"GET /forgotten/sent",
	"GET /portal/help",
	"GET /portal/forgotten",
	"GET /portal/forgotten/sent",
	"GET /portal/letter",
	"GET /portal/invitation",
	"GET /portal/sign-in",
	"GET /sign-in",
	"GET /sign-in/code",
	"GET /sign-in/link",
	"GET /sign-in/organisation",
	"GET /sign-in/organisation/back",
	"GET /stop/{token}", "POST /stop/{token}", // opened by the link in an alert, without signing in
	"GET /{$}",
	"POST /forgotten",
	"POST /portal/forgotten",
	"POST /portal/letter",
	"POST /portal/invitation",
	"POST /portal/sign-in",
	"POST /portal/sign-out",
	"POST /portal/language", "POST /language",
	"POST /sign-in",
	"POST /sign-in/code",
	"POST /sign-in/link",
	"POST /sign-out",
	// The second factor after the password, and a passkey alone.
	"GET /portal/sign-in/code", "POST /portal/sign-in/code", "POST /portal/sign-in/code/passkey", "POST /portal/sign-in/passkey", "POST /portal/sign-in/passkey/confirm",
	"POST /sign-in/code/passkey", "POST /sign-in/passkey", "POST /sign-in/passkey/confirm",
}

// openOperations lists the operations of the API that name no action.
var openOperations = []string{
	"DELETE /v1/portal/session",
	"DELETE /v1/session",
	"GET /v1/record/checkpoint", // of it everyone gets a digest, if the clinic allows it
	"GET /v1/record/key",        // for everyone who has a receipt
	"POST /v1/portal/session",
	"POST /v1/session",
	"POST /webhooks/sendgrid",
}

// Every page names the actions that it needs or is listed as open. The same holds for
// the operations of the API.
func TestEveryRouteNamesAnAction(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	var got []string
	for _, route := range s.Web.Pages.Routes() {
		if len(route.Actions) == 0 {
			got = append(got, route.Pattern)
		}
	}
	slices.Sort(got)
	slices.Sort(open)
	if diff := cmp.Diff(open, got); diff != "" {
		t.Errorf("pages without an action (-listed +found):\n%s", diff)
	}
	got = nil
	for pattern, operation := range described(t, s) {
		if len(operation.Security) == 0 {
			got = append(got, pattern)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(openOperations, got); diff != "" {
		t.Errorf("operations without an action (-listed +found):\n%s", diff)
	}
}

// An API token, whatever it permits, is refused wherever a session is needed; and every address
// below one's own account, tokens and sessions that changes something needs one.
func TestATokenIsRefusedWhereASessionIsNeeded(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	sam := s.NewStaff(t, "Sam Staff", policy.All...)
	_, token, err := s.Web.Gate.CreateToken(t.Context(), "operator:test", sam.ID, access.NewToken{Name: "everything"})
	if err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{} // by route
	for _, route := range s.Web.Pages.Routes() {
		if route.Realm == policy.RealmStaff && len(route.Actions) > 0 {
			needed[route.Pattern] = policy.NeedsSession(route.Actions...)
		}
	}
	for pattern, operation := range described(t, s) {
		if len(operation.Security) > 0 && operation.Security[0]["portal"] == nil {
			needed[pattern] = operation.Security[0]["token"] == nil
		}
	}
	tried := 0
	for pattern, session := range needed {
		method, path, _ := strings.Cut(pattern, " ")
		own := slices.ContainsFunc([]string{"/account", "/v1/tokens", "/v1/sessions", "/v1/session/"}, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
		if own && !session && !(method == http.MethodGet && strings.HasPrefix(path, "/v1/")) {
			t.Errorf("%s needs no session", pattern)
		}
		if !session {
			continue
		}
		tried++
		r := httptest.NewRequest(method, regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, uuid.NewString()), nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.Handler.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "You have to sign in for that") {
			t.Errorf("%s is answered with %d: %.300s", pattern, w.Code, w.Body)
		}
	}
	if tried < 15 {
		t.Errorf("only %d routes need a session", tried)
	}
}

// A reader can open every page of their menus, and every menu item leads to a page.
func TestMenusLeadToPagesThatOpen(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	needs := map[string][]policy.Action{}
	for _, route := range s.Web.Pages.Routes() {
		needs[route.Pattern] = route.Actions
	}
	subjects := []policy.Subject{{Realm: policy.RealmPortalUser}, {Realm: policy.RealmStaff}, {Realm: policy.RealmStaff, FactorDue: true}}
	for _, p := range policy.All {
		subjects = append(subjects, policy.Subject{Realm: policy.RealmStaff, Permissions: []policy.Permission{p}})
	}
	for _, subject := range subjects {
		allowed := navigation.Allowed(subject, labels.Default())
		if len(allowed) == 0 {
			t.Errorf("%+v has no page in any menu", subject)
		}
		for _, d := range allowed {
			actions, known := needs["GET "+d.Href]
			if !known {
				t.Errorf("a menu leads to %s, which is not a page", d.Href)
			}
			if !slices.ContainsFunc(actions, func(a policy.Action) bool { return policy.Allow(subject, a) == nil }) {
				t.Errorf("%s is in a menu of %v, who may not open it", d.Href, subject.Permissions)
			}
		}
	}
}

// operation is an operation in the description of the API.
type operation struct {
	Description string
	Security    []map[string]any
}

// described returns the operations of the API by method and path.
func described(t *testing.T, s *webtest.Site) map[string]operation {
	t.Helper()
	res, err := http.Get(s.Base + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var description struct {
		Paths map[string]map[string]operation
	}
	if err := json.NewDecoder(res.Body).Decode(&description); err != nil {
		t.Fatal(err)
	}
	all := map[string]operation{}
	for path, methods := range description.Paths {
		for method, op := range methods {
			all[strings.ToUpper(method)+" "+path] = op
		}
	}
	return all
}
