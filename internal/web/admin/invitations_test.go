package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

// Staff tick people in the list, or take all without an account. The page asks before it sends, and
// says who is left out; then it shows how far the invitations are.
func TestInviteMany(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	imported(t, s, "u.csv", portalUsersHeader+"ana,Ana,ana@example.org,true\nbo,Bo,bo@example.org,true\nnone,No Address,,true\nout,Out,out@example.org,false\n")
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	v.Get("/directory/portal-users").Is(http.StatusOK).HasHTML(`name="id" type="checkbox" value="ana"`).Says("Invite those who are ticked")
	v.Get("/directory/invitations").Is(http.StatusOK).Says("No invitations yet.", "Invite all without an account")
	v.Get("/directory/invitations/new").Is(http.StatusOK).Says("Invite 2 portal users?")

	ticked := url.Values{"id": {"bo", "ana", "none", "out", "ana"}}
	asked := v.Post("/directory/invitations/new", ticked).Is(http.StatusOK).Says("Invite 2 portal users?", "No e-mail address 1", "The account is not active 1")
	if n := strings.Count(asked.Body, `name="id" value=`); n != 4 || s.Mails.Count() != 0 {
		t.Errorf("the form has %d people, and %d e-mails are sent", n, s.Mails.Count())
	}
	run := v.Post("/directory/invitations", ticked).Is(http.StatusOK).Says("Invitations are being sent", "0% done.", "Started by Ada Admin", "Waiting 4")
	part := v.Fragment(run.URL.Path)
	part.Is(http.StatusOK).Says("Invitations are being sent").LacksHTML("<html")
	if err := s.Web.Letters.SendInvitations(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Settle(t)
	v.Get(run.URL.Path).Is(http.StatusOK).Says("Invitations finished", "Sent 2", "Left out 2", "No e-mail address 1").LacksHTML("Stop sending")
	if s.Mails.Count() != 2 || s.Mails.ByAddress("ana@example.org") != 1 {
		t.Errorf("%d e-mails", s.Mails.Count())
	}
	v.Get("/directory/invitations").Says("Finished", "Ada Admin")
	v.Get("/directory/invitations/new").Says("There is no one to invite", "Was invited within the last 24 hours 2").LacksHTML("Send the invitations")
	v.Post("/directory/invitations", url.Values{"all": {"true"}}).Is(http.StatusOK).Says("There is no one to invite")
	v.Post("/directory/invitations/new", nil).Is(http.StatusOK).Says("Tick the people to invite.")
	v.Post("/directory/invitations", url.Values{"id": {"unknown"}}).Is(http.StatusOK).Says("Tick the people to invite.")

	s.System.PortalUser(t, "cy")
	stopped := v.Post("/directory/invitations", url.Values{"id": {"cy"}}).Says("Stop sending")
	v.Post(stopped.URL.Path+"/cancel", nil).Is(http.StatusOK).Says("No more invitations are sent.", "Invitations cancelled", "Not sent 1")
	v.Post(stopped.URL.Path+"/cancel", nil).Is(http.StatusOK).Says("Invitations cancelled")
	v.Get("/directory/invitations/unknown").Is(http.StatusNotFound)
	s.Staff(t, "Sam Sender", policy.SendPortalMessage).Get("/directory/invitations").Is(http.StatusForbidden)
}
