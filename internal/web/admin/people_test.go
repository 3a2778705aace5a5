package admin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/directory/imports"
	"postern/internal/notify/sendgridfake"
	"postern/internal/web/webtest"
)

// imported fills the directory of a site from CSV: name, content, name, content…
func imported(t *testing.T, s *webtest.Site, namesAndContents ...string) {
	t.Helper()
	var files []imports.File
	for i := 0; i < len(namesAndContents); i += 2 {
		files = append(files, imports.File{Name: namesAndContents[i], Content: strings.NewReader(namesAndContents[i+1])})
	}
	if _, err := imports.CSV(t.Context(), s.Pool, files, imports.Options{}); err != nil {
		t.Fatal(err)
	}
}

const (
	patientsHeader    = "patient_id,given_name,family_name,birth_date,status,deceased\n"
	portalUsersHeader = "portal_user_id,name,email,active\n"
	linksHeader       = "portal_user_id,patient_id,relationship,from,until\n"
)

// Story 9: an administrator finds a portal user by the name of the patient whom they
// represent, and goes from one to the other and back.
func TestBrowseTheDirectory(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	imported(t, s,
		"patients.csv", patientsHeader+"pt-1,Tom,Sawyer,1980-02-29,active,false\npt-2,Huck,Finn,,discharged,true\n",
		"portal_users.csv", portalUsersHeader+"polly,Aunt Polly,polly@example.org,true\njim,Jim,,false\n",
		"links.csv", linksHeader+"polly,pt-1,representative,2020-01-01,\npolly,pt-2,representative,,2021-12-31\njim,pt-2,self,2999-01-01,\n")
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)

	v.Get("/directory/portal-users").Is(http.StatusOK).
		Says("Portal Users", "Aunt Polly", "polly@example.org", "Active", "Not active", "None",
			"Tom Sawyer: Authorized Representative, since 1 January 2020", "Huck Finn: Authorized Representative, ended on 31 December 2021",
			"Huck Finn: Self, begins on 1 January 2999")
	v.Get("/directory/portal-users?q=sawyer").Says("Portal Users for “sawyer”", "Aunt Polly").LacksHTML("Jim")
	v.Get("/directory/portal-users?q=unknown").Says("No portal user matches that search.")
	v.Get("/directory/portal-users?cursor=wrong&q=jim").Is(http.StatusOK).Says("Jim").LacksHTML("Aunt Polly")
	v.Get("/directory/patients").Is(http.StatusOK).Says("Tom Sawyer", "29 February 1980", "Active", "Huck Finn", "Not known", "Discharged", "Deceased",
		"Aunt Polly: Authorized Representative, since 1 January 2020")
	v.Get("/directory/patients?q=PT-2").Says("Huck Finn").LacksHTML("Sawyer")

	polly := v.Get("/directory/portal-users/polly").Is(http.StatusOK).
		Says("Portal User", "Aunt Polly", "polly@example.org", "None yet", "Password link None active", "Tom Sawyer", "pt-2", "ended on 31 December 2021", "Deceased").
		HasHTML(`href="/directory/patients/pt-1"`)
	if title := between(polly.Body, "<title>", "</title>"); title != "Portal User – Postern" {
		t.Errorf("the title is %q: it is kept in the browser's history", title)
	}
	v.Get("/directory/patients/pt-1").Is(http.StatusOK).Says("Patient", "Tom Sawyer", "29 February 1980").HasHTML(`href="/directory/portal-users/polly"`)
	v.Get("/directory/portal-users/unknown").Is(http.StatusNotFound)
	v.Get("/directory/patients/unknown").Is(http.StatusNotFound)
}

// A portal user's page shows the state of the account: invited, or with a password.
func TestAnAccountsState(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ana")
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	if _, err := s.Web.Gate.Invite(t.Context(), "operator:test", "ana"); err != nil {
		t.Fatal(err)
	}
	v.Get("/directory/portal-users/ana").Says("Password None yet", "Password link Active until")
	s.Clock.Advance(8 * 24 * time.Hour)
	v.Get("/directory/portal-users/ana").Says("Password link None active")
	if err := s.Web.Gate.SetPortalPassword(t.Context(), "operator:test", "ana", webtest.Password); err != nil {
		t.Fatal(err)
	}
	v.Get("/directory/portal-users/ana").Says("Password Set on")
}

