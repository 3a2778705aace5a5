package admin_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/directory"
	"postern/internal/events"
	"postern/internal/labels"
	"postern/internal/web/webtest"
)

// uploaded sends files (name, content, name, content…) and returns the page that opens.
func uploaded(t *testing.T, v *webtest.Visitor, namesAndContents ...string) *webtest.Page {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i < len(namesAndContents); i += 2 {
		part, err := form.CreateFormFile("files", namesAndContents[i])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write([]byte(namesAndContents[i+1]))
	}
	_ = form.Close()
	return v.Send("/directory/import", &body, form.FormDataContentType())
}

// ended requests the page of an import until its work has ended.
func ended(t *testing.T, v *webtest.Visitor, p *webtest.Page) *webtest.Page {
	t.Helper()
	for began := time.Now(); ; {
		p = v.Get(p.URL.Path)
		if !strings.Contains(p.Body, `id="import-running"`) {
			return p
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("the import does not end: %s", p.Text())
		}
	}
}

// decided presses a button of an import's page, and waits for the result.
func decided(t *testing.T, v *webtest.Visitor, p *webtest.Page, what string) *webtest.Page {
	t.Helper()
	return ended(t, v, v.Post(p.URL.Path, url.Values{"do": {what}, "digest": {between(p.Body, `name="digest" value="`, `"`)}}).Is(http.StatusOK))
}

// theDirectory returns the tables of the directory.
func theDirectory(k composetest.Kept) map[string]string {
	return map[string]string{"patients": k.Tables["app.patients"], "portal users": k.Tables["app.portal_users"],
		"links": k.Tables["app.links"], "outbox": k.Tables["app.outbox"], "events": fmt.Sprint(k.Events)}
}

