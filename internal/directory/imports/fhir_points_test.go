package imports

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory/audience"
	"postern/internal/directory/source"
	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// audiences returns the ids in each group on the day of the tests: the result of an import.
func audiences(t tb, pool *pgxpool.Pool) string {
	t.Helper()
	var lines []string
	for _, group := range []audience.Group{audience.ActivePatients, audience.DischargedPatients, audience.AllPortalUsers} {
		var ids []string
		for cursor, more := "", true; more; more = cursor != "" {
			page, next, err := audience.Page(t.Context(), pool, audience.Selection{Groups: []audience.Group{group}}, today, 100, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				ids = append(ids, m.ID)
			}
			cursor = next
		}
		slices.Sort(ids)
		lines = append(lines, strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(string(group), "_patients"), "_portal_users")+": "+strings.Join(ids, " ")))
	}
	return strings.Join(lines, "; ")
}

// importAll imports folders one after the other, and returns the last summary. A dry run
// before each must return the same summary, and a second import must change nothing.
func importAll(t tb, pool *pgxpool.Pool, folders ...fs.FS) (last Summary, err error) {
	t.Helper()
	for _, dir := range folders {
		dry, dryErr := FHIR(t.Context(), pool, dir, Options{Today: today, DryRun: true})
		last, err = FHIR(t.Context(), pool, dir, Options{Today: today})
		if (dryErr == nil) != (err == nil) || !dry.Equal(last) {
			t.Fatalf("the dry run returned %+v (%v), the import %+v (%v)", dry, dryErr, last, err)
		}
		if err != nil {
			return Summary{}, err
		}
		again, err := FHIR(t.Context(), pool, dir, Options{Today: today})
		if err != nil || again.Changed() {
			t.Fatalf("a second import of the same folder: %+v, %v", again, err)
		}
	}
	return last, nil
}

// warningText formats warnings as text.
func warningText(warnings []source.WrongLine) string {
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.String())
	}
	return strings.Join(lines, "\n")
}

// lines joins resources to a file. Each is made by res from kind, id and further members;
// P is a Patient, R a RelatedPerson, E an EpisodeOfCare.
func lines(resources ...string) string { return strings.Join(resources, "\n") + "\n" }

func res(kind, id string, members ...string) string {
	full := map[string]string{"P": "Patient", "R": "RelatedPerson", "E": "EpisodeOfCare"}[kind]
	return `{"resourceType":"` + full + `","id":"` + id + `"` + strings.Join(append([]string{""}, members...), ",") + `}`
}

func of(patient string) string { return `"patient":{"reference":"Patient/` + patient + `"}` }
func status(s string) string   { return `"status":"` + s + `"` }
func updated(day int) string {
	return fmt.Sprintf(`"meta":{"lastUpdated":"2026-01-%02dT00:00:00Z"}`, day)
}
func versioned(v string) string { return `"meta":{"versionId":"` + v + `"}` }
func replacedBy(p string) string {
	return `"link":[{"type":"replaced-by","other":{"reference":"Patient/` + p + `"}}]`
}
func replaces(p string) string {
	return `"link":[{"type":"replaces","other":{"reference":"Patient/` + p + `"}}]`
}
func mailed(address string) string { return `"telecom":[{"system":"email","value":"` + address + `"}]` }

