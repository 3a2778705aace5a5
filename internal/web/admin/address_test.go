package admin_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/web/webtest"
)

// An import changes the address of an account. The check of the files warns; the person's page says
// that no link goes to the new address yet, and staff confirm it.
func TestAChangedAddressIsConfirmed(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.System.PortalUser(t, "ana")
	if err := s.Web.Gate.SetPortalPassword(t.Context(), "operator:test", "ana", webtest.Password); err != nil {
		t.Fatal(err)
	}
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	ended(t, v, uploaded(t, v, "u.csv", portalUsersHeader+"ana,Ana,new@example.org,true\n")).Says("1 person with an account would get another e-mail address.", "check that these addresses are right")
	imported(t, s, "u.csv", portalUsersHeader+"ana,Ana,new@example.org,true\n")
	s.Clock.Advance(time.Minute)
	if err := s.Web.Letters.TellFormerAddresses(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Mails.Count() != 1 || s.Mails.ByAddress("ana@example.org") != 1 {
		t.Errorf("%d mails are sent, %d to the former address", s.Mails.Count(), s.Mails.ByAddress("ana@example.org"))
	}
	page := v.Get("/directory/portal-users/ana").Is(http.StatusOK).
		Says("No link can be sent yet: the e-mail address changed less than a day ago.", "The former address was told.", "I checked the new address with the person").LacksHTML("ana/invitation")
	version := url.Values{"version": {between(page.Body, `name="version" value="`, `"`)}}
	v.Post("/directory/portal-users/ana/invitation", nil).Is(http.StatusOK).Says("No link can be sent yet")
	v.Post("/directory/portal-users/ana/confirm-address", url.Values{"version": {"0"}}).Is(http.StatusUnprocessableEntity).Says("The e-mail address has changed again")
	s.Staff(t, "Sam Sender", policy.SendPortalMessage).Post("/directory/portal-users/ana/confirm-address", version).Is(http.StatusForbidden)
	v.Post("/directory/portal-users/ana/confirm-address", version).Is(http.StatusOK).Says("The e-mail address is confirmed.", "Send a link for a new password").LacksHTML("confirm-address")
	v.Post("/directory/portal-users/ana/invitation", nil).Is(http.StatusOK).Says("The e-mail with the link is on its way.")
	if s.Mails.ByAddress("new@example.org") != 1 {
		t.Error("no link went to the new address")
	}
	for _, typ := range []events.Type{events.TypeAddressChanged, events.TypeAddressConfirmed} {
		if got := recorded(t, s, typ); len(got) != 1 {
			t.Errorf("%d events %s", len(got), typ)
		}
	}
	v.Post("/directory/portal-users/unknown/confirm-address", version).Is(http.StatusNotFound)
}
