package directory

import (
	"bytes"
	"cmp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"postern/internal/directory/field"
	"postern/internal/directory/source"
)

// collector is a sink that checks two things for every row: its values fit the database,
// and its line exists in the file.
func collector(t *testing.T, content []byte) source.Sink {
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

func FuzzDecodeCSV(f *testing.F) {
	for _, seed := range []string{
		"", "\uFEFF", patientsHeader + "pt-1,Ana,O'Brien,1980-02-29,active,false\r\n",
		portalUsersHeader + "pu-1,\"Ana \"\"A\"\"\nB\",a@example.test,true\npu-1,x,y,z\n",
		linksHeader + "pu-1,pt-1,self,2026-02-02,2026-02-01\n\n,,,,\n",
		portalUsersHeader + "pu-1,\"Ana,,true\n",
		strings.ReplaceAll(portalUsersHeader+"pu-1,x,y,z\n", "\n", "\r"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := decodeCSV(0, bytes.NewReader(content), collector(t, content)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeFHIR(f *testing.F) {
	for _, seed := range []string{
		`{"resourceType":"Patient","id":"p-1","active":false,"name":[{"use":"official","family":"O'Hara","given":["Ana"]}],"birthDate":"1980-02","telecom":[{"system":"email","value":"a@example.test","period":{"end":"2012"}}]}`,
		`{"resourceType":"RelatedPerson","id":"r-1","patient":{"reference":"Patient/p-1"},"period":{"start":"2012","end":"2011"}}`,
		`{"resourceType":"EpisodeOfCare","id":"e-1","status":"finished","patient":{"reference":"urn:uuid:p-1"}}`,
		"null\r\n\n[]",
		`{"resourceType":"Bundle","type":"history","entry":[{"request":{"method":"DELETE","url":"Patient/p-1/_history/3"},"response":{"lastModified":"2026-01-01T00:00:00Z"}},{"fullUrl":"urn:uuid:x","resource":{"resourceType":"Patient","id":"p-1","link":[{"type":"replaced-by","other":{"reference":"Patient/p-2"}}]}}]}`,
		"{\n \"resourceType\": \"Bundle\",\n \"entry\": [\n  {\"resource\": {\"resourceType\": \"EpisodeOfCare\", \"id\": \"e-1\", \"status\": \"active\"}}]}",
		"\x1f\x8b\x08 not gzip", `{"resourceType":"Observation"`,
	} {
		f.Add([]byte(seed), "example.test")
		f.Add([]byte(seed), "")
	}
	f.Fuzz(func(t *testing.T, content []byte, domain string) {
		if domain != "" && field.CheckEmail("a@"+domain) != "" {
			return
		}
		for _, name := range []string{"Patient.ndjson", "export.json"} {
			d := fhirDecoder{today: field.Day(today), emailDomain: domain, into: collector(t, content)}
			if err := d.decode(0, name, bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