// deleted returns a line of the files that a bulk export's manifest lists as deleted.
func deleted(urls ...string) string {
	var entries []string
	for _, url := range urls {
		entries = append(entries, `{"request":{"method":"DELETE","url":"`+url+`"}}`)
	}
	return `{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Join(entries, ",") + `]}`
}

func gzipped(content string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(content))
	_ = w.Close()
	return b.String()
}

// damagedGzip returns a gzip file with a changed byte in the middle.
func damagedGzip(content string) string {
	packed := []byte(gzipped(content))
	packed[len(packed)/2] ^= 0xff
	return string(packed)
}

// resettable returns a database and a function that empties its directory. A database for
// each of many small cases would take minutes.
func resettable(t *testing.T) (*pgxpool.Pool, func()) {
	t.Helper()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	return storetest.Open(t, url, store.RoleAPI), func() {
		if _, err := admin.Exec(context.Background(), `DELETE FROM app.links; DELETE FROM app.portal_users; DELETE FROM app.patients;
			DELETE FROM app.fhir_patients; DELETE FROM app.fhir_replacements; DELETE FROM app.fhir_related_persons; DELETE FROM app.fhir_episodes`); err != nil {
			t.Fatal(err)
		}
	}
}

// story is the expected result of imports of FHIR folders, one after the other.
type story struct {
	name     string
	folders  []fs.FS
	want     string // the audiences
	warnings string // of the last import; the beginning of each, one a line
	refused  string // a text in the error of the last import, if that is refused
}

func runStories(t *testing.T, stories []story) {
	t.Helper()
	pool, forget := resettable(t)
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			forget()
			last, err := importAll(t, pool, s.folders...)
			var refused *source.Refused
			switch {
			case s.refused != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), s.refused)):
				t.Errorf("the import was not refused with %q: %v", s.refused, err)
			case s.refused == "" && err != nil:
				t.Fatal(err)
			}
			if got := audiences(t, pool); got != s.want {
				t.Errorf("the audiences are\n%s\nand should be\n%s", got, s.want)
			}
			want := strings.Split(s.warnings, "\n")
			if s.warnings == "" {
				want = nil
			}
			wrong := len(last.Warnings) != len(want)
			for i := range want {
				wrong = wrong || !strings.HasPrefix(last.Warnings[i].String(), want[i])
			}
			if wrong || last.WarningCount != len(want) {
				t.Errorf("the warnings are\n%s\nand should begin\n%s", warningText(last.Warnings), s.warnings)
			}
		})
	}
}

func dirOf(t *testing.T, name string) fs.FS {
	t.Helper()
	return os.DirFS("testdata/" + name)
}

// Files are recognized by their content. Files that are not read are listed in warnings.
func TestFilesAreRecognizedByTheirContent(t *testing.T) {
	t.Parallel()
	three := lines(res("P", "p"), res("R", "r", of("p")), res("E", "e", of("p"), status("finished")))
	const wanted = "active:; discharged: p r; all: p r"
	pretty := func(text string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, "{", "{\n"), ",", ",\n  ")
	}
	bundle := `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + strings.ReplaceAll(strings.TrimSpace(three), "\n", `},{"resource":`) + `}]}`
	runStories(t, []story{
		{"client file names", []fs.FS{dirOf(t, "fhir-client-file-names")}, "active:; discharged: cf1 cfr; all: cf1 cfr", "", ""},
		{"one file of several types", []fs.FS{sourcetest.Folder("export.ndjson", three)}, wanted, "", ""},
		{"no extension", []fs.FS{sourcetest.Folder("1", three)}, wanted, "", ""},
		{"an extension in upper case, CRLF, a BOM and blank lines", []fs.FS{sourcetest.Folder("X.NDJSON", "\uFEFF\r\n \r\n"+strings.ReplaceAll(three, "\n", "\r\n\r\n"))}, wanted, "", ""},
		{"a BOM alone before", []fs.FS{sourcetest.Folder("X.NDJSON", "\uFEFF"+three)}, wanted, "", ""},
		{"no line break at the end", []fs.FS{sourcetest.Folder("x.ndjson", strings.TrimSpace(three))}, wanted, "", ""},
		{"a folder inside the folder is warned of", []fs.FS{sourcetest.Folder("x.ndjson", three, "older/x.ndjson", res("P", "z"))}, wanted, "older:1: is a folder inside the export folder: it was not read", ""},
		{"gzip", []fs.FS{sourcetest.Folder("x.ndjson.gz", gzipped(three))}, wanted, "", ""},
		{"a Bundle on a line", []fs.FS{sourcetest.Folder("x.ndjson", bundle)}, wanted, "", ""},
		{"a Bundle over many lines", []fs.FS{sourcetest.Folder("x.json", "\n"+pretty(bundle))}, wanted, "", ""},
		{"a resource over many lines, in gzip", []fs.FS{sourcetest.Folder("p.json.gz", gzipped(pretty(res("P", "p"))), "x.json", lines(res("R", "r", of("p")), res("E", "e", of("p"), status("finished"))))}, wanted, "", ""},
		{"a resourceType as the last member", []fs.FS{sourcetest.Folder("x", `{"id":"p","name":[{"text":"A"}],"resourceType":"Patient"}`)}, "active: p; discharged:; all: p", "", ""},
		{"files that are not read", []fs.FS{sourcetest.Folder(
			"1.Observation.ndjson", strings.Repeat(`{"resourceType":"Observation","id":"o"}`+"\n", 3)+`{"resourceType":"Observation",`,
			"2.mixed.ndjson", lines(`{"resourceType":"Encounter"}`, res("P", "p")),
			"README.md", "# An export", ".DS_Store", "\x00\x00", "._1.Patient.ndjson", "\x00\x05\x16\x07", "log.ndjson", `{"eventId":"kickoff"}`,
			"manifest.json", pretty(`{"transactionTime":"2026-01-01T00:00:00Z","output":[]}`), "patients.csv", sourcetest.PatientsHeader, "empty", "", "x.pdf", "%PDF-1.7\n\x00\xff")},
			"active: p; discharged:; all: p", `.DS_Store:1: is not NDJSON: the file was not read
._1.Patient.ndjson:1: is not NDJSON: the file was not read
1.Observation.ndjson:1: holds Observation, which Postern does not use: 4 were not read
2.mixed.ndjson:1: holds Encounter, which Postern does not use: 1 was not read
README.md:1: is not NDJSON: the file was not read
log.ndjson:1: holds lines without a resourceType
manifest.json:1: holds lines without a resourceType
patients.csv:1: is not NDJSON
x.pdf:1: is not NDJSON`, ""},
		{"nothing to import", []fs.FS{sourcetest.Folder("Observation.ndjson", `{"resourceType":"Observation"}`, "README.md", "# An export")},
			"active:; discharged:; all:", "", "the export holds no Patient, RelatedPerson or EpisodeOfCare\nObservation.ndjson:1: holds Observation"},
		{"an export without changes", []fs.FS{sourcetest.Folder("Patient.ndjson", res("P", "p")), sourcetest.Folder("Patient.ndjson", "")}, "active: p; discharged:; all: p", "", ""},
		{"a file that breaks off", []fs.FS{sourcetest.Folder("1.Patient.ndjson", lines(res("P", "p"))+`{"resourceType":"Patient","id":"q"`)}, "active:; discharged:; all:", "", "1.Patient.ndjson:2: is not a JSON object"},
		{"gzip that breaks off", []fs.FS{sourcetest.Folder("x.gz", gzipped(three)[:40])}, "active:; discharged:; all:", "", "x.gz:1: the file is damaged (gzip)"},
		{"UTF-16", []fs.FS{sourcetest.Folder("p.ndjson", "\xff\xfe{\x00}\x00")}, "active:; discharged:; all:", "", "p.ndjson:1: is UTF-16: save the file as UTF-8"},
		{"UTF-16 in one document", []fs.FS{sourcetest.Folder("p.json", "\xff\xfe{\x00}\x00")}, "active:; discharged:; all:", "", "p.json:1: is UTF-16: save the file as UTF-8"},
		{"gzip that is damaged", []fs.FS{sourcetest.Folder("x.ndjson.gz", damagedGzip(three))}, "active:; discharged:; all:", "", "the file is damaged (gzip)"},
		{"gzip of one document that is damaged", []fs.FS{sourcetest.Folder("x.json.gz", damagedGzip(pretty(bundle)))}, "active:; discharged:; all:", "", "x.json.gz:1: the file is damaged (gzip)"},
		{"gzip of one document without its end", []fs.FS{sourcetest.Folder("x.json.gz", strings.TrimSuffix(gzipped(pretty(bundle)), gzipped(pretty(bundle))[len(gzipped(pretty(bundle)))-8:]))}, "active:; discharged:; all:", "", "x.json.gz:1: the file is damaged (gzip)"},
		{"a file named Patient without patients", []fs.FS{sourcetest.Folder("1.Patient.ndjson", "<html>Sign in</html>\n", "RelatedPerson.ndjson", res("R", "r", of("p")))}, "active:; discharged:; all:", "", "1.Patient.ndjson:1: is not a JSON object"},
		{"the same in gzip", []fs.FS{sourcetest.Folder("Patient.ndjson.gz", gzipped("<html>Sign in</html>\n"))}, "active:; discharged:; all:", "", "Patient.ndjson.gz:1: is not a JSON object"},
		{"a first line that breaks off, with more after it", []fs.FS{sourcetest.Folder("Patient.ndjson", `{"resourceType":"Patient","id":"z"`+"\n"+strings.Repeat(res("P", "p")+"\n", 4000))}, "active:; discharged:; all:", "", "mend 1 wrong field and import again\nPatient.ndjson:1: is not a JSON object"},
		{"files joined to one", []fs.FS{sourcetest.Folder("x.ndjson", "\uFEFF"+res("P", "p")+"\n\uFEFF"+lines(res("R", "r", of("p")), res("E", "e", of("p"), status("finished"))))}, wanted, "", ""},
		{"an export without changes, with a client's file name", []fs.FS{sourcetest.Folder("1.Patient.ndjson", "")}, "active:; discharged:; all:", "", ""},
		{"the folder of deletions", []fs.FS{sourcetest.Folder("1.Patient.ndjson", lines(res("P", "p"), res("P", "q"))), sourcetest.Folder("1.Patient.ndjson", res("P", "p"), "deleted/1.Patient.ndjson", deleted("Patient/q"), "deleted/more/x", "", "error/1.OperationOutcome.ndjson", "{}")},
			"active: p; discharged:; all: p", "deleted/more:1: is a folder inside the export folder: it was not read\nerror:1: is a folder inside the export folder: it was not read", ""},
		{"a resource among the deletions", []fs.FS{sourcetest.Folder("1.Patient.ndjson", res("P", "p"), "deleted/1.Patient.ndjson", res("P", "q"))}, "active:; discharged:; all:", "", "deleted/1.Patient.ndjson:1: is a resource in the folder of deleted resources"},
		{"a line of another type that is too long", []fs.FS{sourcetest.Folder("x.ndjson", lines(`{"resourceType":"Binary","data":"`+strings.Repeat("x", 16<<20)+`"}`, res("P", "p")))},
			"active: p; discharged:; all: p", "x.ndjson:1: holds Binary", ""},
	})
}

