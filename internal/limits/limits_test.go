package limits_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"postern/internal/limits"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// Every limit is a constant with a unit and a comment, and is in the table by its name.
func TestTheTableIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "limits.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var declared, listed []string
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			name := value.Names[0].Name
			if value.Type == nil || !strings.HasPrefix(value.Doc.Text(), name+" is ") {
				t.Errorf("%s has no unit, or no comment that says what it is", name)
			}
			declared = append(declared, name)
		}
	}
	for _, limit := range limits.All {
		listed = append(listed, limit.Name)
		if limit.Of == "" {
			t.Errorf("the table does not say what %s limits", limit.Name)
		}
	}
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("limits (-constants +table):\n%s", diff)
	}
}

// A CHECK of the database that bounds a size or a length has the number that the table
// has. One with another column fails until it is listed here.
func TestTheDatabaseHasTheSameLimits(t *testing.T) {
	want := map[string]int64{
		"app.attachments.size":            int64(limits.AttachmentSize),
		"app.patients.patient_id":         int64(limits.DirectoryID),
		"app.portal_users.portal_user_id": int64(limits.DirectoryID),
		"record.clinic.logo":              int64(limits.ClinicLogo),
	}
	rows, err := storetest.Pool(t, store.RoleAdmin).Query(t.Context(), `
		SELECT c.conrelid::regclass::text || '.' || a.attname, pg_get_constraintdef(c.oid)
		FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
		WHERE c.contype = 'c' AND cardinality(c.conkey) = 1 AND c.connamespace::regnamespace::text IN ('app', 'record')`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	var column, check string
	bound := regexp.MustCompile(`<= (\d{2,})`)
	_, err = pgx.ForEachRow(rows, []any{&column, &check}, func() error {
		if found := bound.FindStringSubmatch(check); found != nil {
			got[column], err = strconv.ParseInt(found[1], 10, 64)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bounds of the database's CHECKs (-limits +database), which a migration changes:\n%s", diff)
	}
}

// Pages name no limit that there is not.
func TestPagesNameLimits(t *testing.T) {
	call := regexp.MustCompile(`\blimit "(\w+)"`)
	found := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".html" {
			return err
		}
		source, err := os.ReadFile(path)
		for _, used := range call.FindAllStringSubmatch(string(source), -1) {
			found++
			if _, err := limits.Number(used[1]); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		return err
	})
	if err != nil || found < 10 {
		t.Errorf("found %d names of limits: %v", found, err)
	}
}

func TestFill(t *testing.T) {
	const text = "1 to {Body}, at most {Recipients}; a document has at most {AttachmentSize}; {id}"
	want := "1 to " + limits.Body.String() + ", at most " + limits.Recipients.String() + "; a document has at most " + limits.AttachmentSize.String() + "; {id}"
	if got := limits.Fill(text); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for value, want := range map[interface{ String() string }]string{limits.Bytes(4 << 20): "4 MB", limits.Characters(100_000): "100,000 characters",
		limits.Count(5000): "5,000", limits.Seconds(600): "600 seconds", limits.Days(366): "366 days"} {
		if value.String() != want {
			t.Errorf("%s, want %s", value, want)
		}
	}
	if _, err := limits.Number("Nothing"); err == nil {
		t.Error("a limit that there is not has a number")
	}
	if n, err := limits.Number("Subject"); err != nil || n != int64(limits.Subject) {
		t.Errorf("the subject has %d: %v", n, err)
	}
}
