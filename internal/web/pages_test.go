package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// pages lists for every route the visits that test it: the visitor and the address. "maria"
// has sent much, "noel" has sent nothing, "rae" has few permissions, "reader" is a portal
// user, and "signed-out" is not signed in. An entry that begins with "-" is not a page of its own
// but a part of one, a file, or a redirect.
var pages = map[string][]string{
	"GET /{$}":                  {"-signed-out /", "-maria /"},
	"GET /sign-in":              {"signed-out /sign-in", "signed-out /sign-in?expired=1"},
	"GET /sign-in/code":         {"-signed-out /sign-in/code"},                                                                                       // shown in package account's browser test
	"GET /sign-in/organisation": {"-signed-out /sign-in/organisation"}, "GET /sign-in/organisation/back": {"-signed-out /sign-in/organisation/back"}, // shown in package signin's browser tests
	"GET /portal/sign-in/code": {"-signed-out /portal/sign-in/code"}, // shown in package factors' browser test
	"GET /account":             {"maria /account"},
	// What needs a factor or a passkey is shown in package factors' browser tests.
	"GET /account/second-factor": {"noel /account/second-factor"}, "GET /account/second-factor/recovery": {"maria /account/second-factor/recovery"},
	"GET /account/second-factor/passkey":            {"-maria /account/second-factor/passkey"},
	"GET /account/second-factor/{id}/remove":        {"-maria /account/second-factor/0197aaaa-0000-7000-8000-000000000001/remove"},
	"GET /portal/account/second-factor":             {"-reader /portal/account/second-factor"},
	"GET /portal/account/second-factor/recovery":    {"reader /portal/account/second-factor/recovery"},
	"GET /portal/account/second-factor/passkey":     {"-reader /portal/account/second-factor/passkey"},
	"GET /portal/account/second-factor/{id}/remove": {"-reader /portal/account/second-factor/0197aaaa-0000-7000-8000-000000000001/remove"},
	"GET /account/unlink":                           {"maria /account/unlink"},
	"GET /account/tokens":                           {"maria /account/tokens", "noel /account/tokens", "rae /account/tokens"},
	"GET /account/sessions":                         {"maria /account/sessions"},
	"GET /portal/sign-in":                           {"signed-out /portal/sign-in", "signed-out /portal/sign-in?expired=1"},
	"GET /portal/forgotten":                         {"signed-out /portal/forgotten"}, "GET /portal/forgotten/sent": {"signed-out /portal/forgotten/sent"},
	"GET /stop/{token}":      {"signed-out /stop/unknown", "signed-out {stop}"},
	"GET /portal/invitation": {"signed-out /portal/invitation"},
	"GET /portal/letter":     {"signed-out /portal/letter"},
	"GET /forgotten":         {"signed-out /forgotten"}, "GET /forgotten/sent": {"signed-out /forgotten/sent"},
	"GET /sign-in/link":     {"signed-out /sign-in/link"},
	"GET /account/password": {"maria /account/password", "noel /account/password"},
	"/":                     {"signed-out /nowhere", "maria /nowhere"},
	"/portal/":              {"signed-out /portal/nowhere", "reader /portal/nowhere"},

	"GET /search": {"maria /search", "maria /search?q=care", "maria /search?q=zebra"},

	"GET /record/receipts/{message}/{portal_user}": {"maria /record/receipts/{sent}/ingrid-berg", "maria /record/receipts/{sent}/unknown"},

	"GET /record/receipts/{message}/{portal_user}/disclose": {"maria /record/receipts/{sent}/ingrid-berg/disclose"},

	"GET /messages":      {"maria /messages", "noel /messages", "maria /messages?q=care", "maria /messages?q=zebra"},
	"GET /messages/bcc":  {"maria /messages/bcc", "noel /messages/bcc"},
	"GET /messages/{id}": {"maria /messages/{sent}", "maria /messages/{everybody}", "maria /messages/{scheduled}", "maria /messages/{recalled}", "maria /messages/{erased}", "noel /messages/{everybody}"},
	"GET /messages/{id}/{part}": {"maria /messages/{everybody}/recipients", "maria /messages/{everybody}/recipients?opened=true", "maria /messages/{sent}/recall",
		"-maria /messages/{sent}/recipients.csv", "-maria /messages/{sent}/progress"},

	"GET /notices":                {"maria /notices", "maria /notices?unread=on", "maria /notices?before=1", "noel /notices"},
	"GET /worklists/unread":       {"maria /worklists/unread", "maria /worklists/unread?days=0", "maria /worklists/unread?days=many", "noel /worklists/unread"},
	"GET /operations":             {"maria /operations"},
	"GET /operations/messages":    {"maria /operations/messages", "maria /operations/messages?from=2020-01-01T00:00:00Z&to=2020-01-01T01:00:00Z"},
	"GET /operations/parked":      {"maria /operations/parked", "maria /operations/parked?consumer=recorder"},
	"GET /operations/parked/{id}": {"maria /operations/parked/{parked}"},
	"GET /worklists/no-email":     {"maria /worklists/no-email", "rae /worklists/no-email", "maria /worklists/no-email?after=2000000000"},

	"GET /messages/compose":                {"maria /messages/compose", "rae /messages/compose"},
	"GET /messages/wordings":               {"maria /messages/wordings", "noel /messages/wordings"},
	"GET /messages/wordings/new":           {"maria /messages/wordings/new", "maria /messages/wordings/new?draft={draft}"},
	"GET /messages/wordings/{id}":          {"-maria /messages/wordings/00000000-0000-0000-0000-000000000000"},
	"GET /messages/drafts":                 {"maria /messages/drafts", "noel /messages/drafts"},
	"GET /messages/drafts/{id}":            {"maria /messages/drafts/{draft}"},
	"GET /messages/drafts/{id}/check":      {"maria /messages/drafts/{draft}/check"},
	"GET /messages/drafts/{id}/recipients": {"maria /messages/drafts/{draft}/recipients"},
	"GET /messages/drafts/{id}/letters":    {"maria /messages/drafts/{draft}/letters"}, "GET /messages/drafts/{id}/letters.csv": {"-maria /messages/drafts/{draft}/letters.csv"},
	"GET /messages/drafts/{id}/delete":   {"maria /messages/drafts/{draft}/delete"},
	"GET /messages/groups/{group}/count": {"-maria /messages/groups/active_patients/count"},

	"GET /operations/replays":               {"maria /operations/replays"},
	"GET /operations/replays/new":           {"maria /operations/replays/new", "maria /operations/replays/new?message={sent}"},
	"GET /operations/replays/{id}":          {"maria /operations/replays/{replay}"},
	"GET /operations/replays/{id}/progress": {"-maria /operations/replays/{replay}/progress"},

	"GET /portal":               {"reader /portal", "reader /portal?unread=on"},
	"GET /portal/messages/{id}": {"reader /portal/messages/{sent}", "reader /portal/messages/{recalled}", "reader /portal/messages/{erased}"},
	"GET /portal/frame":         {"-reader /portal/frame"},
	"GET /portal/messages/{id}/documents/{document}/pdf": {"-reader /portal/messages/{sent}/documents/{sent-document}/pdf"},
	"GET /portal/help":                                        {"reader /portal/help"},
	"GET /portal/messages/{id}/receipt":                       {"reader /portal/messages/{sent}/receipt", "reader /portal/messages/{erased}/receipt"},
	"GET /portal/account":                                     {"reader /portal/account"},
	"GET /portal/account/sessions":                            {"reader /portal/account/sessions"},
	"GET /portal/messages/{id}/documents/{document}":          {"reader /portal/messages/{sent}/documents/{sent-document}"},
	"GET /portal/messages/{id}/documents/{document}/show":     {"reader /portal/messages/{sent}/documents/{sent-document}/show"},
	"GET /portal/messages/{id}/documents/{document}/picture":  {"-reader /portal/messages/{sent}/documents/{sent-document}/picture"},
	"GET /portal/messages/{id}/documents/{document}/download": {"-reader /portal/messages/{sent}/documents/{sent-document}/download"},

	"GET /record":                               {"maria /record", "maria /record?type=message.recalled", "maria /record?until=2001-01-01", "maria /record?order=oldest&patient=amina-diallo", "noel /record?actor=x", "noel /record?from=x"},
	"GET /record/state":                         {"-maria /record/state"},
	"GET /record/{seq}":                         {"maria /record/1", "maria /record/20"},
	"GET /record/messages/{id}":                 {"maria /record/messages/{everybody}", "maria /record/messages/{erased}"},
	"GET /record/messages/{id}/why":             {"maria /record/messages/{everybody}/why", "maria /record/messages/{everybody}/why?portal-user=ingrid-berg", "maria /record/messages/{everybody}/why?portal-user=victor-closed", "maria /record/messages/{everybody}/why?portal-user=nobody"},
	"GET /record/portal-users/{id}":             {"maria /record/portal-users/ingrid-berg", "maria /record/portal-users/victor-closed", "maria /record/portal-users/ingrid-berg?show=not_opened&until=2001-01-01", "maria /record/portal-users/ingrid-berg?from=x", "noel /record/portal-users/ingrid-berg?show=not_sent"},
	"GET /record/portal-users/{id}/disclosures": {"maria /record/portal-users/ingrid-berg/disclosures", "maria /record/portal-users/victor-closed/disclosures"},
	"GET /record/patients/{id}":                 {"maria /record/patients/amina-diallo"},
	"GET /record/patients/{id}/disclosures":     {"maria /record/patients/amina-diallo/disclosures", "maria /record/patients/amina-diallo/disclosures?from=x"},
	"GET /record/erasures":                      {"maria /record/erasures"},
	"GET /record/erasures/new":                  {"maria /record/erasures/new"},
	"GET /record/erasures/{id}":                 {"maria /record/erasures/{erasure}", "noel /record/erasures/{erasure}", "maria /record/erasures/{erasure-done}"},

	"GET /emergency":                           {"maria /emergency", "noel /emergency?message={sent}"},
	"GET /emergency/{id}":                      {"maria /emergency/{opening}", "noel /emergency/{opening}", "noel /emergency/{opening-ended}", "maria /emergency/{opening-reviewed}"},
	"GET /emergency/{id}/read":                 {"maria /emergency/{opening}/read", "maria /emergency/{opening-of-patient}/read", "maria /emergency/{opening-of-erased}/read"},
	"GET /emergency/{id}/documents/{document}": {"-maria /emergency/{opening}/documents/{sent-document}"},

	"GET /administration/staff":             {"maria /administration/staff"},
	"GET /administration/staff/new":         {"maria /administration/staff/new"},
	"GET /administration/staff/{id}":        {"maria /administration/staff/{staff}"},
	"GET /administration/staff/{id}/change": {"maria /administration/staff/{staff}/change"},
	"GET /administration/grants":            {"maria /administration/grants", "noel /administration/grants"},
	"GET /administration/clinic":            {"maria /administration/clinic"},
	"GET /clinic/logo":                      {"-reader /clinic/logo"},
	"GET /clinic/style.css":                 {"-reader /clinic/style.css"},
	"GET /administration/labels":            {"maria /administration/labels", "rae /administration/labels"},
	"GET /directory/invitations":            {"maria /directory/invitations"},
	"GET /directory/invitations/new":        {"maria /directory/invitations/new"},
	"GET /directory/invitations/{id}":       {"maria /directory/invitations/{invitations}", "maria /directory/invitations/{invited}"},
	"GET /directory/import":                 {"maria /directory/import", "noel /directory/import"},
	"GET /directory/import/{id}":            {"maria /directory/import/{import}"},
	"GET /directory/portal-users":           {"maria /directory/portal-users", "maria /directory/portal-users?q=berg", "maria /directory/portal-users?q=zebra"},
	"GET /directory/portal-users/{id}":      {"maria /directory/portal-users/ingrid-berg", "maria /directory/portal-users/victor-closed"},
	"GET /directory/patients":               {"maria /directory/patients", "maria /directory/patients?q=zebra"},
	"GET /directory/patients/{id}":          {"maria /directory/patients/arthur-pell"},
}