// An export of changes changes only those resources. A status is computed from all stored
// resources.
func TestIncrementalExports(t *testing.T) {
	t.Parallel()
	full := sourcetest.Folder("Patient.ndjson", lines(res("P", "p"), res("P", "q"), res("P", "off", `"active":false`)),
		"RelatedPerson.ndjson", res("R", "r", of("p")),
		"EpisodeOfCare.ndjson", lines(res("E", "e1", of("p"), status("finished")), res("E", "e2", of("p"), status("active")), res("E", "e3", of("q"), status("finished"))))
	named := `"name":[{"text":"New Name"}]`
	runStories(t, []story{
		{"the complete export", []fs.FS{full}, "active: p r; discharged: off q; all: off p q r", "", ""},
		{"a Patient without its episodes", []fs.FS{full, sourcetest.Folder("a", lines(res("P", "p", named), res("P", "q", named)))}, "active: p r; discharged: off q; all: off p q r", "", ""},
		{"an episode alone", []fs.FS{full, sourcetest.Folder("a", res("E", "e2", of("p"), status("finished")))}, "active:; discharged: off p q r; all: off p q r", "", ""},
		{"one of two episodes ends", []fs.FS{full, sourcetest.Folder("a", res("E", "e4", of("p"), status("planned"))), sourcetest.Folder("a", res("E", "e2", of("p"), status("finished")))}, "active: p r; discharged: off q; all: off p q r", "", ""},
		{"a patient is active again", []fs.FS{full, sourcetest.Folder("a", res("E", "e5", of("q"), status("planned")))}, "active: p q r; discharged: off; all: off p q r", "", ""},
		{"an episode changes its patient", []fs.FS{full, sourcetest.Folder("a", res("E", "e2", of("q"), status("active")))}, "active: q; discharged: off p r; all: off p q r", "", ""},
		{"a status in capitals", []fs.FS{full, sourcetest.Folder("a", res("E", "e2", of("p"), status("Finished")))}, "active:; discharged: off p q r; all: off p q r", "", ""},
		{"an episode in error", []fs.FS{full, sourcetest.Folder("a", res("E", "e3", of("q"), status("entered-in-error")))}, "active: p q r; discharged: off; all: off p q r", "", ""},
		{"an inactive patient's episode", []fs.FS{full, sourcetest.Folder("a", res("E", "e6", of("off"), status("active")))}, "active: p r; discharged: off q; all: off p q r", "", ""},
		{"active again", []fs.FS{full, sourcetest.Folder("a", res("P", "off"))}, "active: off p r; discharged: q; all: off p q r", "", ""},
		{"a RelatedPerson alone", []fs.FS{full, sourcetest.Folder("a", res("R", "s", of("q")))}, "active: p r; discharged: off q s; all: off p q r s", "", ""},
		{"an episode of an unknown patient counts later", []fs.FS{full, sourcetest.Folder("a", res("E", "e9", of("z"), status("finished")))}, "active: p r; discharged: off q; all: off p q r",
			"a:1: patient.reference: names a patient who is neither in these files nor in the directory", ""},
		{"and then it does", []fs.FS{full, sourcetest.Folder("a", res("E", "e9", of("z"), status("finished"))), sourcetest.Folder("a", res("P", "z"))}, "active: p r; discharged: off q z; all: off p q r z", "", ""},
		{"a RelatedPerson of an unknown patient is not written to", []fs.FS{full, sourcetest.Folder("a", res("R", "s", of("z")))}, "active: p r; discharged: off q; all: off p q r",
			"a:1: patient.reference: names a patient who is neither", ""},
		{"until the patient is imported", []fs.FS{full, sourcetest.Folder("a", res("R", "s", of("z"))), sourcetest.Folder("b", res("P", "z"))}, "active: p r s z; discharged: off q; all: off p q r s z", "", ""},
		{"the complete export again", []fs.FS{full, sourcetest.Folder("a", lines(res("E", "e2", of("p"), status("finished")), res("P", "q", `"active":false`))), full}, "active: p r; discharged: off q; all: off p q r", "", ""},
	})
}

