package admin_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/labels"
	"postern/internal/web/webtest"
)

// Story 7: an administrator finds a staff member and gives them Send Bulk Portal Message.
// The event names the administrator.
func TestGiveAPermission(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	nurse := s.NewStaff(t, "Nora Nurse", policy.SendPortalMessage)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)

	admin.Get("/administration/staff").Is(http.StatusOK).
		Says("2 staff members", "Ada Admin", "ada.admin@clinic.example", "Manage Staff", "Nora Nurse", "Send Portal Message")
	admin.Get("/administration/staff?q=NURSE+nora").Says("1 staff member for “NURSE nora”", "Nora Nurse").LacksHTML("ada.admin")
	admin.Get("/administration/staff?q=unknown").Says("No staff match that search.")

	info := admin.Get("/administration/staff/"+nurse.ID).Is(http.StatusOK).
		Says("Staff Info", "Nora Nurse", "System Permissions", "General", "Send Bulk Portal Message", "Portal Users - Active Patients").
		HasHTML(`value="send_portal_message" checked`).LacksHTML(`value="send_bulk_portal_message" checked`)
	if title := between(info.Body, "<title>", "</title>"); title != "Staff Info – Postern" {
		t.Errorf("the title is %q: it is kept in the browser's history", title)
	}

	admin.Post("/administration/staff/"+nurse.ID, ticked("send_portal_message", "send_portal_message", "send_bulk_portal_message")).
		Is(http.StatusOK).Says("Given: Send Bulk Portal Message.", "This is recorded with your name.").HasHTML(`value="send_bulk_portal_message" checked`)
	admin.Post("/administration/staff/"+nurse.ID, ticked("send_portal_message,send_bulk_portal_message", "send_bulk_portal_message", "read_record")).
		Says("Given: Read the Record.", "Taken away: Send Portal Message.")
	admin.Post("/administration/staff/"+nurse.ID, ticked("send_bulk_portal_message,read_record", "send_bulk_portal_message", "read_record")).
		Says("Nothing was changed")

	var said []string
	for _, e := range recorded(t, s, events.TypePermissionGranted, events.TypePermissionRevoked) {
		if strings.Contains(string(e.Data), nurse.ID) && e.Actor == "staff:"+admin.ID {
			said = append(said, string(e.Type)+" "+between(string(e.Data), `"permission":"`, `"`))
		}
	}
	want := "permission.granted send_bulk_portal_message, permission.granted read_record, permission.revoked send_portal_message"
	if got := strings.Join(said, ", "); got != want {
		t.Errorf("recorded %s, want %s", got, want)
	}
}

// ticked is the form of System Permissions, drawn while seen was held, with boxes
// ticked.
func ticked(seen string, boxes ...string) url.Values {
	return url.Values{"seen": {seen}, "permission": boxes}
}

func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return text
}

// The last administrator's Manage Staff can't be taken: the error is at its box, and the
// other ticked boxes stay ticked.
func TestTheLastAdministrator(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	admin.Get("/administration/staff/" + admin.ID).Says("This is you.")
	before := s.Keeps(t)
	admin.Post("/administration/staff/"+admin.ID, ticked("manage_staff", "read_record")).Is(http.StatusUnprocessableEntity).
		Says("There is a problem", "This is the only staff member with Manage Staff. Give it to another staff member first").
		HasHTML(`href="#permission-manage_staff"`, `value="read_record" checked`).LacksHTML(`value="manage_staff" checked`)
	if after := s.Keeps(t); after.Events != before.Events {
		t.Error("the refused change was recorded")
	}

	// With a second administrator it works, and redirects away from the page that they can no longer open.
	other := s.NewStaff(t, "Otto Other", policy.ManageStaff)
	page := admin.Post("/administration/staff/"+admin.ID, ticked("manage_staff", "read_record")).Says("Taken away: Manage Staff.")
	if strings.HasPrefix(page.URL.Path, "/administration") {
		t.Errorf("redirected to %s", page.URL)
	}
	admin.Get("/administration/staff/" + other.ID).Is(http.StatusForbidden)
}

// Two administrators change the same staff member at once: the second sees what the first
// changed before anything of it can be undone.
func TestTwoAdministratorsAtOnce(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	nurse := s.NewStaff(t, "Nora Nurse", policy.SendPortalMessage, policy.ReadRecord)
	ada, otto := s.Staff(t, "Ada Admin", policy.ManageStaff), s.Staff(t, "Otto Other", policy.ManageStaff)
	at := "/administration/staff/" + nurse.ID
	const seen = "read_record, send_portal_message"
	ada.Get(at).HasHTML(`name="seen" value="` + seen + `"`)

	otto.Post(at, ticked(seen, "send_portal_message", "manage_labels")).Says("Given: Manage Custom Labels.", "Taken away: Read the Record.")
	page := ada.Post(at, ticked(seen, "send_portal_message", "read_record", "send_bulk_portal_message")).Is(http.StatusUnprocessableEntity).
		Says("Another staff member has just changed these permissions", "Another staff member has just given this permission.", "Another staff member has just taken this permission away.").
		HasHTML(`value="manage_labels" checked`, `value="send_bulk_portal_message" checked`, `value="send_portal_message" checked`).
		LacksHTML(`value="read_record" checked`)
	now := between(page.Body, `name="seen" value="`, `"`)
	ada.Post(at, ticked(now, "send_portal_message", "send_bulk_portal_message", "manage_labels")).Is(http.StatusOK).Says("Given: Send Bulk Portal Message.")
	held, err := s.Web.Gate.StaffByID(t.Context(), nurse.ID)
	if got := fmt.Sprint(held.Permissions); err != nil || got != "[manage_labels send_bulk_portal_message send_portal_message]" {
		t.Errorf("they hold %s, %v", got, err)
	}
}