// Every page is accessible in each of its states: wide, narrow and dark. Whoever is signed in can
// sign out on it. A new route without a row in the table fails.
func TestEveryPage(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	known := map[string]bool{}
	for _, route := range c.Web.Pages.Routes() {
		if strings.HasPrefix(route.Pattern, http.MethodPost) {
			continue
		}
		known[route.Pattern] = true
		if len(pages[route.Pattern]) == 0 {
			t.Errorf("%s has no row in the table: add a visit", route.Pattern)
		}
	}
	visits := map[string][]string{} // by whom
	for pattern, row := range pages {
		if !known[pattern] {
			t.Errorf("the table names %s, which is not a route", pattern)
		}
		for _, visit := range row {
			who, path, _ := strings.Cut(visit, " ")
			path = c.at(t, path)
			matches(t, pattern, path)
			visits[who] = append(visits[who], path)
		}
	}
	for who, paths := range visits {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			name, part := strings.CutPrefix(who, "-")
			v := c.visitor(t, name)
			for _, path := range paths {
				got := v.Get(path)
				if got.Status >= 500 || !part && got.URL.RequestURI() != path {
					t.Errorf("%s redirects to %s: %d", path, got.URL.Path, got.Status)
				}
				secure(t, path, got.Header)
				if signsOut := strings.Contains(got.Body, `sign-out"`); !part && signsOut != (name != "signed-out") {
					t.Errorf("%s of %s leads to sign-out: %t", path, name, signsOut)
				}
			}
			if part {
				return
			}
			b := c.browser(t, name)
			for _, path := range paths {
				b.Open(path)
				b.AccessibleInAllViews()
			}
		})
	}
}

// matches checks that an address belongs to its row's route.
func matches(t *testing.T, pattern, path string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(pattern, http.NotFoundHandler())
	if _, got := mux.Handler(httptest.NewRequest(http.MethodGet, path, nil)); got != pattern {
		t.Errorf("%s is not an address of %s", path, pattern)
	}
}

// secure checks the headers that every page, part and file has.
func secure(t *testing.T, path string, h http.Header) {
	t.Helper()
	if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("%s has the policy %q", path, csp)
	}
	framed := "DENY"
	if path == "/portal/frame" { // by our own pages
		framed = "SAMEORIGIN"
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": framed, "Cache-Control": "no-store"} {
		if got := h.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s has %s %q, want %q", path, name, got, want)
		}
	}
}
