package imports

import (
	"errors"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/internal/directory/source"
	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// caseFile returns a file as clinics have them.
func caseFile(t *testing.T, name string) []File {
	t.Helper()
	content, err := os.ReadFile("testdata/cases/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return csvFiles(name, string(content))
}

func TestAFileThatExcelSaved(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	for i, want := range []Changes{{New: 2}, {Unchanged: 2}} {
		s, err := CSV(t.Context(), pool, caseFile(t, "csv-saved-by-excel.csv"), Options{})
		if err != nil || s.PortalUsers != want {
			t.Fatalf("import %d: %+v, %v", i+1, s.PortalUsers, err)
		}
	}
	want := "user|xl1|Xl One|xl1@xl.test|t\nuser|xl2|Xl Two|xl2@xl.test|f"
	if diff := gocmp.Diff(want, dump(t, pool)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAddressesWithInvisibleCharacters(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	if _, err := CSV(t.Context(), pool, caseFile(t, "email-invisible-characters.csv"), Options{}); err != nil {
		t.Fatal(err)
	}
	want := "user|ei1|Ei One|ann@ei.test|t\nuser|ei2|Ei Two|bob@ei.test|t\nuser|ei3|Ei Three|cy@ei.test|t"
	if diff := gocmp.Diff(want, dump(t, pool)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A wrong address refuses the file. The error has the line and the reason.
func TestAWrongAddressRefusesTheFile(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	long := strings.Repeat("a", 64)
	_, err := CSV(t.Context(), pool, csvFiles("u.csv", sourcetest.PortalUsersHeader+
		"pu-1,A,ann@ei.test,true\npu-2,B,bob@"+long+".test,true\npu-3,C,cy@ei\u00a0.test,true\npu-4,D,dé@ei.test,true\n"), Options{})
	var refused *source.Refused
	if !errors.As(err, &refused) {
		t.Fatal("not refused:", err)
	}
	want := []source.WrongLine{
		{File: "u.csv", Line: 3, Field: "email", Reason: "has a part of more than 63 characters between the dots of its domain"},
		{File: "u.csv", Line: 4, Field: "email", Reason: "contains U+00A0 NO-BREAK SPACE after 5 characters: an address has no blanks inside"},
		{File: "u.csv", Line: 5, Field: "email", Reason: "contains U+00E9 LATIN SMALL LETTER E WITH ACUTE after 1 character: before the @ only ASCII letters, digits and signs are supported"},
	}
	if diff := gocmp.Diff(want, refused.Lines); diff != "" || dump(t, pool) != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Addresses are stored in the same clean form, whatever kind of file they come from.
func TestAddressesOfFHIRAreCleaned(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	_, err := FHIR(t.Context(), pool, sourcetest.Folder("Patient.ndjson",
		`{"resourceType":"Patient","id":"p-1","telecom":[{"system":"email","value":"\u200bann@münchen.example\u00a0"}]}`), Options{Today: today})
	if err != nil || !strings.Contains(dump(t, pool), "|ann@xn--mnchen-3ya.example|") {
		t.Errorf("%v: %s", err, dump(t, pool))
	}
}
