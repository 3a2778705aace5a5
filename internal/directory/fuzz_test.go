package directory

import (
	"bytes"
	"cmp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"postern/internal/directory/field"
)

// collector is a sink that checks two things for every row: its values fit the database,
// and its line exists in the file.
func collector(t *testing.T, content []byte) sink {
	lines := bytes.Count(content, []byte("\n")) + bytes.Count(content, []byte("\r")) + 1 // some files end lines with CR alone
	check := func(at place, ids []string, texts ...string) {
		if at.line < 1 || at.line > lines {
			t.Fatalf("line %d of %d", at.line, lines)
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
	addFault := func(f fault) {
		check(f.place, nil, f.field)
		if f.reason == "" {
			t.Fatal("a fault without a reason")
		}
	}
	return sink{
		patient: func(r patientRow) error {
			check(r.place, []string{r.id}, r.given, r.family)
			return nil
		},
		portalUser: func(r portalUserRow) error {
			check(r.place, []string{r.id}, r.name, r.email)
			return nil
		},
		link: func(r linkRow) error {
			check(r.place, []string{r.portalUser, r.patient}, r.relationship)
			if r.from.Set && r.until.Set && r.from.Day > r.until.Day {
				t.Fatal("a link ends before it begins")
			}
			return nil
		},
		related: func(r relatedRow) error {
			check(r.place, []string{r.id, cmp.Or(r.patient, "none")})
			if r.from.Set && r.until.Set && r.from.Day > r.until.Day {
				t.Fatal("a link ends before it begins")
			}
			return nil
		},
		episode: func(r episodeRow) error {
			check(r.place, []string{r.id, cmp.Or(r.patient, "none")}, string(r.state))
			return nil
		},
		replacement: func(r replacementRow) error {
			check(r.place, []string{r.saidBy, r.replaced, cmp.Or(r.successor, "none")})
			return nil
		},
		version: func(r versionRow) error {
			check(r.place, []string{r.id}, string(r.kind))
			return nil
		},
		fault: addFault, warn: addFault,
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