// An earlier version stored a status but no episodes. The status stays until an export
// has episodes, or a CSV file sets another status.
func TestAStatusWithoutItsEpisodes(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAPI)
	csv := func(status string) {
		t.Helper()
		if _, err := CSV(t.Context(), pool, csvFiles("p.csv", sourcetest.PatientsHeader+"p,A,B,,"+status+",false\n", "u.csv", sourcetest.PortalUsersHeader+"p,A B,,true\n",
			"l.csv", sourcetest.LinksHeader+"p,p,self,,\n"), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	is := func(doing, want string, warnings int, dir ...fs.FS) {
		t.Helper()
		s, err := importAll(t, pool, dir...)
		if got := audiences(t, pool); err != nil || got != want || s.WarningCount != warnings {
			t.Errorf("%s: %s, %d warnings, %v", doing, got, s.WarningCount, err)
		}
	}
	const active, discharged = "active: p; discharged:; all: p", "active:; discharged: p; all: p"
	csv("discharged")
	patient := sourcetest.Folder("a", res("P", "p"))
	is("a Patient alone", discharged, 1, patient)
	is("one who is not active", discharged, 0, sourcetest.Folder("a", res("P", "p", `"active":false`)))
	is("active again", discharged, 1, sourcetest.Folder("a", res("P", "p", `"active":true`)))
	is("an episode that is open", active, 0, sourcetest.Folder("a", res("E", "e", of("p"), status("active"))))
	is("and then over", discharged, 0, sourcetest.Folder("a", res("E", "e", of("p"), status("finished"))))
	is("and then deleted", discharged, 0, sourcetest.Folder("a", deleted("EpisodeOfCare/e")))
	csv("active")
	is("the status of a later CSV file", active, 0, patient)
}

// A correction ends the links and accounts that it corrects.
func TestCorrections(t *testing.T) {
	t.Parallel()
	two := sourcetest.Folder("a", lines(res("P", "a"), res("P", "b"), res("R", "ra", of("a")), res("R", "rb", of("b")), res("E", "ea", of("a"), status("finished")), res("E", "eb", of("b"), status("active"))))
	moved := "fhir-relatedperson-moved/"
	const before = "active: b rb; discharged: a ra; all: a b ra rb"
	history := func(entries ...string) string {
		return `{"resourceType":"Bundle","type":"history","entry":[` + strings.Join(entries, ",") + `]}`
	}
	version := func(resource string) string {
		return `{"resource":` + resource + `,"request":{"method":"PUT","url":"x"}}`
	}
	gone := func(url, when string) string {
		return `{"request":{"method":"DELETE","url":"` + url + `"},"response":{"lastModified":"` + when + `"}}`
	}
	runStories(t, []story{
		{"two patients", []fs.FS{two}, before, "", ""},
		{"a RelatedPerson that moved", []fs.FS{dirOf(t, moved+"before"), dirOf(t, moved+"after")}, "active: rm1 rm2 rmr; discharged:; all: rm1 rm2 rmr", "", ""},
		{"its old patient is discharged", []fs.FS{dirOf(t, moved+"before"), dirOf(t, moved+"after"), sourcetest.Folder("a", lines(res("P", "rm2", `"active":false`)))}, "active: rm1; discharged: rm2 rmr; all: rm1 rm2 rmr", "", ""},
		{"there and back", []fs.FS{two, sourcetest.Folder("a", res("R", "ra", of("b"))), sourcetest.Folder("a", res("R", "ra", of("a")))}, before, "", ""},
		{"moved to a patient who is not known", []fs.FS{two, sourcetest.Folder("a", res("R", "rb", of("z")))}, "active: b; discharged: a ra; all: a b ra", "a:1: patient.reference: names a patient who is neither", ""},
		{"moved to no patient", []fs.FS{two, sourcetest.Folder("a", res("R", "rb"))}, "active: b; discharged: a ra; all: a b ra", "a:1: patient.reference: is missing", ""},
		{"by identifier alone", []fs.FS{two, sourcetest.Folder("a", res("R", "rc", `"patient":{"identifier":{"value":"1"}}`))}, before, "a:1: patient.reference: is missing", ""},
		{"contained", []fs.FS{two, sourcetest.Folder("a", res("R", "rc", `"patient":{"reference":"#p"}`))}, before, "a:1: patient.reference: does not have the form", ""},
		{"by a search", []fs.FS{two, sourcetest.Folder("a", res("R", "rc", `"patient":{"reference":"Patient?identifier=1"}`))}, before, "a:1: patient.reference: does not have the form", ""},
		{"by a server's address and a version", []fs.FS{two, sourcetest.Folder("a", res("R", "rc", `"patient":{"reference":"https://fhir.test/r4/Patient/b/_history/2"}`))}, "active: b rb rc; discharged: a ra; all: a b ra rb rc", "", ""},
		{"not active", []fs.FS{two, sourcetest.Folder("a", res("R", "rb", of("b"), `"active":false`))}, "active: b; discharged: a ra; all: a b ra", "", ""},
		{"a period that has ended", []fs.FS{two, sourcetest.Folder("a", res("R", "rb", of("b"), `"period":{"end":"2026-03-14"}`))}, "active: b; discharged: a ra; all: a b ra rb", "", ""},

		{"replaced", []fs.FS{sourcetest.Folder("a", lines(res("P", "a", replacedBy("b")), res("P", "b")))}, "active: b; discharged:; all: b", "", ""},
		{"replaced later: representatives and episodes move to the successor", []fs.FS{two, sourcetest.Folder("a", res("P", "a", replacedBy("b")))}, "active: b ra rb; discharged:; all: b ra rb", "", ""},
		{"the successor says it", []fs.FS{two, sourcetest.Folder("a", res("P", "b", replaces("a")))}, "active: b ra rb; discharged:; all: b ra rb", "", ""},
		{"both say it", []fs.FS{two, sourcetest.Folder("a", lines(res("P", "b", replaces("a")), res("P", "a", replacedBy("b"))))}, "active: b ra rb; discharged:; all: b ra rb", "", ""},
		{"a chain", []fs.FS{two, sourcetest.Folder("a", lines(res("P", "a", replacedBy("m")), res("P", "m", replacedBy("b"))))}, "active: b ra rb; discharged:; all: b ra rb", "", ""},
		{"a chain in the wrong order", []fs.FS{two, sourcetest.Folder("a", res("P", "m", replacedBy("b"))), sourcetest.Folder("a", res("P", "a", replacedBy("m")))}, "active: b ra rb; discharged:; all: b ra rb", "", ""},
		{"not replaced after all", []fs.FS{two, sourcetest.Folder("a", res("P", "a", replacedBy("b"))), sourcetest.Folder("a", res("P", "a"))}, before, "", ""},
		{"not replaced after all, by the successor's link", []fs.FS{two, sourcetest.Folder("a", res("P", "b", replaces("a"))), sourcetest.Folder("a", res("P", "b"))}, before, "", ""},
		{"by an unknown patient", []fs.FS{two, sourcetest.Folder("a", res("P", "b", replacedBy("z")))}, "active:; discharged: a ra; all: a ra", "a:1: link.other.reference: names a successor who is neither", ""},
		{"until that patient is imported", []fs.FS{two, sourcetest.Folder("a", res("P", "b", replacedBy("z"))), sourcetest.Folder("a", res("P", "z"))}, "active: rb z; discharged: a ra; all: a ra rb z", "", ""},
		{"by a patient without a reference", []fs.FS{two, sourcetest.Folder("a", res("P", "b", `"link":[{"type":"replaced-by","other":{"display":"B"}}]`))}, "active:; discharged: a ra; all: a ra", "a:1: link.other.reference: is missing", ""},
		{"in a circle", []fs.FS{two, sourcetest.Folder("x", lines(res("P", "a", replacedBy("b")), res("P", "b", replacedBy("a"))))}, before, "", "x:2: link: the patients a, b replace one another in a circle"},
		{"by itself", []fs.FS{two, sourcetest.Folder("x", res("P", "a", replacedBy("a")))}, before, "", "x:1: link: the patient a is replaced by itself"},
		{"in a circle with an earlier import, which the new Patient ends", []fs.FS{two, sourcetest.Folder("x", res("P", "a", replacedBy("b"))), sourcetest.Folder("x", res("P", "b", replacedBy("a")))}, "active: b ra rb; discharged:; all: b ra rb", "", "x:1: link: the patients a, b"},
		{"by two", []fs.FS{two, sourcetest.Folder("x", res("P", "z", `"link":[{"type":"replaced-by","other":{"reference":"Patient/a"}},{"type":"replaced-by","other":{"reference":"Patient/b"}}]`))}, before, "", "x:1: link: the patients a, b, z are replaced by more than one other patient"},
		{"in capitals", []fs.FS{two, sourcetest.Folder("a", res("P", "a", `"link":[{"type":"Replaced-By","other":{"reference":" Patient/b "}}]`))}, "active: b ra rb; discharged:; all: b ra rb", "", ""},
		{"a link without a type", []fs.FS{two, sourcetest.Folder("a", res("P", "a", `"link":[{"other":{"reference":"Patient/b"}}]`))}, before, "a:1: link.type: must be one of", ""},
		{"seen beside another", []fs.FS{two, sourcetest.Folder("a", res("P", "a", `"link":[{"type":"seealso","other":{"reference":"Patient/b"}}]`))}, before, "", ""},

		{"a member twice", []fs.FS{two, sourcetest.Folder("a", res("P", "a", `"active":true`, `"active":false`))}, before, "", "a:1: has the same member twice: the second is at byte"},
		{"twice in one file", []fs.FS{sourcetest.Folder("a", lines(res("P", "a"), res("P", "a"), res("R", "r", of("a")), res("R", "r", of("a"))))}, "active: a r; discharged:; all: a r", "", ""},
		{"in two files, the later one by date", []fs.FS{sourcetest.Folder("a", res("P", "a", updated(3), `"active":false`), "b", res("P", "a", updated(2)))}, "active:; discharged: a; all: a", "", ""},
		{"by version", []fs.FS{sourcetest.Folder("a", lines(res("P", "p"), res("R", "r", of("p"), `"active":false`, versioned("9")), res("R", "r", of("p"), versioned("10"))))}, "active: p r; discharged:; all: p r", "", ""},
		{"neither is later, and they differ about alerts", []fs.FS{sourcetest.Folder("a", res("P", "a", `"active":false`), "b", lines(res("P", "z"), res("P", "a")))}, "active:; discharged:; all:", "", "b:2: id: appears with different content at a:1 too"},
		{"with another address", []fs.FS{sourcetest.Folder("a", lines(res("P", "a", mailed("a@x.test")), res("P", "a", mailed("b@x.test"))))}, "active:; discharged:; all:", "", "a:2: id: appears with different content at a:1 too"},
		{"only by name", []fs.FS{sourcetest.Folder("a", lines(res("P", "a"), res("P", "a", `"name":[{"text":"A"}]`)))}, "active: a; discharged:; all: a", "a:2: id: appears with different content at a:1 too", ""},

		{"a Patient deleted", []fs.FS{two, sourcetest.Folder("a", deleted("Patient/b"))}, "active:; discharged: a ra; all: a ra", "", ""},
		{"a Patient deleted and created again", []fs.FS{two, sourcetest.Folder("a", deleted("Patient/b")), sourcetest.Folder("a", res("P", "b"))}, before, "", ""},
		{"a RelatedPerson deleted", []fs.FS{two, sourcetest.Folder("a", deleted("RelatedPerson/rb", "Observation/1"))}, "active: b; discharged: a ra; all: a b ra", "a:1: holds Observation", ""},
		{"an episode deleted", []fs.FS{two, sourcetest.Folder("a", deleted("EpisodeOfCare/ea", "https://fhir.test/EpisodeOfCare/eb"))}, "active: a b ra rb; discharged:; all: a b ra rb", "", ""},
		{"resources that never existed", []fs.FS{two, sourcetest.Folder("a", deleted("Patient/z", "RelatedPerson/z", "EpisodeOfCare/z", "RelatedPerson/a"))}, before, "", ""},
		{"an address with a query and a slash", []fs.FS{two, sourcetest.Folder("a", deleted("/Patient/b/?_cascade=delete", "Observation?code=1"))}, "active:; discharged: a ra; all: a ra", "a:1: holds Observation", ""},
		{"a bad id", []fs.FS{two, sourcetest.Folder("a", deleted("Patient/b c?x=1"))}, before, "", "a:1: entry.request.url: does not say which resource was deleted"},
		{"a deletion by search", []fs.FS{two, sourcetest.Folder("a", deleted("Patient?identifier=1"))}, before, "", "a:1: entry.request.url: does not say which resource was deleted"},
		{"deleted in a history", []fs.FS{two, sourcetest.Folder("a", history(gone("Patient/b/_history/3", "2026-01-03T00:00:00Z"), version(res("P", "b", updated(2))), version(res("P", "b", updated(1)))))}, "active:; discharged: a ra; all: a ra", "", ""},
		{"a history without dates, the newest first", []fs.FS{two, sourcetest.Folder("a", history(version(res("P", "b")), `{"request":{"method":"DELETE","url":"Patient/b"}}`, version(res("P", "b", `"active":false`))))}, before, "", ""},
		{"deleted and existing, with dates", []fs.FS{two, sourcetest.Folder("a", res("P", "b", updated(4), `"active":true`), "b", strings.Replace(deleted("Patient/b"), `"type"`, `"meta":{"lastUpdated":"2026-01-05T00:00:00Z"},"type"`, 1))}, "active:; discharged: a ra; all: a ra", "", ""},
		{"deleted and existing, without dates", []fs.FS{two, sourcetest.Folder("a", res("P", "b"), "b", deleted("Patient/b"))}, before, "", "b:1: id: appears with different content at a:1 too"},
	})
}

// After corrections, a RelatedPerson's links lead to the patient that it names. Links
// from a CSV file stay, unless their patient was replaced or deleted.
func TestCorrectionsOfLinks(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAPI)
	must := func(_ Summary, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(importAll(t, pool, sourcetest.Folder("a", lines(res("P", "a"), res("P", "b"), res("P", "c"), res("P", "d"), res("R", "r", of("a"))))))
	must(CSV(t.Context(), pool, csvFiles("l.csv", sourcetest.LinksHeader+"r,c,representative,,\nd,c,representative,2020-01-01,\n"), Options{Today: today}))
	must(importAll(t, pool, sourcetest.Folder("a", res("R", "r", of("b"), `"period":{"start":"2026-01-01"}`))))
	ended := dayAt(-1)
	links := func() string {
		return strings.Join(slices.DeleteFunc(strings.Split(dump(t, pool), "\n"), func(l string) bool { return !strings.Contains(l, "representative") }), "\n")
	}
	want := "link|d|c|representative|2020-01-01|-\nlink|r|a|representative|-|" + ended + "\nlink|r|b|representative|2026-01-01|-\nlink|r|c|representative|-|-"
	if diff := gocmp.Diff(want, links()); diff != "" {
		t.Errorf("moved (-want +got):\n%s", diff)
	}
	must(importAll(t, pool, sourcetest.Folder("a", res("P", "c", replacedBy("a")))))
	want = "link|d|a|representative|2020-01-01|-\nlink|d|c|representative|2020-01-01|" + ended + "\nlink|r|a|representative|-|" + ended +
		"\nlink|r|b|representative|2026-01-01|-\nlink|r|c|representative|-|" + ended
	if diff := gocmp.Diff(want, links()); diff != "" {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
	must(importAll(t, pool, sourcetest.Folder("a", deleted("Patient/a", "RelatedPerson/r"))))
	if got := audiences(t, pool); got != "active: b d; discharged:; all: b d" {
		t.Error("deleted:", got)
	}
}

// For a link that an earlier version imported, it is unknown whether a RelatedPerson or a
// CSV file made it.
func TestARelatedPersonOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	pool, forget := resettable(t)
	for name, c := range map[string]struct{ names, want, warning string }{
		"stays": {"a", "active: a b r; discharged:; all: a b r", "names one patient, and an earlier import linked this portal user to others too"},
		"moves": {"c", "active: a b c r; discharged:; all: a b c r", "names a different patient than an earlier import did"},
	} {
		t.Run(name, func(t *testing.T) {
			forget()
			_, err := importAll(t, pool, sourcetest.Folder("a", lines(res("P", "a"), res("P", "b"), res("R", "r", of("a")))))
			if err == nil {
				_, err = CSV(t.Context(), pool, csvFiles("l.csv", sourcetest.LinksHeader+"r,b,representative,,\n"), Options{})
			}
			if err == nil {
				// The state in a data folder of that version.
				_, err = pool.Exec(t.Context(), `UPDATE app.fhir_related_persons SET related_person_id = 'x' || related_person_id`)
			}
			if err != nil {
				t.Fatal(err)
			}
			s, err := importAll(t, pool, sourcetest.Folder("x", lines(res("P", "a"), res("P", c.names), res("R", "r", of(c.names)))))
			if err != nil || audiences(t, pool) != c.want || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0].Reason, c.warning) {
				t.Errorf("%s, %v, %v", audiences(t, pool), s.Warnings, err)
			}
			if lasts := strings.Contains(dump(t, pool), "link|r|b|representative|-|-"); lasts != (name == "stays") {
				t.Error(dump(t, pool))
			}
		})
	}
}

