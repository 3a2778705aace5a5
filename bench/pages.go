package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"time"

	"postern/internal/access/policy"
)

const (
	maxMedian = 100 * time.Millisecond // the most that a page may take at the median
	maxBytes  = 150_000                // the most that a page may have
	rounds    = 15
	warmUp    = 3
)

// pageRequest is a page and how it is requested.
type pageRequest struct {
	name, path string
	typed      string // posted as a form; "" means GET
	portal     bool   // requested by a portal user
	fragment   bool   // requested by htmx
}

// pages are all pages that list or search. {…} is replaced with a value of the clinic.
var pages = append([]pageRequest{
	{name: "Messages", path: "/messages"},
	{name: "Messages: half a year ago", path: "/messages?before={middle}"},
	{name: "Messages: sent", path: "/messages?status=sent"},
	{name: "Messages: scheduled", path: "/messages?status=scheduled"},
	{name: "Messages: recalled, in one month", path: "/messages?status=recalled&from={from}&until={until}"},
	{name: "Messages: on one day", path: "/messages?from={from}&until={from}"},
	{name: "Messages: search, often", path: "/messages?q=vaccine"},
	{name: "Messages: search, never", path: "/messages?q=nowhere"},
	{name: "Messages: search, recalled", path: "/messages?q=results&status=recalled"},
	{name: "Messages: all staff", path: "/messages?whose=everybody"},
	{name: "Messages: all staff, cancelled", path: "/messages?whose=everybody&status=cancelled"},
	{name: "Messages: all staff, sending", path: "/messages?whose=everybody&status=sending"},
	{name: "Messages: all staff, search", path: "/messages?whose=everybody&q=consent+surgery"},
	{name: "Bcc'd to me", path: "/messages/bcc"},
	{name: "Bcc'd to me: search", path: "/messages/bcc?q=nowhere"},
	{name: "Bcc'd to me: half a year ago", path: "/messages/bcc?until={from}"},
	{name: "A message to a few", path: "/messages/{small}"},
	{name: "A message to all portal users", path: "/messages/{blast}"},
	{name: "its progress", path: "/messages/{blast}/progress?seen=x", fragment: true},
	{name: "its recall", path: "/messages/{blast}/recall"},
	{name: "Recipients", path: "/messages/{blast}/recipients"},
	{name: "Recipients: half-way", path: "/messages/{blast}/recipients?after={half}"},
	{name: "Recipients: waiting", path: "/messages/{blast}/recipients?alert=pending"},
	{name: "Recipients: alerted", path: "/messages/{blast}/recipients?alert=accepted&after={half}"},
	{name: "Recipients: failed", path: "/messages/{blast}/recipients?alert=failed"},
	{name: "Recipients: skipped", path: "/messages/{blast}/recipients?alert=skipped&after={half}"},
	{name: "Recipients: unknown", path: "/messages/{blast}/recipients?alert=unknown"},
	{name: "Recipients: opened", path: "/messages/{blast}/recipients?opened=true&after={half}"},
	{name: "Recipients: not opened", path: "/messages/{blast}/recipients?opened=false"},
	{name: "Recipients: failed, opened", path: "/messages/{blast}/recipients?alert=failed&opened=true"},
	{name: "Recipients: alerted, not opened", path: "/messages/{blast}/recipients?alert=accepted&opened=false"},
	{name: "Recipients: rare name", path: "/messages/{blast}/recipients?q=J%C3%BCrgen+olserwick"},
	{name: "Recipients: common name", path: "/messages/{blast}/recipients?q=maria"},
	{name: "Recipients: common name, failed", path: "/messages/{blast}/recipients?q=maria&alert=failed"},
	{name: "Recipients: one letter", path: "/messages/{blast}/recipients?q=m"},
	{name: "Recipients: no match", path: "/messages/{blast}/recipients?q=xylophone"},
	{name: "Recipients: of a message to a few", path: "/messages/{small}/recipients?q=maria"},
	{name: "Drafts", path: "/messages/drafts"},
	{name: "Add User: rare name", path: "/messages/drafts/{draft}/portal-users", typed: "find-user=J%C3%BCrgen+olserwick", fragment: true},
	{name: "Add User: common name", path: "/messages/drafts/{draft}/portal-users", typed: "find-user=maria", fragment: true},
	{name: "Add User: one letter", path: "/messages/drafts/{draft}/portal-users", typed: "find-user=m", fragment: true},
	{name: "Add User: address", path: "/messages/drafts/{draft}/portal-users", typed: "find-user=maria77", fragment: true},
	{name: "Add User: id", path: "/messages/drafts/{draft}/portal-users", typed: "find-user=u77", fragment: true},
	{name: "Staff Bcc", path: "/messages/drafts/{draft}/staff", typed: "find-staff=colleague", fragment: true},
	{name: "Global Search: a setting", path: "/search?q=custom+labels"},
	{name: "Global Search: a subject", path: "/search?q=vaccine"},
	{name: "Global Search: a name", path: "/search?q=maria+alaberg", fragment: true},
	{name: "Global Search: one letter", path: "/search?q=m", fragment: true},
	{name: "Global Search: nothing", path: "/search?q=xylophone", fragment: true},
	{name: "Directory: portal users", path: "/directory/portal-users"},
	{name: "Directory: portal users, search", path: "/directory/portal-users?q=maria"},
	{name: "Directory: portal users, rare", path: "/directory/portal-users?q=J%C3%BCrgen+olserwick"},
	{name: "Directory: a portal user", path: "/directory/portal-users/u1"},
	{name: "Directory: patients", path: "/directory/patients"},
	{name: "Directory: patients, search", path: "/directory/patients?q=maria"},
	{name: "Directory: patients, one letter", path: "/directory/patients?q=m"},
	{name: "Directory: a patient", path: "/directory/patients/p1"},
	{name: "Staff", path: "/administration/staff"},
	{name: "Custom Labels", path: "/administration/labels"},
	{name: "Inbox", path: "/portal", portal: true},
	{name: "Inbox: a message", path: "/portal/messages/{blast}", portal: true},
}, recordPages...)

