package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/web/webtest"
)

// labelForm is the form of Custom Labels as it is first shown, with typed values on top:
// "patient-one", "Client", …
func labelForm(typed ...string) url.Values {
	form := url.Values{}
	for key, l := range map[string][2]string{"patient": {"Patient", "Patients"}, "portal_user": {"Portal User", "Portal Users"},
		"authorized_representative": {"Authorized Representative", "Authorized Representatives"}, "discharged": {"Discharged", "Discharged"}} {
		for i, part := range []string{"-one", "-many"} {
			form.Set(key+part, l[i])
			form.Set(key+part+"-was", l[i])
		}
	}
	for i := 0; i < len(typed); i += 2 {
		form.Set(typed[i], typed[i+1])
	}
	return form
}

// Story 8: the clinic chooses Client, and from then on every page shows it, in the portal
// too. Stored data does not change.
func TestPatientsBecomeClients(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.All...)
	ana := s.PortalUser(t, "ana")
	admin.Get("/administration/labels").Is(http.StatusOK).
		Says("Custom Labels", "Patient", "Portal User", "Authorized Representative", "Discharged", "Member", "How it reads", "Portal Users - Active Patients")

	// A preset fills in the form, and saves nothing yet.
	before := s.Keeps(t)
	admin.Get("/administration/labels?words=client").HasHTML(`value="Client"`, `value="Clients"`, `name="patient-one-was" value="Patient"`).
		Says("Portal Users - Active Clients")
	if after := s.Keeps(t); after.Events != before.Events {
		t.Error("a preset was saved")
	}

	admin.Post("/administration/labels", labelForm("patient-one", " Client ", "patient-many", "Clients", "portal_user-one", "Account", "portal_user-many", "Accounts")).
		Is(http.StatusOK).Says("The labels were changed.").HasHTML(`value="Client"`)
	for _, path := range []string{"/administration/staff", "/administration/staff/" + admin.ID, "/administration/labels"} {
		admin.Get(path).Is(http.StatusOK).Says("Client Portal Message", "Accounts", "Clients").LacksHTML("Patient Portal Message", "Portal Users - ")
	}
	admin.Get("/messages/compose").Is(http.StatusOK).Says("Accounts - Active Clients", "Accounts - Discharged Clients", "All Accounts").LacksHTML("Portal Users - ", "Active Patients")
	admin.Get("/search?q=client").Is(http.StatusOK).Says("Compose: Client Portal Message")
	for _, path := range []string{"/portal", "/portal/account"} {
		ana.Get(path).Is(http.StatusOK).LacksHTML("Patient", "Portal User")
	}

	s.SignedOut(t).Get("/sign-in").Says("Clients and authorized representatives")

	renamed := recorded(t, s, events.TypeLabelChanged)
	if len(renamed) != 2 {
		t.Fatalf("%d label changes were recorded, want the 2 edited ones", len(renamed))
	}
	for _, e := range renamed {
		if e.Actor != "staff:"+admin.ID {
			t.Errorf("%s was changed by %s", e.Data, e.Actor)
		}
	}
	for _, e := range recorded(t, s, events.TypeStaffCreated, events.TypePermissionGranted, events.TypeSignedIn, events.TypeDirectoryImported) {
		if strings.Contains(string(e.Data), "Client") {
			t.Errorf("%s says %s", e.Type, e.Data)
		}
	}
	admin.Post("/administration/labels", labelForm("patient-one", "Client", "patient-many", "Clients")).Says("Nothing was changed")
}

// An invalid label gives an error at its field, and the typed values stay.
func TestWrongLabels(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageLabels)
	before := s.Keeps(t)
	long := strings.Repeat("x", 41)
	admin.Post("/administration/labels", labelForm("patient-one", "  ", "discharged-many", long, "portal_user-one", "<script>")).
		Is(http.StatusUnprocessableEntity).
		Says("Enter a word under “One” for Patient, with 1 to 40 visible characters", "Enter a word under “Several” for Discharged").
		HasHTML(`href="#patient-one"`, `href="#discharged-many"`, `value="`+long+`"`, `value="&lt;script&gt;"`)
	if after := s.Keeps(t); after.Events != before.Events {
		t.Error("a part of an invalid change was recorded")
	}
}

// Two staff members change labels at once: each keeps their own changes, and is warned
// before replacing the other's word.
func TestConcurrentLabelChanges(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	ada, otto := s.Staff(t, "Ada Admin", policy.ManageLabels), s.Staff(t, "Otto Other", policy.ManageLabels)
	otto.Post("/administration/labels", labelForm("patient-one", "Client", "patient-many", "Clients")).Is(http.StatusOK)
	ada.Post("/administration/labels", labelForm("discharged-one", "Former", "discharged-many", "Former")).Is(http.StatusOK).
		HasHTML(`value="Client"`, `value="Former"`)
	ada.Post("/administration/labels", labelForm("patient-one", "Member", "patient-many", "Members")).Is(http.StatusUnprocessableEntity).
		Says("Another staff member has just changed Patient to “Client” and “Clients”").
		HasHTML(`name="patient-one" type="text" value="Member"`, `name="patient-one-was" value="Client"`)
	ada.Post("/administration/labels", labelForm("patient-one", "Member", "patient-many", "Members", "patient-one-was", "Client", "patient-many-was", "Clients")).
		Is(http.StatusOK).HasHTML(`value="Member"`)
}