// A new staff member can sign in with their first password. Errors in the form are at
// their fields, and the password must be typed again.
func TestAddAStaffMember(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	admin.Get("/administration/staff/new").Is(http.StatusOK).Says("Add a staff member", "At least 12 characters")
	form := func(name, email, password string) url.Values {
		return url.Values{"name": {name}, "email": {email}, "password": {password}}
	}
	for _, c := range []struct {
		form         url.Values
		field, error string
	}{
		{form("", "new@clinic.example", webtest.Password), "name", "Enter a name"},
		{form("", "nowhere", ""), "name", "Enter a name"},
		{form("", "nowhere", ""), "email", "The e-mail address can't be used"},
		{form("", "nowhere", ""), "password", "Enter a first password"},
		{form("", "new@clinic.example", "short"), "name", "Enter a name"},
		{form("", "new@clinic.example", "short"), "password", "at least 12 characters"},
		{form("New", "nowhere", webtest.Password), "email", "The e-mail address can't be used: it is not an e-mail address of the form name@example.org"},
		{form("New", "ADA.admin@clinic.example", webtest.Password), "email", "already exists"},
		{form("New", "new@clinic.example", "short"), "password", "it needs at least 12 characters"},
		{form("New", "new@clinic.example", ""), "password", "Enter a first password"},
	} {
		admin.Post("/administration/staff", c.form).Is(http.StatusUnprocessableEntity).Says(c.error).
			HasHTML(`href="#`+c.field+`"`, `value="`+c.form.Get("email")+`"`).LacksHTML(webtest.Password)
	}
	page := admin.Post("/administration/staff", form("Nils New", "nils@clinic.example", webtest.Password)).
		Is(http.StatusOK).Says("The staff member was added", "Nils New")
	if !strings.HasPrefix(page.URL.Path, "/administration/staff/0") {
		t.Errorf("redirected to %s, not to their permissions", page.URL)
	}
	v := s.SignedOut(t)
	v.Post("/sign-in", url.Values{"email": {"nils@clinic.example"}, "password": {webtest.Password}, "next": {"/static/icon.svg"}}).Is(http.StatusOK)
	v.Get("/administration/staff").Is(http.StatusForbidden).Says("Nils New")
	created := recorded(t, s, events.TypeStaffCreated)
	if last := created[len(created)-1]; last.Actor != "staff:"+admin.ID {
		t.Errorf("they were created by %s", last.Actor)
	}
	admin.Get("/administration/staff/unknown").Is(http.StatusNotFound)
}

// The list of many staff has pages.
func TestManyStaff(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	for i := range 60 {
		id := fmt.Sprintf("many-%02d", i)
		s.Record(t, "operator:test", events.StaffCreated{StaffID: id, Name: fmt.Sprintf("Many %02d", i)})
		s.Exec(t, `INSERT INTO app.staff_accounts (staff_id, email) VALUES ($1, $1 || '@clinic.example')`, id)
	}
	admin.Get("/administration/staff?q=many").Says("60 staff members", "Many 00", "Many 49", "Next page").LacksHTML("Many 50", "Previous page")
	admin.Get("/administration/staff?q=many&from=50").Says("Many 50", "Many 59", "Previous page").LacksHTML("Many 49", "Next page")
}

// Staff without the permission are refused, and see no links to the pages.
func TestStaffPagesNeedThePermission(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	for _, c := range []struct {
		permission policy.Permission
		paths      []string
	}{
		{policy.ManageStaff, []string{"/administration/staff", "/administration/staff/new", "/administration/staff/x"}},
		{policy.ManageLabels, []string{"/administration/labels"}},
	} {
		var others []policy.Permission
		for _, p := range policy.All {
			if p != c.permission {
				others = append(others, p)
			}
		}
		v := s.Staff(t, "Without "+string(c.permission), others...)
		for _, path := range c.paths {
			v.Get(path).Is(http.StatusForbidden).LacksHTML(`href="` + c.paths[0] + `"`)
		}
		v.Post(c.paths[0], nil).Is(http.StatusForbidden)
	}
	s.Staff(t, "Plain").Get("/messages/bcc").LacksHTML("Administration")
	s.SignedOut(t).Get("/administration/staff").Says("Staff sign-in")
	s.PortalUser(t, "ana").Get("/administration/staff").Says("Staff sign-in")
}

// The hints use the clinic's custom labels; the name Send Bulk Portal Message does not change.
func TestPermissionsInTheClinicsWords(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	admin := s.Staff(t, "Ada Admin", policy.ManageStaff)
	_, seq, err := s.Web.Labels.Change(t.Context(), "operator:test", labels.To(labels.Labels{
		Patient: &labels.Label{One: "Client", Many: "Clients"}, PortalUser: &labels.Label{One: "Account", Many: "Accounts"}}))
	if err != nil {
		t.Fatal(err)
	}
	s.Await(t, seq)
	admin.Get("/administration/staff/"+admin.ID).Says("Send Bulk Portal Message", "Accounts - Active Clients", "the links between them").LacksHTML("Patient")
}