// An invitation is sent by e-mail. If that is impossible, the page says why and has no
// button.
func TestSendAnInvitation(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ana")
	imported(t, s, "u.csv", portalUsersHeader+"noaddress,No Address,,true\ninactive,In Active,in@example.org,false\n")
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	v.Get("/directory/portal-users/ana").Says("Send invitation", "Password link None active")
	v.Post("/directory/portal-users/ana/invitation", nil).Is(http.StatusOK).Says("The e-mail with the link is on its way.", "Password link Active until")
	if s.Mails.Count() != 1 || s.Mails.ByAddress("ana@example.org") != 1 {
		t.Errorf("%d mails are sent, %d to ana", s.Mails.Count(), s.Mails.ByAddress("ana@example.org"))
	}
	s.Mails.Queue(sendgridfake.Fail(http.StatusServiceUnavailable))
	v.Post("/directory/portal-users/ana/invitation", nil).Is(http.StatusUnprocessableEntity).
		Says("The e-mail could not be sent").HasHTML(`href="#invite"`)
	if err := s.Web.Gate.SetPortalPassword(t.Context(), "operator:test", "ana", webtest.Password); err != nil {
		t.Fatal(err)
	}
	v.Get("/directory/portal-users/ana").Says("Send a link for a new password", "within 24 hours")
	s.System.PortalUser(t, "bounced")
	s.Exec(t, `INSERT INTO record.dead_addresses (portal_user_no, address_version, since, reason, report_id)
		SELECT portal_user_no, email_version, now(), '550 no such mailbox', 'r1' FROM app.portal_users WHERE portal_user_id = 'bounced'`)
	for id, says := range map[string]string{"noaddress": "there is no e-mail address", "bounced": "the e-mail address does not work", "inactive": "the account is not active"} {
		v.Get("/directory/portal-users/" + id).Says(says).LacksHTML(id + "/invitation")
		v.Post("/directory/portal-users/"+id+"/invitation", nil).Is(http.StatusOK).Says(says)
	}
	v.Post("/directory/portal-users/unknown/invitation", nil).Is(http.StatusNotFound)
	s.Staff(t, "Sam Sender", policy.SendPortalMessage).Post("/directory/portal-users/ana/invitation", nil).Is(http.StatusForbidden)
}

// A long list has pages. The links of a person with many links are on the person's page.
func TestManyPeople(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	var patients, users, links strings.Builder
	for i := range 120 {
		fmt.Fprintf(&patients, "pt-%03d,Many,Patient%03d,,active,false\n", i, i)
		fmt.Fprintf(&users, "pu-%03d,Many User%03d,,true\n", i, i)
		fmt.Fprintf(&links, "pu-000,pt-%03d,representative,,\n", i)
	}
	imported(t, s, "p.csv", patientsHeader+patients.String(), "u.csv", portalUsersHeader+users.String(), "l.csv", linksHeader+links.String())
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	for _, list := range []struct{ path, one string }{{"/directory/portal-users?q=many", "User"}, {"/directory/patients?q=many", "Patient"}} {
		page := v.Get(list.path).Is(http.StatusOK).Says("Many "+list.one+"000", "Many "+list.one+"049", "Next page").LacksHTML("First page")
		for range 2 {
			page = v.Get(strings.ReplaceAll(between(page.Body[strings.Index(page.Body, "govuk-pagination__next"):], `href="`, `"`), "&amp;", "&"))
		}
		page.Is(http.StatusOK).Says("Many "+list.one+"119", "First page").LacksHTML("Next page", list.one+"000<")
	}
	v.Get("/directory/portal-users").Says("and 117 more")
	v.Get("/directory/portal-users/pu-000").Says("Many Patient119").LacksHTML("more")
}

// An empty directory says what to do.
func TestAnEmptyDirectory(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	v.Get("/directory/portal-users").Says("No portal users yet. Import them.").HasHTML(`href="/directory/import"`)
	v.Get("/directory/patients").Says("No patients yet. Import them.")
}

// Staff who send messages can open a portal user, but not the rest of the directory.
func TestSendersSeeOnlyPortalUsers(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ana")
	v := s.Staff(t, "Sam Sender", policy.SendPortalMessage)
	v.Get("/directory/portal-users/ana").Is(http.StatusOK).Says("Name of ana", "Given Family").LacksHTML("/directory/patients", "Administration", "Password")
	v.Get("/directory/portal-users").Is(http.StatusForbidden)
	v.Get("/directory/patients").Is(http.StatusForbidden)
	v.Get("/directory/patients/pt-ana").Is(http.StatusForbidden)
	s.Staff(t, "Plain").Get("/directory/portal-users/ana").Is(http.StatusForbidden)
}
