package imports

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory/source"
	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// csvFiles makes files from pairs of name and content.
func csvFiles(namesAndContents ...string) (files []File) {
	for i := 0; i < len(namesAndContents); i += 2 {
		content := namesAndContents[i+1]
		files = append(files, File{Name: namesAndContents[i], Size: int64(len(content)), Content: strings.NewReader(content)})
	}
	return files
}

// dump returns the directory as text, without numbers.
func dump(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		SELECT row FROM (SELECT concat_ws('|', 'patient', patient_id, given_name, family_name, coalesce(birth_date::text, '-'), status, deceased) AS row FROM app.patients
		UNION ALL SELECT concat_ws('|', 'user', portal_user_id, name, email, active) FROM app.portal_users
		UNION ALL SELECT concat_ws('|', 'link', portal_user_id, patient_id, relationship, coalesce(valid_from::text, '-'), coalesce(valid_until::text, '-'))
		    FROM app.links JOIN app.portal_users USING (portal_user_no) JOIN app.patients USING (patient_no)) rows
		ORDER BY row COLLATE "C"`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func TestImportCSV(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	files := func() []File {
		return csvFiles(
			"links.csv", sourcetest.LinksHeader+"ana,pt-1,self,,\r\nana,pt-2,representative,2020-02-29,2030-12-31\r\n",
			"patients.csv", "\uFEFFstatus,patient_id,family_name,given_name,birth_date,deceased\nactive,pt-1,O'Brien,Ana,1980-02-29,false\n\ndischarged,pt-2,\"Šuštar, \"\"Jr\"\"\",李,,true\n",
			"users.csv", sourcetest.PortalUsersHeader+"ana,Ana O'Brien,Ana@example.test,true\nbo.b_2,Боб,,false",
		)
	}
	want := Summary{Patients: Changes{New: 2}, PortalUsers: Changes{New: 2}, Links: Changes{New: 2}}
	inTxCalls := 0
	inTx := func(ctx context.Context, tx pgx.Tx, s Summary) error {
		inTxCalls++
		return nil
	}

	dry, err := CSV(t.Context(), pool, files(), Options{DryRun: true, InTx: inTx})
	if diff := gocmp.Diff(want, dry); diff != "" || err != nil {
		t.Errorf("dry run: %v (-want +got):\n%s", err, diff)
	}
	if got := dump(t, pool); got != "" {
		t.Errorf("a dry run changed the directory:\n%s", got)
	}

	var last, total int64
	progress := func(done, of int64) {
		if done < last || done > of {
			t.Errorf("progress went from %d to %d of %d", last, done, of)
		}
		last, total = done, of
	}
	first, err := CSV(t.Context(), pool, files(), Options{InTx: inTx, Progress: progress})
	if diff := gocmp.Diff(want, first); diff != "" || err != nil {
		t.Fatalf("import: %v (-want +got):\n%s", err, diff)
	}
	if last != total || total == 0 {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	wantRows := strings.Join([]string{
		"link|ana|pt-1|self|-|-",
		"link|ana|pt-2|representative|2020-02-29|2030-12-31",
		"patient|pt-1|Ana|O'Brien|1980-02-29|active|f",
		`patient|pt-2|李|Šuštar, "Jr"|-|discharged|t`,
		"user|ana|Ana O'Brien|Ana@example.test|t",
		"user|bo.b_2|Боб||f",
	}, "\n")
	if diff := gocmp.Diff(wantRows, dump(t, pool)); diff != "" {
		t.Errorf("directory (-want +got):\n%s", diff)
	}

	again, err := CSV(t.Context(), pool, files(), Options{InTx: inTx})
	want = Summary{Patients: Changes{Unchanged: 2}, PortalUsers: Changes{Unchanged: 2}, Links: Changes{Unchanged: 2}}
	if diff := gocmp.Diff(want, again); diff != "" || err != nil {
		t.Errorf("a second import of the same files: %v (-want +got):\n%s", err, diff)
	}
	if inTxCalls != 1 {
		t.Errorf("InTx was called %d times: it must be called once, by the import that changed rows", inTxCalls)
	}

	// A later file may hold fewer rows, and refer to rows of the directory.
	changed, err := CSV(t.Context(), pool, csvFiles(
		"l.csv", sourcetest.LinksHeader+"ana,pt-1,self,2026-01-01,\nana,pt-2,representative,2020-02-29,2030-12-31\nbo.b_2,pt-1,representative,,\n",
		"u.csv", sourcetest.PortalUsersHeader+"ana,Ana O'Brien,ana@example.test,true\n"), Options{})
	want = Summary{PortalUsers: Changes{Changed: 1}, Links: Changes{New: 1, Changed: 1, Unchanged: 1}}
	if diff := gocmp.Diff(want, changed); diff != "" || err != nil {
		t.Errorf("a change: %v (-want +got):\n%s", err, diff)
	}
}

// An address that did not work is used again once it has changed. Each change of the
// address makes a new version, and nothing else does.
func TestVersionsOfAnAddress(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	for _, c := range []struct {
		line string
		want int
	}{
		{"ana,Ana,ana@example.test,true", 0},
		{"ana,Ana O'Brien,ana@example.test,true", 0},
		{"ana,Ana O'Brien,Ana@Example.test,false", 0}, // the same mailbox
		{"ana,Ana O'Brien,,true", 1},
		{"ana,Ana O'Brien,ana@example.test,true", 2},
		{"ana,Ana O'Brien,ana@example.test,true", 2},
	} {
		if _, err := CSV(t.Context(), pool, csvFiles("u.csv", sourcetest.PortalUsersHeader+c.line+"\n"), Options{}); err != nil {
			t.Fatal(err)
		}
		var got int
		if err := pool.QueryRow(t.Context(), `SELECT email_version FROM app.portal_users`).Scan(&got); err != nil || got != c.want {
			t.Errorf("after %s the address has version %d, want %d: %v", c.line, got, c.want, err)
		}
	}
}

func TestTheCallersRowsAreCommittedWithTheImport(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	broken := errors.New("the outbox is broken")
	_, err := CSV(t.Context(), pool, csvFiles("u.csv", sourcetest.PortalUsersHeader+"ana,Ana,,true\n"), Options{
		InTx: func(context.Context, pgx.Tx, Summary) error { return broken }})
	if !errors.Is(err, broken) || dump(t, pool) != "" {
		t.Errorf("%v; directory: %q", err, dump(t, pool))
	}
}

func TestACancelledImportLeavesNothing(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	ctx, cancel := context.WithCancel(t.Context())
	files := csvFiles("u.csv", sourcetest.PortalUsersHeader+"ana,Ana,,true\n")
	files = append(files, File{Name: "p.csv", Content: readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, io.ErrNoProgress
	})})
	if _, err := CSV(ctx, pool, files, Options{}); err == nil || dump(t, pool) != "" {
		t.Errorf("%v; directory: %q", err, dump(t, pool))
	}
}

func TestImportCSVRefuses(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	if _, err := CSV(t.Context(), pool, csvFiles(
		"p.csv", sourcetest.PatientsHeader+"pt-0,A,B,,active,false\n", "u.csv", sourcetest.PortalUsersHeader+"pu-0,A,,true\n"), Options{}); err != nil {
		t.Fatal(err)
	}
	before := dump(t, pool)
	long := strings.Repeat("x", 201)
	for _, c := range []struct {
		name  string
		files []File
		want  string // the lines of the refusal
	}{
		{"an empty file", csvFiles("a.csv", ""), "a.csv:1: the file is empty: it needs a header line"},
		{"a file with only a byte order mark", csvFiles("a.csv", "\uFEFF"), "a.csv:1: the file is empty: it needs a header line"},
		{"no header", csvFiles("a.csv", "pt-1,Ana,Smith,1980-01-01,active,false\n"),
			"a.csv:1: the header is of none of the files that can be imported: it must be portal_user_id,patient_id,relationship,from,until or portal_user_id,name,email,active or patient_id,given_name,family_name,birth_date,status,deceased"},
		{"a missing column", csvFiles("a.csv", "portal_user_id,name,email\n"),
			"a.csv:1: the header lacks active: the header of portal_users.csv must be portal_user_id,name,email,active"},
		{"an unknown column", csvFiles("a.csv", "portal_user_id,name,email,active,phone\n"),
			"a.csv:1: the header names the column phone, which portal_users.csv does not have: it must be portal_user_id,name,email,active"},
		{"a column that may be data", csvFiles("a.csv", "portal_user_id,name,ana@example.test,active\n"),
			"a.csv:1: the header names a column, which portal_users.csv does not have: it must be portal_user_id,name,email,active"},
		{"a column twice", csvFiles("a.csv", "portal_user_id,name,email,active,email\n"),
			"a.csv:1: the header names the column email twice"},
		{"too few fields", csvFiles("a.csv", sourcetest.PortalUsersHeader+"\npu-1,Ana,,true\npu-2,Bob,true\n"),
			"a.csv:4: has 3 fields, where the header has 4"},
		{"too many fields", csvFiles("a.csv", sourcetest.PortalUsersHeader+"pu-2,Bob,Jr,,true\n"),
			"a.csv:2: has 5 fields, where the header has 4"},
		{"a quote that is not closed", csvFiles("a.csv", sourcetest.PortalUsersHeader+"pu-1,Ana,,true\npu-2,\"Bob,,true\npu-3,Eve,,true\n"),
			"a.csv:3: a quoted field does not end with a quote: double each quote inside it and put a quote at its end (the rest of the file was not read)"},
		{"a bare quote", csvFiles("a.csv", sourcetest.PortalUsersHeader+"pu-2,B\"ob,,true\npu-3,Eve,bad,true\n"),
			"a.csv:2: there is a quote inside a field: put the field in quotes and double each quote in it (the rest of the file was not read)"},
		{"a quote never closed in a large file", csvFiles("a.csv", sourcetest.PortalUsersHeader+"pu-1,Ana,,true\npu-2,\"Bob,,true\n"+strings.Repeat("pu-3,Eve,,true\n", 10_000)),
			"a.csv:3: is longer than 64 KiB: a quote may not be closed (the rest of the file was not read)"},
		{"an endless line", csvFiles("a.csv", sourcetest.PortalUsersHeader+"pu-1,Ana,,true\npu-2,"+strings.Repeat("x", 100_000)+",,true\n"),
			"a.csv:3: is longer than 64 KiB (the rest of the file was not read)"},
		{"lines after a field of several lines", csvFiles("a.csv", sourcetest.PortalUsersHeader+"pu-1,\"Ana\n\nMaria\",,true\npu-2,Bob,,maybe\n"),
			"a.csv:2: name: holds a control character or a line break\na.csv:5: active: must be true or false, or yes or no"},
		{"a fault behind a field of several lines", csvFiles("a.csv", sourcetest.PortalUsersHeader+"pu-1,\"Ana\nMaria\",,maybe\n"),
			"a.csv:2: name: holds a control character or a line break\na.csv:3: active: must be true or false, or yes or no"},
		{"wrong fields of portal users", csvFiles("a.csv", sourcetest.PortalUsersHeader+
			",Ana,,true\n"+
			"pu 1,Ana,,true\n"+
			strings.Repeat("x", 65)+",Ana,,true\n"+
			"pu-1,,,true\n"+
			"pu-2, ,,true\n"+
			"pu-3,"+long+",,true\n"+
			"pu-4,A\x07na,,true\n"+
			"pu-6,Ana,Ana <ana@example.test>,true\n"+
			"pu-7,Ana,ana@,true\n"+
			"pu-8,Ana,\"ana@example.test, bob@example.test\",true\n"+
			"pu-9,Ana,"+strings.Repeat("a", 60)+"@"+strings.Repeat("b.", 97)+"test,true\n"+
			"pu-10,Ana,,maybe\n"+
			"pu-11,,ana,\n"),
			`a.csv:2: portal_user_id: is missing
a.csv:3: portal_user_id: may hold only letters A to Z, digits, '.', '_' and '-'
a.csv:4: portal_user_id: is longer than 64 characters
a.csv:5: name: is missing
a.csv:6: name: is missing
a.csv:7: name: is longer than 200 characters
a.csv:8: name: holds a control character or a line break
a.csv:9: email: is not an e-mail address of the form name@example.org
a.csv:10: email: is not an e-mail address of the form name@example.org: the domain after the @ begins or ends with a dot, or has two in a row
a.csv:11: email: is not an e-mail address of the form name@example.org
a.csv:12: email: is longer than 254 characters
a.csv:13: active: must be true or false, or yes or no
a.csv:14: name: is missing
a.csv:14: email: is not an e-mail address of the form name@example.org
a.csv:14: active: must be true or false, or yes or no`},
		{"wrong fields of patients", csvFiles("a.csv", sourcetest.PatientsHeader+
			"pt-1,,,,active,false\n"+
			"pt-2,A,B,1980-02-30,active,false\n"+
			"pt-3,A,B,01/02/1980,active,false\n"+
			"pt-4,A,B,0000-01-01,active,false\n"+
			"pt-5,A,B,,alive,false\n"+
			"pt-6,A,B,,,\n"+
			"pt-7,A\u0085A,"+long+",,active,false\n"),
			`a.csv:2: family_name: is missing, and so is given_name: a patient needs one of them
a.csv:3: birth_date: is not a date of the form YYYY-MM-DD, as 1980-12-31: in Excel, give the cells the format yyyy-mm-dd
a.csv:4: birth_date: is not a date of the form YYYY-MM-DD, as 1980-12-31: in Excel, give the cells the format yyyy-mm-dd
a.csv:5: birth_date: is not a date of the form YYYY-MM-DD, as 1980-12-31: in Excel, give the cells the format yyyy-mm-dd
a.csv:6: status: must be active or discharged
a.csv:7: status: must be active or discharged
a.csv:7: deceased: must be true or false, or yes or no
a.csv:8: given_name: holds a control character or a line break
a.csv:8: family_name: is longer than 200 characters`},
		{"wrong fields of links", csvFiles("a.csv", sourcetest.LinksHeader+
			",pt-0,self,,\n"+
			"pu-0,pt/0,self,,\n"+
			"pu-0,pt-0,mother,,\n"+
			"pu-0,pt-0,self,2026-02-02,2026-02-01\n"+
			"pu-0,pt-0,representative,2026-13-01,soon\n"),
			`a.csv:2: portal_user_id: is missing
a.csv:3: patient_id: may hold only letters A to Z, digits, '.', '_' and '-'
a.csv:4: relationship: must be self or representative
a.csv:5: until: is before from
a.csv:6: from: is not a date of the form YYYY-MM-DD, as 1980-12-31: in Excel, give the cells the format yyyy-mm-dd
a.csv:6: until: is not a date of the form YYYY-MM-DD, as 1980-12-31: in Excel, give the cells the format yyyy-mm-dd`},
		{"duplicates", csvFiles(
			"p.csv", sourcetest.PatientsHeader+"pt-1,A,B,,active,false\npt-2,A,B,,active,false\npt-1,A,B,,active,false\npt-1,C,D,,active,false\n",
			"u.csv", sourcetest.PortalUsersHeader+"pu-1,A,,true\npu-1,A,,true\n",
			"u2.csv", sourcetest.PortalUsersHeader+"pu-1,A,,true\n",
			"l.csv", sourcetest.LinksHeader+"pu-1,pt-1,self,,\npu-1,pt-1,representative,,\npu-1,pt-1,self,2026-01-01,\n"),
			`p.csv:4: patient_id: is already used at line 2
p.csv:5: patient_id: is already used at line 2
u.csv:3: portal_user_id: is already used at line 2
u2.csv:2: portal_user_id: is already used at u.csv:2
l.csv:4: is the same link as line 2`},
		{"links to unknown ids", csvFiles(
			"l.csv", sourcetest.LinksHeader+"pu-0,pt-0,self,,\npu-9,pt-0,self,,\npu-0,pt-9,self,,\npu-8,pt-8,self,2026-02-02,2026-02-01\n"),
			`l.csv:3: portal_user_id: names no portal user in these files or in the directory
l.csv:4: patient_id: names no patient in these files or in the directory
l.csv:5: until: is before from
l.csv:5: portal_user_id: names no portal user in these files or in the directory
l.csv:5: patient_id: names no patient in these files or in the directory`},
		{"a link to a wrong line is not wrong itself", csvFiles(
			"u.csv", sourcetest.PortalUsersHeader+"pu-1,,,true\n", "l.csv", sourcetest.LinksHeader+"pu-1,pt-0,self,,\n"),
			`u.csv:2: name: is missing`},
		{"a link to the unread rest of a file is not wrong", csvFiles(
			"u.csv", sourcetest.PortalUsersHeader+"pu-1,A\"na,,true\npu-2,Bob,,true\n", "l.csv", sourcetest.LinksHeader+"pu-2,pt-0,self,,\n"),
			`u.csv:2: there is a quote inside a field: put the field in quotes and double each quote in it (the rest of the file was not read)`},
		{"one wrong file of two", csvFiles(
			"p.csv", sourcetest.PatientsHeader+"pt-1,A,B,,active,false\n", "u.csv", sourcetest.PortalUsersHeader+"pu-1,Ana,,maybe\n"),
			`u.csv:2: active: must be true or false, or yes or no`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := CSV(t.Context(), pool, c.files, Options{})
			var refused *source.Refused
			if !errors.As(err, &refused) {
				t.Fatal("not refused:", err)
			}
			_, got, _ := strings.Cut(refused.Error(), "\n")
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(before, dump(t, pool)); diff != "" {
				t.Errorf("the refused import changed rows (-before +after):\n%s", diff)
			}
		})
	}
}

func TestARefusalListsAHundredLinesAndCountsAll(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	_, err := CSV(t.Context(), pool, csvFiles(
		"l.csv", sourcetest.LinksHeader+strings.Repeat("pu-1,pt-1,self,,\n", 3000),
		"u.csv", sourcetest.PortalUsersHeader+strings.Repeat("pu-1,,,true\n", 3000)), Options{DryRun: true})
	var refused *source.Refused
	if !errors.As(err, &refused) {
		t.Fatal("not refused:", err)
	}
	// 2,999 of the links repeat the first, which has no patient in the directory. Each of
	// the portal users lacks a name, and 2,999 repeat the first.
	if refused.Total != 2999+1+3000+2999 || len(refused.Lines) != 100 || refused.Lines[0].Line != 2 || refused.Lines[99].Line != 101 {
		t.Errorf("total %d, %d lines, the first %v", refused.Total, len(refused.Lines), refused.Lines[0])
	}
	if !strings.HasSuffix(err.Error(), "\nand 8899 more") {
		t.Error(err)
	}
}

func TestImportNeedsAFile(t *testing.T) {
	if _, err := CSV(t.Context(), nil, nil, Options{}); err == nil {
		t.Error("no file was accepted")
	}
	if _, err := FHIR(t.Context(), nil, fstest.MapFS{}, Options{}); err == nil {
		t.Error("an empty folder was accepted")
	}
	if _, err := FHIR(t.Context(), storetest.Pool(t, store.RoleAPI), fstest.MapFS{"Observation.ndjson": {}}, Options{}); err == nil {
		t.Error("a folder without a file to import was accepted")
	}
}

// Numbers have 31 bits and are never reused. Only inserted rows take one, not rows of a
// refused import or a dry run.
func TestOnlyInsertedRowsTakeNumbers(t *testing.T) {
	url := storetest.New(t)
	pool, admin := storetest.Open(t, url, store.RoleAPI), storetest.Open(t, url, store.RoleAdmin)
	good := func() []File {
		return csvFiles("p.csv", sourcetest.PatientsHeader+"pt-1,A,B,,active,false\npt-2,A,B,,active,false\n",
			"u.csv", sourcetest.PortalUsersHeader+"ana,Ana,,true\nbo,Bo,,true\n",
			"l.csv", sourcetest.LinksHeader+"ana,pt-1,self,,\nbo,pt-2,self,,\n")
	}
	failed := errors.New("the outbox is full")
	for name, c := range map[string]struct {
		files   []File
		opts    Options
		refused bool
	}{
		"a dry run":          {good(), Options{DryRun: true}, false},
		"a wrong line":       {append(good(), csvFiles("p2.csv", sourcetest.PatientsHeader+"pt 3,A,B,,active,false\n")...), Options{}, true},
		"a duplicate":        {append(good(), csvFiles("u2.csv", sourcetest.PortalUsersHeader+"ana,Ana,,true\n")...), Options{}, true},
		"an unknown user":    {append(good(), csvFiles("l2.csv", sourcetest.LinksHeader+"eve,pt-1,self,,\n")...), Options{}, true},
		"an unknown patient": {append(good(), csvFiles("l2.csv", sourcetest.LinksHeader+"ana,pt-9,self,,\n")...), Options{DryRun: true}, true},
	} {
		_, err := CSV(t.Context(), pool, c.files, c.opts)
		var refused *source.Refused
		if errors.As(err, &refused) != c.refused || !c.refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var spent int
	if err := admin.QueryRow(t.Context(), `SELECT count(*) FROM pg_sequences WHERE schemaname = 'app' AND last_value IS NOT NULL
		AND sequencename IN ('patients_patient_no_seq', 'portal_users_portal_user_no_seq')`).Scan(&spent); err != nil || spent != 0 {
		t.Errorf("%d sequences were used: %v", spent, err)
	}
	// An import that fails for another reason does use numbers.
	if _, err := CSV(t.Context(), pool, good(), Options{InTx: func(context.Context, pgx.Tx, Summary) error { return failed }}); !errors.Is(err, failed) {
		t.Error(err)
	}
	dry, err := CSV(t.Context(), pool, good(), Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	real, err := CSV(t.Context(), pool, good(), Options{})
	if diff := gocmp.Diff(dry, real); diff != "" || err != nil {
		t.Errorf("%v (-dry run +import):\n%s", err, diff)
	}
}

// An import that is idle in the database, for example because its process was stopped,
// does not block another, and changes nothing when it continues.
func TestAnIdleImportLosesItsLock(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAPI)
	patients := func(id string) []File {
		return csvFiles("patients.csv", sourcetest.PatientsHeader+id+",A,B,,active,false\n")
	}
	idle, resume := make(chan struct{}), make(chan struct{})
	woken := make(chan error)
	go func() {
		_, err := CSV(t.Context(), pool, patients("first"), Options{InTx: func(ctx context.Context, tx pgx.Tx, _ Summary) error {
			var timeout string
			err := tx.QueryRow(ctx, `SHOW idle_in_transaction_session_timeout`).Scan(&timeout)
			if err == nil && timeout != idleTimeout {
				err = errors.New("the idle timeout is " + timeout)
			}
			if err == nil { // shorter, so that the test does not wait as long
				_, err = tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = '50ms'`)
			}
			close(idle)
			<-resume
			return err
		}})
		woken <- err
	}()
	<-idle
	if _, err := CSV(t.Context(), pool, patients("second"), Options{}); err != nil {
		t.Error(err)
	}
	close(resume)
	if err := <-woken; err == nil || !strings.Contains(err.Error(), "which also happens if this process hangs") {
		t.Errorf("the first import returned %v", err)
	}
	if got := dump(t, pool); got != "patient|second|A|B|-|active|f" {
		t.Error(got)
	}
}

// An import that reads its files does not block another.
func TestAnImportHoldsNoLockWhileReading(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAPI)
	slow, rest := io.Pipe()
	read := make(chan error)
	go func() {
		_, err := CSV(t.Context(), pool, []File{{Name: "patients.csv", Content: slow}}, Options{})
		read <- err
	}()
	_, err := io.WriteString(rest, sourcetest.PatientsHeader+"pt-1,A,B,,active,false\n")
	if err != nil {
		t.Fatal(err)
	}
	// Its counts consider the rows that the other import added.
	if _, err := CSV(t.Context(), pool, csvFiles("patients.csv", sourcetest.PatientsHeader+"pt-1,A,C,,active,false\n"), Options{}); err != nil {
		t.Fatal(err)
	}
	_ = rest.Close()
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if got := dump(t, pool); got != "patient|pt-1|A|B|-|active|f" {
		t.Error(got)
	}
}