// Story 9: files are uploaded once, a dry run shows the changes, and then they are made.
// The event names the administrator.
func TestImport(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	imported(t, s, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,1980-02-29,active,false\n", "u.csv", portalUsersHeader+"polly,Polly,polly@example.org,true\n")
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	v.Get("/directory/import").Is(http.StatusOK).Says("Import", "up to 1 GB and 50 files", "patients.csv", "FHIR R4 bulk export", "Upload and check")

	before := s.Keeps(t)
	files := []string{
		"patients.csv", patientsHeader + "pt-1,Tom,Sawyer,,discharged,false\npt-2,Huck,Finn,,active,false\n",
		`C:\Export\links.csv`, linksHeader + "polly,pt-2,representative,2020-01-01,\n",
		"portal_users.csv", portalUsersHeader + "polly,Polly,polly@example.org,true\n",
	}
	page := ended(t, v, uploaded(t, v, files...).Is(http.StatusOK)).
		Says("What the files would change", "Nothing has changed yet.", "Patients 1 1 0", "Portal Users 0 0 1", "Links 1 0 0",
			"pt-1 Born 29 February 1980 Nothing", "pt-1 Status Active Discharged", "pt-2 Given name: Huck Family name: Finn",
			"polly → pt-2 Relationship: Authorized Representative Starting: 1 January 2020")
	if diff := gocmp.Diff(theDirectory(before), theDirectory(s.Keeps(t))); diff != "" {
		t.Fatalf("the dry run changed something (-before +after):\n%s", diff)
	}
	v.Get("/directory/import").Says("You have uploaded files that are not imported yet. Continue with these files")

	decided(t, v, page, "import").Says("Imported", "Patients 1 1 0", "Links 1 0 0")
	v.Get("/directory/patients/pt-1").Says("Discharged")
	v.Get("/directory/portal-users/polly").Says("Huck Finn")
	for began := time.Now(); len(s.Keeps(t).Blobs) > len(before.Blobs); {
		if time.Since(began) > 30*time.Second {
			t.Fatal("the files are still there")
		}
	}
	told := awaitImport(t, s)
	if told.Actor != "staff:"+v.ID || strings.Contains(string(told.Data), "Tom") || !strings.Contains(string(told.Data), `"format":"csv"`) {
		t.Errorf("recorded %s by %s", told.Data, told.Actor)
	}

	// The same files again change nothing, and the page says so.
	before = s.Keeps(t)
	page = ended(t, v, uploaded(t, v, files...)).Says("These files change nothing", "Patients 0 0 2", "Links 0 0 1")
	v.Post(page.URL.Path, url.Values{"do": {"discard"}}).Says("The files were deleted.")
	if diff := gocmp.Diff(theDirectory(before), theDirectory(s.Keeps(t))); diff != "" {
		t.Errorf("the second import changed something (-before +after):\n%s", diff)
	}
	v.Get(page.URL.Path).Says("This import no longer exists")
}

// awaitImport waits for the event of an import, which the recorder publishes from
// the outbox.
func awaitImport(t *testing.T, s *webtest.Site) events.Event {
	t.Helper()
	for began := time.Now(); time.Since(began) < 30*time.Second; {
		if all := recorded(t, s, events.TypeDirectoryImported); len(all) == 1 && waiting(t, s) == 0 {
			return all[0]
		}
	}
	t.Fatal("no import was recorded")
	return events.Event{}
}

// waiting returns the number of events in the outbox.
func waiting(t *testing.T, s *webtest.Site) (n int) {
	t.Helper()
	if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM app.outbox`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Every wrong line is listed with its number, on several pages, and nothing is imported.
func TestWrongLines(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	before := s.Keeps(t)
	ended(t, v, uploaded(t, v, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,29.2.1980,active,false\npt-2,Huck,Finn,,gone,false\n",
		"l.csv", linksHeader+"unknown,pt-1,self,,\n")).
		Says("3 errors in the files", "Nothing was imported.", "p.csv 2 birth_date is not a date of the form YYYY-MM-DD",
			"p.csv 3 status must be active or discharged", "l.csv 2 portal_user_id names no portal user").LacksHTML("29.2.1980")
	if diff := gocmp.Diff(theDirectory(before), theDirectory(s.Keeps(t))); diff != "" {
		t.Errorf("wrong files changed something (-before +after):\n%s", diff)
	}

	page := ended(t, v, uploaded(t, v, "u.csv", portalUsersHeader+strings.Repeat("a b,Ana,,true\n", 10_150))).
		Says("10,150 errors in the files", "u.csv 2 ", "u.csv 101 ", "Next page", "The first 10,000 are listed.").LacksHTML("Previous page")
	v.Get(page.URL.Path+"?from=9900").Says("u.csv 9902 ", "u.csv 10001 ", "Previous page").LacksHTML("Next page")
}

// An upload that can't be imported gives an error at the field and leaves nothing behind.
func TestWrongUploads(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	before := s.Keeps(t)
	for _, c := range []struct {
		files []string
		says  string
	}{
		{nil, "Choose at least one file"},
		{[]string{"", ""}, "Choose at least one file"},
		{[]string{"patients.xlsx", "x"}, "open the workbook and save each sheet as “CSV UTF-8 (comma delimited)”"},
		{[]string{"p.csv", patientsHeader, "Patient.ndjson", "{}"}, "can't be imported together"},
		{[]string{"p.csv", patientsHeader, "p.csv", patientsHeader}, "Two files are called p.csv"},
	} {
		uploaded(t, v, c.files...).Is(http.StatusUnprocessableEntity).Says("There is a problem", c.says).HasHTML(`href="#files"`)
	}
	v.Post("/directory/import", url.Values{"files": {"x"}}).Is(http.StatusUnprocessableEntity).Says("Choose the files to import")
	if diff := gocmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("refused uploads left something (-before +after):\n%s", diff)
	}
	ended(t, v, uploaded(t, v, "p.csv", "")).Says("1 error in the files", "p.csv 1 The whole line the file is empty")
	ended(t, v, uploaded(t, v, "p.csv", "who,knows\n")).Says("the header is of none of the files")
	ended(t, v, uploaded(t, v, "Observation.ndjson", `{"resourceType":"Observation"}`)).Says("the export holds no Patient, RelatedPerson or EpisodeOfCare",
		"Observation.ndjson 1 The whole line holds Observation, which Postern does not use")
}

// A FHIR export is imported in the same way.
func TestImportFHIR(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	page := ended(t, v, uploaded(t, v,
		"RelatedPerson.000.ndjson", `{"resourceType":"RelatedPerson","id":"polly","patient":{"reference":"Patient/tom"},"name":[{"text":"Aunt Polly"}]}`+"\n",
		"Patient.000.ndjson", `{"resourceType":"Patient","id":"tom","name":[{"given":["Tom"],"family":"Sawyer"}]}`+"\n")).
		Says("What the files would change", "Patients 1 0 0", "Portal Users 2 0 0", "Links 2 0 0")
	decided(t, v, page, "import").Says("Imported")
	v.Get("/directory/patients/tom").Says("Aunt Polly", "Tom Sawyer", "Self")
	if e := awaitImport(t, s); !strings.Contains(string(e.Data), `"format":"fhir"`) {
		t.Errorf("recorded %s", e.Data)
	}
}

// Flaws in an export, and resources that are not read, are counted and listed before and
// after the import. An export of changes is imported in the same way, also if it changes
// only the remembered resources.
func TestImportFHIRWithWarnings(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	page := ended(t, v, uploaded(t, v,
		"1.Patient.NDJSON", `{"resourceType":"Patient","id":"tom","name":[{"text":"Tom"}],"telecom":[{"system":"email","value":"tom at home"}]}`+"\n",
		"manifest.json", `{"transactionTime":"2026-01-01T00:00:00Z","output":[]}`)).
		Says("What the files would change", "imported, with 2 warnings", "Patients 1 0 0", "FHIR resources 1 0 0", "2 warnings",
			"1.Patient.NDJSON 1 telecom an address is not an e-mail address", "manifest.json 1 The whole line holds lines without a resourceType").
		LacksHTML("No errors or warnings were found", "tom at home")
	decided(t, v, page, "import").Says("Imported", "2 warnings", "1.Patient.NDJSON 1 telecom")
	page = ended(t, v, uploaded(t, v, "episodes.ndjson", `{"resourceType":"EpisodeOfCare","id":"e","status":"active","patient":{"reference":"Patient/tom"}}`)).
		Says("What the files would change", "No errors or warnings were found", "Patients 0 0 0", "FHIR resources 1 0 0").LacksHTML("Line Field Warning")
	decided(t, v, page, "import").Says("Imported")
	page = ended(t, v, uploaded(t, v, "episodes.ndjson", `{"resourceType":"EpisodeOfCare","id":"e","status":"finished","patient":{"reference":"Patient/tom"}}`)).
		Says("Patients 0 1 0", "tom Status Active Discharged")
	decided(t, v, page, "import").Says("Imported")
	v.Get("/directory/patients/tom").Says("Discharged")
}

// If the directory changes after the dry run, the confirmed import is not done, and the
// page shows the changes that the files would make now.
func TestAnOutdatedDryRunIsNotImported(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	page := ended(t, v, uploaded(t, v, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,,active,false\npt-2,Huck,Finn,,active,false\n")).Says("Patients 2 0 0")
	imported(t, s, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,,discharged,false\n")
	page = decided(t, v, page, "import").Says("The directory has changed since you checked the files", "Patients 1 1 0", "pt-1 Status Discharged Active")
	v.Get("/directory/patients").LacksHTML("Huck")

	// An old page confirms nothing; a button pressed twice imports once.
	v.Post(page.URL.Path, url.Values{"do": {"import"}, "digest": {"0"}}).Is(http.StatusOK)
	ended(t, v, page).Says("What the files would change")
	v.Get("/directory/patients").LacksHTML("Huck")
	again := *page
	decided(t, v, page, "import").Says("Imported")
	decided(t, v, &again, "import").Says("Imported")
	awaitImport(t, s)
}

// Staff can't see or confirm another staff member's upload.
func TestUploadsArePrivate(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	ada, otto := s.Staff(t, "Ada Admin", policy.ImportDirectory), s.Staff(t, "Otto Other", policy.ImportDirectory)
	page := ended(t, ada, uploaded(t, ada, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,,active,false\n"))
	otto.Get(page.URL.Path).Says("This import no longer exists").LacksHTML("Tom")
	otto.Get("/directory/import").LacksHTML("Continue with these files")
	for _, what := range []string{"import", "check", "discard"} {
		otto.Post(page.URL.Path, url.Values{"do": {what}, "digest": {between(page.Body, `name="digest" value="`, `"`)}}).Says("This import no longer exists")
	}
	ended(t, ada, page).Says("What the files would change")
	s.Staff(t, "Plain", policy.ManageLabels).Get("/directory/import").Is(http.StatusForbidden)
	uploaded(t, s.Staff(t, "Other", policy.ManageLabels), "p.csv", patientsHeader).Is(http.StatusForbidden)
}

// The page of interrupted work says so, and the work continues from the uploaded files. A
// day later the files are gone.
func TestInterruptedWorkContinues(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	before := s.Keeps(t)
	page := ended(t, v, uploaded(t, v, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,,active,false\n"))
	for state, says := range map[string]string{"checking": "Checking the files", "importing": "Importing"} {
		s.Exec(t, `UPDATE app.directory_imports SET state = $1, done = 1, total = 3, touched_at = $2`, state, s.Clock.Now())
		v.Get(page.URL.Path).Says(says, "33% done")
		v.Fragment(page.URL.Path).Is(http.StatusOK).Says(says).LacksHTML("<html")
		uploaded(t, v, "p.csv", patientsHeader).Is(http.StatusUnprocessableEntity).Says("An import of yours is still under way")
		v.Post(page.URL.Path, url.Values{"do": {"discard"}}).Says(says)
		s.Clock.Advance(time.Minute)
		v.Get(page.URL.Path).Says("The work was interrupted", "Check them again")
	}
	if led := v.Fragment(page.URL.Path); led.Header.Get("HX-Redirect") != page.URL.Path {
		t.Errorf("after the end, the part redirects to %q", led.Header.Get("HX-Redirect"))
	}
	decided(t, v, page, "check").Says("What the files would change")
	s.Exec(t, `UPDATE app.directory_imports SET state = 'failed'`)
	v.Get(page.URL.Path).Says("That did not work")
	decided(t, v, page, "check").Says("What the files would change")

	if err := s.Web.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.Get(page.URL.Path).Says("What the files would change")
	s.Clock.Advance(25 * time.Hour)
	if err := s.Web.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(before, s.Keeps(t)); diff != "" {
		t.Errorf("something is left of it (-before +after):\n%s", diff)
	}
}

// A process that ends in the middle of an import leaves the directory as it was.
func TestACrashDuringAnImportChangesNothing(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	page := ended(t, v, uploaded(t, v, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,,active,false\n", "u.csv", portalUsersHeader+"polly,Polly,,true\n"))
	before := s.Keeps(t)
	// The patients are written; then another connection blocks the portal users.
	tx, err := s.Admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE app.portal_users IN SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	v.Post(page.URL.Path, url.Values{"do": {"import"}, "digest": {between(page.Body, `name="digest" value="`, `"`)}}).Says("Importing")
	waits := func() (n int) {
		if err := s.Admin.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'app.portal_users'::regclass`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for began := time.Now(); waits() == 0; {
		if time.Since(began) > 30*time.Second {
			t.Fatal("the import does not reach the portal users")
		}
	}
	s.Web.Close()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(theDirectory(before), theDirectory(s.Keeps(t))); diff != "" {
		t.Errorf("half an import was kept (-before +after):\n%s", diff)
	}
	s.Clock.Advance(time.Minute)
	v.Get(page.URL.Path).Says("The work was interrupted", "Nothing was imported from these files.")
}

// An import that can't be committed changes neither the directory nor the record, and its
// page says that it failed.
func TestACommitThatFails(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	page := ended(t, v, uploaded(t, v, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,,active,false\n"))
	before := s.Keeps(t)
	s.Exec(t, `CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$`)
	s.Exec(t, `CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON app.outbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.refuse()`)
	page = decided(t, v, page, "import").Says("That did not work", "Nothing was imported from these files.")
	if diff := gocmp.Diff(theDirectory(before), theDirectory(s.Keeps(t))); diff != "" {
		t.Errorf("a part of it was kept (-before +after):\n%s", diff)
	}
	s.Exec(t, `DROP TRIGGER refuse ON app.outbox`)
	page = decided(t, v, page, "check").Says("What the files would change")
	decided(t, v, page, "import").Says("Imported")
}

// If Import is pressed many times at once, the files are imported once.
func TestPressedManyTimes(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	page := ended(t, v, uploaded(t, v, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,,active,false\n"))
	form := url.Values{"do": {"import"}, "digest": {between(page.Body, `name="digest" value="`, `"`)}}
	var pressing sync.WaitGroup
	for range 8 {
		pressing.Go(func() { v.Post(page.URL.Path, form) })
	}
	pressing.Wait()
	ended(t, v, page).Says("Imported", "Patients 1 0 0")
	awaitImport(t, s)
}

// The page of an import uses the clinic's custom labels.
func TestAnImportInTheClinicsWords(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	_, seq, err := s.Web.Labels.Change(t.Context(), "operator:test", labels.To(labels.Labels{Patient: &labels.Label{One: "Client", Many: "Clients"}}))
	if err != nil {
		t.Fatal(err)
	}
	s.Await(t, seq)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	ended(t, v, uploaded(t, v, "p.csv", patientsHeader+"pt-1,Tom,Sawyer,,active,false\n")).Says("Clients 1 0 0").LacksHTML("Patients")
}

// An import of a hundred thousand lines works, and does not keep the lines in memory.
func TestALargeImport(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	v := s.Staff(t, "Ada Admin", policy.ImportDirectory)
	var lines strings.Builder
	lines.WriteString(patientsHeader)
	for n := range 100_000 {
		fmt.Fprintf(&lines, "pt-%06d,Given,Family%d,1980-02-29,active,false\n", n, n)
	}
	page := ended(t, v, uploaded(t, v, "p.csv", lines.String())).Says("Patients 100,000 0 0", "some of 100,000")
	if len(page.Body) > 150_000 {
		t.Errorf("the page has %d bytes", len(page.Body))
	}
	decided(t, v, page, "import").Says("Imported", "100,000")
	found, _, err := directory.SearchPatients(t.Context(), s.Pool, "family99999", 10, "")
	if err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
}
