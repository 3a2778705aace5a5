package admin_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/events"
	"postern/internal/web/webtest"
)

// A disabled staff member is signed out at once. Their scheduled messages are shown and go
// out unless an administrator cancels them. The account can be enabled again.
func TestDisablingAStaffMember(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewPortalUser(t, "ana")
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	nurse := s.Staff(t, "Nora Nurse", policy.SendPortalMessage)
	at := "/administration/staff/" + nurse.ID
	later := time.Now().Add(50 * time.Hour)
	subject := policy.Subject{Realm: policy.RealmStaff, ID: nurse.ID, Permissions: []policy.Permission{policy.SendPortalMessage}}
	for range 2 {
		if _, err := s.Web.Composer.Send(t.Context(), subject, uuid.NewString(), compose.Request{Subject: "Later", Body: "x", SendAt: &later,
			Recipients: audience.Selection{PortalUserIDs: []string{"ana"}}}); err != nil {
			t.Fatal(err)
		}
	}
	s.Settle(t)

	admin.Get(at).Says("Disable Nora Nurse", "2 of their messages are scheduled.").LacksHTML("Enable again")
	admin.Post(at+"/disable", nil).Is(http.StatusOK).
		Says("Account disabled.", "Disabled", "2 of their messages are scheduled and will be sent at their times", "Enable again")
	nurse.Get("/messages").Says("Staff sign-in")
	s.SignedOut(t).Post("/sign-in", url.Values{"email": {"nora.nurse@clinic.example"}, "password": {webtest.Password}}).
		Is(http.StatusUnprocessableEntity).Says("The e-mail address or the password is wrong.")
	admin.Get("/administration/staff").Says("Nora Nurse Disabled")
	admin.Post(at+"/cancel-scheduled", nil).Says("2 messages were cancelled. No one will receive them.").LacksHTML("Cancel their scheduled messages")
	if got := recorded(t, s, events.TypeMessageCancelled); len(got) != 2 || got[0].Actor != "staff:"+admin.ID {
		t.Errorf("the record has %v", got)
	}
	admin.Post(at+"/enable", nil).Is(http.StatusOK).Says("Account enabled.", "Disable Nora Nurse")
	s.SignedOut(t).Post("/sign-in", url.Values{"email": {"nora.nurse@clinic.example"}, "password": {webtest.Password}, "next": {"/search"}}).
		Says("Global Search")
	admin.Get("/administration/staff/" + admin.ID).Says("You can’t disable your own account.").LacksHTML("/disable")
	admin.Post("/administration/staff/"+admin.ID+"/disable", nil).Is(http.StatusUnprocessableEntity).Says("You can't disable yourself").HasHTML(`href="#sign-in"`)
	admin.Post("/administration/staff/unknown/disable", nil).Is(http.StatusNotFound)
	s.Staff(t, "Plain").Post(at+"/disable", nil).Is(http.StatusForbidden)
}

// The same in a browser: the pages are accessible.
func TestDisablingInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	s.NewStaff(t, "Nora Nurse")
	b := webtest.OpenBrowser(t, s)
	b.SignIn(s.NewStaff(t, "Ada Admin", policy.ManageStaff))
	b.Open("/administration/staff")
	b.Click("Nora Nurse")
	b.Click("Disable Nora Nurse")
	b.Sees("Account disabled.")
	b.AccessibleInAllViews()
	b.Screenshot("staff-disabled")
	b.Open("/administration/staff")
	b.AccessibleInAllViews()
	b.Screenshot("staff-list-disabled")
}
