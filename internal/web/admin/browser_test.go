package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

// Story 7 in a real browser, with the keyboard alone: a staff member gets Send Bulk
// Portal Message, and the last administrator keeps Manage Staff.
func TestPermissionsByKeyboard(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	ada := s.NewStaff(t, "Ada Admin", policy.ManageStaff)
	s.NewStaff(t, "Nora Nurse", policy.SendPortalMessage)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(ada)

	b.Open("/administration/staff")
	b.AccessibleInAllViews()
	b.Screenshot("staff")
	b.TabTo("Nora Nurse")
	b.Press("Enter")
	b.Sees("Staff Info", "System Permissions", "General")
	b.AccessibleInAllViews()
	b.Screenshot("staff-info")
	b.Phone()
	b.Screenshot("staff-info-phone")
	b.Wide()
	b.TabTo("Send Bulk Portal Message")
	b.Press("Space")
	b.TabTo("Save the permissions")
	b.Press("Enter")
	b.Sees("Given: Send Bulk Portal Message.")
	b.Reads("Send Bulk Portal Message", "true")
	b.Accessible()

	b.Open("/administration/staff/" + ada.ID)
	b.Click("Manage Staff")
	b.Click("Read the Record")
	b.Click("Save the permissions")
	b.Sees("There is a problem", "This is the only staff member with Manage Staff")
	b.Reads("Read the Record", "true")
	b.AccessibleInAllViews()
	b.Click("This is the only staff member with Manage Staff. Give it to another staff member first")
	b.Focuses("Manage Staff")

	b.Open("/administration/staff/new")
	b.AccessibleInAllViews()
	b.Click("Add the staff member")
	b.Sees("Enter a name", "The e-mail address can't be used")
	b.AccessibleInAllViews()
	b.Screenshot("new-staff-error")
	b.Open("/administration/staff?q=unknown")
	b.Sees("No staff match that search.")
	b.Accessible()
}

// Story 8 in a real browser: Client is filled in, the example follows the typing, and
// after saving all pages show it.
func TestLabelsInABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	ada := s.NewStaff(t, "Ada Admin", policy.All...)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(ada)
	b.Open("/administration/labels")
	b.AccessibleInAllViews()
	b.Screenshot("labels")
	b.Click("Client")
	b.Sees("Client is filled in below", "Compose › Client Portal Message", "Portal Users - Active Clients")
	b.Reads("#patient-many", "Clients")
	b.Type("#portal_user-many", "Accounts")
	b.Sees("Accounts - Discharged Clients")
	b.Screenshot("labels-typed")
	b.Phone()
	b.Screenshot("labels-phone")
	b.Wide()
	b.Click("Save the labels")
	b.Sees("The labels were changed.")
	b.Open("/directory/patients")
	b.Sees("No clients yet")
	b.Accessible()
	b.Open("/administration/labels")
	b.Type("#patient-one", "")
	b.Click("Save the labels")
	b.Sees("There is a problem")
	b.AccessibleInAllViews()
	b.Screenshot("labels-error")
}

// Story 9 in a real browser: a wrong file is refused; correct files are checked and
// imported, and the directory lists the people.
func TestImportAtABrowser(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	imported(t, s, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,1980-02-29,active,false\n", "u.csv", portalUsersHeader+"polly,Aunt Polly,polly@example.org,true\n")
	ada := s.NewStaff(t, "Ada Admin", policy.ImportDirectory)
	b := webtest.OpenBrowser(t, s)
	b.SignIn(ada)
	b.Open("/directory/import")
	b.AccessibleInAllViews()
	b.Screenshot("import")
	b.Click("Upload and check")
	b.Sees("There is a problem", "Choose at least one file")
	b.Accessible()
	b.Upload("#files", webtest.File{Name: "patients.xlsx", Data: []byte("x")})
	b.Click("Upload and check")
	b.Sees("patients.xlsx is neither a CSV file (.csv) nor NDJSON")
	b.AccessibleInAllViews()
	b.Screenshot("import-error")

	b.Upload("#files", webtest.File{Name: "patients.csv", Data: []byte(patientsHeader + "pt-1,Tom,Sawyer,29.2.1980,active,false\n" + strings.Repeat("pt-2,Huck,Finn,,gone,false\n", 3))})
	b.Sees("1 file")
	b.Click("Upload and check")
	b.Sees("6 errors in the files", "is not a date of the form YYYY-MM-DD")
	b.AccessibleInAllViews()
	b.Screenshot("import-refused")

	b.Open("/directory/import")
	b.Sees("You have uploaded files that are not imported")
	var many strings.Builder
	for n := range 30 {
		fmt.Fprintf(&many, "pt-1%02d,Given%d,Family,1990-12-01,active,false\n", n, n)
	}
	b.Upload("#files",
		webtest.File{Name: "patients.csv", Data: []byte(patientsHeader + "pt-1,Tom,Sawyer,1980-02-28,discharged,false\n" + many.String())},
		webtest.File{Name: "links.csv", Data: []byte(linksHeader + "polly,pt-1,representative,2020-01-01,\n")})
	b.Click("Upload and check")
	b.Sees("What the files would change", "No errors or warnings were found", "29 February 1980", "28 February 1980")
	b.AccessibleInAllViews()
	b.Click("New: patients, some of 30")
	b.Accessible()
	b.Screenshot("import-checked")
	b.Phone()
	b.Screenshot("import-checked-phone")
	b.Wide()

	// While the work runs, the page shows its progress and refreshes automatically.
	at := b.Path()
	s.Exec(t, `UPDATE app.directory_imports SET state = 'checking', done = 2, total = 3, touched_at = $1`, s.Clock.Now())
	b.Reload()
	b.Sees("Checking the files", "66% done")
	b.AccessibleInAllViews()
	b.Screenshot("import-running")
	s.Exec(t, `UPDATE app.directory_imports SET state = 'checked'`)
	b.Sees("What the files would change")
	b.Click("[value=import]")
	b.Sees("Imported", "The directory now matches the files")
	b.At(at)
	b.AccessibleInAllViews()
	b.Screenshot("import-done")
	s.Exec(t, `UPDATE app.directory_imports SET state = 'importing', touched_at = $1`, s.Clock.Now().Add(-time.Hour))
	b.Reload()
	b.Sees("The work was interrupted")
	b.AccessibleInAllViews()

	b.Open("/directory/patients")
	b.AccessibleInAllViews()
	b.Screenshot("patients")
	b.Click("Tom Sawyer")
	b.Sees("Discharged", "Aunt Polly")
	b.AccessibleInAllViews()
	b.Screenshot("patient")
	b.Click("Aunt Polly")
	b.Sees("polly@example.org", "Send invitation")
	b.AccessibleInAllViews()
	b.Screenshot("portal-user")
	b.Click("Send invitation")
	b.Sees("The e-mail with the link is on its way.")
	b.Open("/directory/portal-users?q=sawyer")
	b.AccessibleInAllViews()
	b.Screenshot("portal-users")
	b.Phone()
	b.Screenshot("portal-users-phone")
}
