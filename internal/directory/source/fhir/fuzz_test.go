package fhir

import (
	"bytes"
	"testing"
	"time"

	"postern/internal/directory/field"
	"postern/internal/directory/source/sourcetest"
)

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
			d := Decoder{Today: field.Day(time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)), EmailDomain: domain, Into: sourcetest.Collector(t, content)}
			if err := d.Decode(0, name, bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
