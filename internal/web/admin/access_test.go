package admin_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/web/webtest"
)

// An administrator sees the sessions and API tokens of a staff member on Staff Info, ends the
// ones and revokes the others.
func TestTheAccessOfAStaffMember(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	nurse := s.Staff(t, "Nora Nurse", policy.SendPortalMessage)
	_, token, err := s.Web.Gate.CreateToken(t.Context(), "staff:"+nurse.ID, nurse.ID, access.NewToken{Name: "Nightly letters"})
	if err != nil {
		t.Fatal(err)
	}
	at := "/administration/staff/" + nurse.ID
	info := admin.Get(at).Is(http.StatusOK).Says("They are signed in on 1 device.", "API tokens", "Nightly letters", "Permits: everything that they may do", "Last used: never").LacksHTML(token)
	revoke := regexp.MustCompile(`action="(` + at + `/tokens/[0-9a-f-]+/revoke)"`).FindStringSubmatch(info.Body)[1]
	nurse.Post(revoke, nil).Is(http.StatusForbidden)
	admin.Post(revoke, nil).Is(http.StatusOK).Says("The API token is revoked. This is recorded with your name.", "Revoked by an administrator")
	admin.Post(at+"/tokens/17/revoke", nil).Is(http.StatusNotFound)
	nurse.Get("/account/tokens").Says("Revoked by an administrator")

	nurse.Post(at+"/end-sessions", nil).Is(http.StatusForbidden)
	admin.Post(at+"/end-sessions", nil).Is(http.StatusOK).Says("They are signed out everywhere. This is recorded with your name.").LacksHTML("They are signed in on")
	nurse.Get("/account").Says("Staff sign-in")
	admin.Post("/administration/staff/unknown/end-sessions", nil).Is(http.StatusNotFound)
	admin.Get("/administration/staff/" + admin.ID).Says("Your own sessions and API tokens are at your account.").LacksHTML("/end-sessions")

	for _, want := range []events.Type{events.TypeTokenRevoked, events.TypeSessionsEnded} {
		got := recorded(t, s, want)
		if len(got) != 1 || got[0].Actor != "staff:"+admin.ID {
			t.Errorf("the record has %v of %s", got, want)
		}
	}
}

// Staff who may invite portal users end the sessions of one on the directory's page.
func TestEndingTheSessionsOfAPortalUser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	pat := s.PortalUser(t, "pat")
	s.SignedOut(t).Post("/portal/sign-in", url.Values{"email": {"pat@example.org"}, "password": {webtest.Password}})
	const at = "/directory/portal-users/pat"
	v.Get(at).Is(http.StatusOK).Says("Sign them out everywhere", "They are signed in on 2 devices.")
	s.Staff(t, "Sam Sender", policy.SendPortalMessage).Get(at).Is(http.StatusOK).LacksHTML("end-sessions")
	s.Staff(t, "Sid Sender", policy.SendPortalMessage).Post(at+"/end-sessions", nil).Is(http.StatusForbidden)
	v.Post(at+"/end-sessions", nil).Is(http.StatusOK).Says("They are signed out on all their devices.").LacksHTML("Sign them out everywhere")
	pat.Get("/portal").Says("Sign in to your messages")
	v.Post("/directory/portal-users/unknown/end-sessions", nil).Is(http.StatusNotFound)
	if got := recorded(t, s, events.TypeSessionsEnded); len(got) != 1 || got[0].Actor != "staff:"+v.ID {
		t.Errorf("the record has %v", got)
	}
}