// measurePages fills a clinic and measures all of its pages.
func measurePages(ctx context.Context, s *system, users, messages int) error {
	who, err := s.people(ctx)
	if err != nil {
		return err
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	c := &clinic{system: s, conn: conn, users: users, messages: messages, random: rand.New(rand.NewPCG(1, 2))} // #nosec G404 -- the same clinic every time
	if c.content, err = openContent(ctx, s); err != nil {
		return err
	}
	defer func() { _ = c.content.Close() }()
	if err := conn.QueryRow(ctx, `SELECT staff_id FROM app.staff_accounts WHERE email = $1`, who.staff).Scan(&c.sender); err != nil {
		return err
	}
	if err := c.fill(ctx); err != nil {
		return err
	}
	v := &visit{system: s, clinic: c}
	if err := v.signIn(ctx, who); err != nil {
		return err
	}
	return v.measure(ctx)
}

// people are the e-mail address of the staff member and the id of the portal user who
// request the pages.
type people struct{ staff, portalUser string }

const password = "a password for the bench"

// people creates a staff member with all permissions.
func (s *system) people(ctx context.Context) (people, error) {
	p := people{staff: "everything@clinic.example", portalUser: "u1"}
	_, err := s.verbWith(ctx, password+"\n", "staff", "create", "--email", p.staff, "--name", "Eve Everything", "--password-stdin", "--permit", policy.Join(policy.All))
	if err != nil {
		return p, err
	}
	s.token, err = s.verb(ctx, "token", "create", "--staff", p.staff) // for sending
	return p, err
}

// visit is the signed-in people, the clinic and the system that they use.
type visit struct {
	*system
	*clinic
	staff, portal *http.Client
	names         *strings.Replacer
}

func (v *visit) signIn(ctx context.Context, who people) error {
	if _, err := v.verbWith(ctx, password+"\n", "portal-user", "set-password", who.portalUser, "--password-stdin"); err != nil {
		return err
	}
	var email string
	if err := v.conn.QueryRow(ctx, `SELECT email FROM app.portal_users WHERE portal_user_id = $1`, who.portalUser).Scan(&email); err != nil {
		return err
	}
	v.staff, v.portal = newClient(), newClient()
	if err := v.enter(ctx, v.staff, "/v1/session", who.staff); err != nil {
		return err
	}
	if err := v.enter(ctx, v.portal, "/v1/portal/session", email); err != nil {
		return err
	}
	draft, err := v.drafts(ctx)
	if err != nil { // the pages that need a draft will fail
		fmt.Println(err)
	}
	month := time.Now().AddDate(0, -6, 0)
	names, err := v.recordNames(ctx)
	v.names = strings.NewReplacer(append(names, "{middle}", v.middle.String(), "{small}", v.toFew.String(), "{blast}", v.toAll.String(),
		"{from}", month.Format(time.DateOnly), "{until}", month.AddDate(0, 1, 0).Format(time.DateOnly),
		"{next}", month.AddDate(0, 0, 1).Format(time.DateOnly), "{half}", fmt.Sprint(v.users/2), "{draft}", draft)...)
	return err
}

func newClient() *http.Client {
	jar, _ := cookiejar.New(nil) // never fails
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
