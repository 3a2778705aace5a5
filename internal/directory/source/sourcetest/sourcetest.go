// Package sourcetest makes files for tests of imports and decoders.
package sourcetest

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
	"unicode/utf8"

	"postern/internal/directory/field"
	"postern/internal/directory/source"
)

// The header lines of the CSV files.
const (
	PatientsHeader    = "patient_id,given_name,family_name,birth_date,status,deceased\n"
	PortalUsersHeader = "portal_user_id,name,email,active\n"
	LinksHeader       = "portal_user_id,patient_id,relationship,from,until\n"
)

// Folder makes a bulk export of name, content, name, content…
func Folder(namesAndContents ...string) fstest.MapFS {
	dir := fstest.MapFS{}
	for i := 0; i < len(namesAndContents); i += 2 {
		dir[namesAndContents[i]] = &fstest.MapFile{Data: []byte(namesAndContents[i+1])}
	}
	return dir
}

// Rows is how many portal users, patients and links benchmarks use.
var Rows = flag.Int("directory.rows", 20_000, "portal users, patients and links that the benchmarks use")

// Row returns the fields of the nth patient, portal user and link. Ids are in random
// order, as in a real system.
func Row(n int) (patientID, given, family, userID, email string) {
	givens := []string{"Ana", "José", "Maria", "John", "Wei", "Олег", "Niamh", "Zoë", "Fatima", "प्रिया"}
	families := []string{"O'Brien", "Müller", "Smith", "Garcia-Lopez", "Nguyen", "Иванов", "Lee", "Kaur", "Silva", "Khan"}
	scattered := uint64(n) * 0x9e3779b97f4a7c15 // #nosec G115 -- any bits will do
	return fmt.Sprintf("pt-%016x", scattered),
		fmt.Sprint(givens[n*7919%10], n*31%500), fmt.Sprint(families[n*6959%10], n*17%3000),
		fmt.Sprintf("pu-%016x", scattered>>7|scattered<<57), fmt.Sprintf("user%d@example.test", n)
}

// CSV returns the three CSV files with rows 0 to n-1.
func CSV(n int) (patients, portalUsers, links *bytes.Buffer) {
	patients, portalUsers, links = bytes.NewBufferString(PatientsHeader), bytes.NewBufferString(PortalUsersHeader), bytes.NewBufferString(LinksHeader)
	for i := range n {
		patientID, given, family, userID, email := Row(i)
		fmt.Fprintf(patients, "%s,%s,%s,1980-02-29,active,false\n", patientID, given, family)
		fmt.Fprintf(portalUsers, "%s,%s %s,%s,true\n", userID, given, family, email)
		fmt.Fprintf(links, "%s,%s,self,,\n", userID, patientID)
	}
	return patients, portalUsers, links
}

// Collector returns a sink that checks two things for every row: its values fit the database,
// and its line exists in the file.
func Collector(t *testing.T, content []byte) source.Sink {
	lines := bytes.Count(content, []byte("\n")) + bytes.Count(content, []byte("\r")) + 1 // some files end lines with CR alone
	check := func(at source.Place, ids []string, texts ...string) {
		if at.Line < 1 || at.Line > lines {
			t.Fatalf("line %d of %d", at.Line, lines)
		}
		for _, id := range ids {
			if field.CheckID(id) != "" {
				t.Fatalf("id %q", id)
			}
		}
		for _, text := range texts {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || len(text) > 4*254 {
				t.Fatalf("text %q", text)
			}
		}
	}
	addFault := func(f source.Fault) {
		check(f.Place, nil, f.Field)
		if f.Reason == "" {
			t.Fatal("a fault without a reason")
		}
	}
	return source.Sink{
		Patient: func(r source.Patient) error {
			check(r.Place, []string{r.ID}, r.Given, r.Family)
			return nil
		},
		PortalUser: func(r source.PortalUser) error {
			check(r.Place, []string{r.ID}, r.Name, r.Email)
			return nil
		},
		Link: func(r source.Link) error {
			check(r.Place, []string{r.PortalUser, r.Patient}, r.Relationship)
			if r.From.Set && r.Until.Set && r.From.Day > r.Until.Day {
				t.Fatal("a link ends before it begins")
			}
			return nil
		},
		RelatedPerson: func(r source.RelatedPerson) error {
			check(r.Place, []string{r.ID, cmp.Or(r.Patient, "none")})
			if r.From.Set && r.Until.Set && r.From.Day > r.Until.Day {
				t.Fatal("a link ends before it begins")
			}
			return nil
		},
		Episode: func(r source.Episode) error {
			check(r.Place, []string{r.ID, cmp.Or(r.Patient, "none")}, string(r.State))
			return nil
		},
		Replacement: func(r source.Replacement) error {
			check(r.Place, []string{r.SaidBy, r.Replaced, cmp.Or(r.Successor, "none")})
			return nil
		},
		Version: func(r source.Version) error {
			check(r.Place, []string{r.ID}, string(r.Kind))
			return nil
		},
		Fault: addFault, Warn: addFault,
	}
}
