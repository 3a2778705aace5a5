package unsubscribe_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/notify/unsubscribe"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// A program that scans e-mails opens the link, and nothing happens. A mail provider posts one form
// (RFC 8058), or the person presses the button. Staff see it, and only the person, signed in, takes
// it back.
func TestOneClick(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	ana := s.PortalUser(t, "ana")
	staff := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	k, err := unsubscribe.LoadKey(t.Context(), s.Pool)
	if err != nil {
		t.Fatal(err)
	}
	var no int32
	if err := s.Pool.QueryRow(t.Context(), `SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = 'ana'`).Scan(&no); err != nil {
		t.Fatal(err)
	}
	link := unsubscribe.Path + string(k.Append(nil, no, "ana@example.org"))
	out := s.SignedOut(t)
	for range 2 {
		out.Get(link).Is(http.StatusOK).Says("Turn off e-mails about new messages?").LacksHTML("ana", "Ana")
	}
	ana.Get("/portal/account").Says("You get an e-mail when a new message comes.")
	staff.Get("/directory/portal-users/ana").LacksHTML("Turned off on")

	answer, err := http.PostForm(s.Base+link, url.Values{"List-Unsubscribe": {"One-Click"}}) // no cookie, no Origin
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("one click: %s", answer.Status)
	}
	out.Post(link, nil).Is(http.StatusOK).Says("E-mails are off")
	out.Get(link).Is(http.StatusOK).Says("E-mails are off")
	staff.Get("/directory/portal-users/ana").Says("Turned off on")
	ana.Get("/portal/account").Says("E-mails are off since")

	ana.Post("/portal/account/emails", url.Values{"emails": {"on"}}).Is(http.StatusOK).Says("You get an e-mail when a new message comes.", "Turn e-mails off")
	ana.Post("/portal/account/emails", url.Values{"emails": {"off"}}).Is(http.StatusOK).Says("You get no more e-mails about new messages.", "Turn e-mails on")
	var said []string
	for seq := range s.Settle(t) {
		stored, err := s.Log.Get(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		e, err := events.Parse(stored.Header, stored.Data)
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == events.TypeAlertsOptedOut || e.Type == events.TypeAlertsOptedIn {
			said = append(said, string(e.Type)+" by "+e.Actor)
		}
	}
	if got := strings.Join(said, ", "); got != "alerts.opted_out by process:api, alerts.opted_in by portal_user:ana, alerts.opted_out by portal_user:ana" {
		t.Error(got)
	}
	for _, wrong := range []string{"x", strings.Repeat("A", unsubscribe.TokenSize)} {
		out.Get(unsubscribe.Path + wrong).Is(http.StatusNotFound).Says("This link does not work any more")
		out.Post(unsubscribe.Path+wrong, nil).Is(http.StatusNotFound)
	}
}