// The ways in which a Patient may state a death and names.
func TestDeathAndNames(t *testing.T) {
	t.Parallel()
	const absent = `{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}`
	const living, dead = "active: p; discharged:; all: p", "active:; discharged:; all:"
	of := func(members string) []fs.FS { return []fs.FS{sourcetest.Folder("a", res("P", "p", members))} }
	runStories(t, []story{
		{"a date of death that is not known", []fs.FS{dirOf(t, "fhir-deceased-date-unknown")}, dead, "", ""},
		{"a date and an extension", of(`"deceasedDateTime":"2020","_deceasedDateTime":` + absent), dead, "", ""},
		{"deceased, at a date not known", of(`"deceasedBoolean":true,"_deceasedDateTime":` + absent), dead, "", ""},
		{"not deceased, but at a date", of(`"deceasedBoolean":false,"deceasedDateTime":"2020-01-01"`), dead, "a:1: deceasedBoolean: is false beside a deceasedDateTime", ""},
		{"not deceased, but at a date not known", of(`"deceasedBoolean":false,"_deceasedDateTime":` + absent), dead, "a:1: deceasedBoolean: is false beside", ""},
		{"not known whether deceased", of(`"_deceasedBoolean":` + absent), living, "a:1: deceasedBoolean: does not say whether", ""},
		{"not deceased, with an extension", of(`"deceasedBoolean":false,"_deceasedBoolean":` + absent), living, "", ""},
		{"a date that can't be read", of(`"deceasedDateTime":"yes"`), dead, "a:1: deceasedDateTime: is not a FHIR date", ""},
		{"null", of(`"deceasedDateTime":null,"_deceasedDateTime":null`), living, "", ""},
	})
	pool := storetest.Pool(t, store.RoleAPI)
	cases := map[string][2]string{ // members: name of the account, and of the patient
		`"name":[]`:              {"", "|"},
		`"name":[{"text":"  "}]`: {"", "|"},
		`"name":[{"family":"\u00a0\u200b","given":["\ufeff"," "]}]`:                                              {"", "|"},
		`"name":[{"given":["Ana","Maria"]}]`:                                                                     {"Ana Maria", "Ana Maria|"},
		`"name":[{"given":[null," Ana ",null],"_given":[{"id":"x"},null,{"id":"y"}],"family":" Ng "}]`:           {"Ana Ng", "Ana|Ng"},
		`"name":[{"text":" Ana Ng "}]`:                                                                           {"Ana Ng", "|Ana Ng"},
		`"name":[{"text":"  ","family":"Ng"}]`:                                                                   {"Ng", "|Ng"},
		`"name":[{"use":"official","text":" "},{"use":"nickname","text":"Anni"}]`:                                {"Anni", "|Anni"},
		`"name":[{"use":"official","family":"Former","period":{"end":"2020"}},{"use":"nickname","text":"Anni"}]`: {"Anni", "|Anni"},
		`"name":[{"use":"old","family":"Former"},{"family":"Now"}]`:                                              {"Now", "|Now"},
		`"name":[{"use":"old","family":"Former"}]`:                                                               {"Former", "|Former"},
		`"name":[null,{"family":"Ng"}]`:                                                                          {"Ng", "|Ng"},
		`"name":[{"use":"official","text":"\u3164\u2800"},{"use":"old","text":"\u200bAnni\u00a0"}]`:              {"Anni", "|Anni"},
		`"name":[{"family":["Ng"]},{"text":"Ana"}]`:                                                              {"Ana", "|Ana"},
		`"name":[{"use":"official","given":"Ana","family":"Ng"},{"use":"old","text":"Ana"}]`:                     {"Ana", "|Ana"},
		`"name":{"family":"Ng"}`:                                                                                 {"", "|"},
		`"name":[{"family":"Ng\ud83d"}]`:                                                                         {"Ng\uFFFD", "|Ng\uFFFD"},
		`"name":[{"family":"Ng\nNg"}]`:                                                                           {"Ng Ng", "|Ng Ng"},
	}
	var file []string
	want := map[string][2]string{}
	for i, members := range slices.Sorted(maps.Keys(cases)) {
		id := fmt.Sprint("p-", i)
		file = append(file, res("P", id, members))
		want[id] = cases[members]
		if want[id][0] == "" {
			want[id] = [2]string{id, "|"}
		}
	}
	file = append(file, res("P", "long", `"name":[{"text":"`+strings.Repeat("é", 300)+`"}]`))
	want["long"] = [2]string{strings.Repeat("é", 200), "|" + strings.Repeat("é", 200)}
	s, err := importAll(t, pool, sourcetest.Folder("a", lines(file...)), dirOf(t, "fhir-blank-name"))
	if err != nil || s.WarningCount != 0 {
		t.Fatal(s, err)
	}
	want["bn1"] = [2]string{"bn1", "|"}
	rows, err := pool.Query(t.Context(), `SELECT patient_id, name, given_name || '|' || family_name FROM app.patients JOIN app.portal_users ON portal_user_id = patient_id`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]string{}
	var id string
	var names [2]string
	if _, err := pgx.ForEachRow(rows, []any{&id, &names[0], &names[1]}, func() error { got[id] = names; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// An address that can't be used does not refuse the import: the next is used, or none.
func TestAddressesThatCantBeUsed(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAPI)
	point := func(value, more string) string { return `{"system":"email","value":"` + value + `"` + more + `}` }
	cases := []struct{ points, email, warning string }{
		{point("a@x.test", ""), "a@x.test", ""},
		{point("nonsense", "") + "," + point("a@x.test", ""), "a@x.test", "telecom: an address is not an e-mail address of the form name@example.org: the next one was used"},
		{point("nonsense", `,"rank":1`) + "," + point("b@x.test", `,"rank":3`) + "," + point("a@x.test", `,"rank":2`), "a@x.test", "telecom: an address is not"},
		{point("a@x.test", "") + "," + point("nonsense", ""), "a@x.test", ""},
		{point("nonsense", ""), "", "telecom: an address is not an e-mail address of the form name@example.org: no usable address is left"},
		{point(" ", ""), "", ""},
		{point(" a@x.test ", ""), "a@x.test", ""},
		{point("mailto:a@x.test", ""), "a@x.test", ""},
		{point("MAILTO:a%2Bb@x.test?subject=Hi", ""), "a+b@x.test", ""},
		{point("mailto:?subject=Hi", "") + "," + point("a@x.test", ""), "a@x.test", "telecom: an address is empty: the next one was used"},
		{point("Ana Ng <a@x.test>", ""), "a@x.test", ""},
		{point(`\"Ng, Ana\" <a@x.test>`, ""), "a@x.test", ""},
		{point("a@x.test, b@x.test", ""), "", "telecom: an address is not"},
		{point("a@x.test\\u0000", ""), "", "telecom: an address is not an e-mail address of the form name@example.org: no usable address is left"},
		{point("old@x.test", `,"use":"old"`) + "," + point("a@x.test", ""), "a@x.test", ""},
		{point("old@x.test", `,"period":{"end":"2026-03-14"}`), "", ""},
		{point("soon@x.test", `,"period":{"start":"2026-03-16"}`), "", ""},
		{point("work@x.test", `,"use":"work","rank":1`) + "," + point("home@x.test", `,"use":"home"`), "home@x.test", ""},
		{point("nonsense", `,"use":"home"`) + "," + point("work@x.test", `,"use":"work"`), "work@x.test", "telecom: an address is not"},
		{`{"system":"EMAIL","value":"a@x.test"}`, "a@x.test", ""},
		{point("b@x.test", `,"rank":2`) + "," + point("a@x.test", `,"rank":1.0`), "b@x.test", ""},
		{point("b@x.test", `,"rank":"2"`) + "," + point("a@x.test", `,"rank":"1"`), "a@x.test", ""},
		{`{"system":"email","value":123},` + point("a@x.test", ""), "a@x.test", "telecom: holds an element that FHIR does not allow here: the element was ignored"},
		{`"a@x.test"`, "", "telecom: holds an element"},
		{`{"system":["email"],"value":"b@x.test"},{"system":"email","value":"b@x.test","period":"2020"},` + point("a@x.test", ""), "a@x.test", "telecom: holds an element"},
		{point(`a\ud83d@x.test`, "") + "," + point("a@x.test", ""), "a@x.test", "telecom: an address contains U+FFFD"},
		{`{"system":"phone","value":"a@x.test"},null`, "", ""},
	}
	var file, wantWarnings []string
	want := map[string]string{}
	for i, c := range cases {
		id := fmt.Sprintf("p-%02d", i)
		file = append(file, res("P", id, `"telecom":[`+c.points+`]`))
		want[id] = c.email
		if c.warning != "" {
			wantWarnings = append(wantWarnings, fmt.Sprintf("a:%d: %s", i+1, c.warning))
		}
	}
	s, err := FHIR(t.Context(), pool, sourcetest.Folder("a", lines(file...)), Options{Today: today})
	if err != nil || s.PortalUsers.New != len(cases) {
		t.Fatal(s, err)
	}
	for i, w := range wantWarnings {
		if i >= len(s.Warnings) || !strings.HasPrefix(s.Warnings[i].String(), w) {
			t.Errorf("the warnings are\n%s\nand should begin\n%s", warningText(s.Warnings), strings.Join(wantWarnings, "\n"))
			break
		}
	}
	if s.WarningCount != len(wantWarnings) || strings.Contains(warningText(s.Warnings), "nonsense") {
		t.Errorf("%d warnings:\n%s", s.WarningCount, warningText(s.Warnings))
	}
	got := map[string]string{}
	rows, err := pool.Query(t.Context(), `SELECT portal_user_id, email FROM app.portal_users`)
	if err != nil {
		t.Fatal(err)
	}
	var id, email string
	if _, err := pgx.ForEachRow(rows, []any{&id, &email}, func() error { got[id] = email; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	// An id that can't be the local part of an address gives no address.
	if s, err := FHIR(t.Context(), pool, sourcetest.Folder("a", res("P", "p..1")), Options{Today: today, DemoEmailDomain: "x.test"}); err != nil || s.WarningCount != 1 {
		t.Error(s, err)
	}
}
