package imports

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	gocmp "github.com/google/go-cmp/cmp"

	"postern/internal/directory/source"
	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestImportFHIR(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	dir := sourcetest.Folder(
		"Patient.000.ndjson", `{"resourceType":"Patient","id":"p-alive","name":[{"use":"maiden","family":"X"},{"use":"official","family":"O'Hara","given":["Ana","Maria"]}],"birthDate":"1980-02-29","telecom":[{"system":"phone","value":"5"},{"system":"email","value":"old@example.test","use":"old"},{"system":"email","value":"work@example.test","use":"work"},{"system":"email","value":"home@example.test","use":"home"}]}`+"\r\n"+
			`{"resourceType":"Patient","id":"p-inactive","active":false,"name":[{"text":"Ὀδυσσεύς"}],"birthDate":"1980-02"}`+"\n\n",
		"Patient.001.ndjson", `{"resourceType":"Patient","id":"p-dead","deceasedDateTime":"1989-05-09T20:35:22-04:00","name":[{"use":"old","family":"Gone"},{"family":"Ng","given":["Wei"],"text":"Ng Wei"}]}`+"\n"+
			`{"resourceType":"Patient","id":"p-dead-too","deceasedBoolean":true,"active":true}`+"\n"+
			`{"resourceType":"Patient","id":"p-finished","deceasedBoolean":false,"name":[{"family":"Doe"}],"telecom":[{"system":"email","value":"past@example.test","period":{"end":"2025"}},{"system":"email","value":"b@example.test","rank":2},{"system":"email","value":"a@example.test","rank":1}]}`+"\n"+
			`{"resourceType":"Patient","id":"p-erred","name":[{"family":"Doe"}]}`+"\n"+
			`{"resourceType":"Patient","id":"p-returned","name":[{"family":"Doe"}]}`,
		"RelatedPerson.ndjson", `{"resourceType":"RelatedPerson","id":"r-1","patient":{"reference":"Patient/p-alive"},"name":[{"family":"du Marché","given":["Bénédicte"]}],"period":{"start":"2012","end":"2030-02"}}`+"\n"+
			`{"resourceType":"RelatedPerson","id":"r-2","active":false,"patient":{"reference":"https://fhir.example.test/r4/Patient/p-dead/_history/3"},"period":{"start":"2012-05"}}`+"\n"+
			`{"resourceType":"RelatedPerson","id":"r-3","active":true,"patient":{"reference":"urn:uuid:p-inactive"},"period":{"end":"2028"}}`,
		"EpisodeOfCare.ndjson", strings.Join([]string{
			episodeOf("p-alive", "finished"), episodeOf("p-alive", "onhold"),
			episodeOf("p-finished", "finished"), episodeOf("p-finished", "cancelled"),
			episodeOf("p-erred", "entered-in-error"),
			episodeOf("p-returned", "finished"), episodeOf("p-returned", "planned"),
			episodeOf("p-inactive", "active"),
		}, "\n"),
		"Observation.ndjson", "not for Postern to read",
	)
	opts := Options{Today: today}
	summary, err := FHIR(t.Context(), pool, dir, opts)
	want := Summary{Patients: Changes{New: 7}, PortalUsers: Changes{New: 10}, Links: Changes{New: 10}, Resources: Changes{New: 18},
		Warnings: []source.WrongLine{{File: "Observation.ndjson", Line: 1, Reason: "is not NDJSON: the file was not read"}}, WarningCount: 1}
	if diff := gocmp.Diff(want, summary); diff != "" || err != nil {
		t.Fatalf("import: %v (-want +got):\n%s", err, diff)
	}
	wantRows := strings.Join([]string{
		"link|p-alive|p-alive|self|-|-",
		"link|p-dead-too|p-dead-too|self|-|-",
		"link|p-dead|p-dead|self|-|-",
		"link|p-erred|p-erred|self|-|-",
		"link|p-finished|p-finished|self|-|-",
		"link|p-inactive|p-inactive|self|-|-",
		"link|p-returned|p-returned|self|-|-",
		"link|r-1|p-alive|representative|2012-01-01|2030-02-28",
		"link|r-2|p-dead|representative|2012-05-01|-",
		"link|r-3|p-inactive|representative|-|2028-12-31",
		"patient|p-alive|Ana Maria|O'Hara|1980-02-29|active|f",
		"patient|p-dead-too|||-|active|t",
		"patient|p-dead|Wei|Ng|-|active|t",
		"patient|p-erred||Doe|-|active|f",
		"patient|p-finished||Doe|-|discharged|f",
		"patient|p-inactive||Ὀδυσσεύς|-|discharged|f",
		"patient|p-returned||Doe|-|active|f",
		"user|p-alive|Ana Maria O'Hara|home@example.test|t",
		"user|p-dead-too|p-dead-too||t",
		"user|p-dead|Ng Wei||t",
		"user|p-erred|Doe||t",
		"user|p-finished|Doe|a@example.test|t",
		"user|p-inactive|Ὀδυσσεύς||t",
		"user|p-returned|Doe||t",
		"user|r-1|Bénédicte du Marché||t",
		"user|r-2|r-2||f",
		"user|r-3|r-3||t",
	}, "\n")
	if diff := gocmp.Diff(wantRows, dump(t, pool)); diff != "" {
		t.Errorf("directory (-want +got):\n%s", diff)
	}

	if again, err := FHIR(t.Context(), pool, dir, opts); err != nil || again.Changed() || again.Links.Unchanged != 10 {
		t.Errorf("a second import of the same export: %+v, %v", again, err)
	}
	opts.DemoEmailDomain = "example.test"
	demo, err := FHIR(t.Context(), pool, dir, opts)
	if demo.PortalUsers.Changed != 10 || err != nil || !strings.Contains(dump(t, pool), "user|p-dead|Ng Wei|p-dead@example.test|t") {
		t.Errorf("with a domain for addresses: %+v, %v", demo, err)
	}
}

func episodeOf(patient, status string) string {
	return `{"resourceType":"EpisodeOfCare","id":"e-` + patient + `-` + status + `","status":"` + status + `","patient":{"reference":"Patient/` + patient + `"}}`
}

func TestImportFHIRRefuses(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	if _, err := FHIR(t.Context(), pool, sourcetest.Folder("Patient.ndjson", `{"resourceType":"Patient","id":"p-0"}`), Options{Today: today}); err != nil {
		t.Fatal(err)
	}
	before := dump(t, pool)
	patient := func(more string) string { return `{"resourceType":"Patient","id":"p-1"` + more + "}\n" }
	related := func(more string) string { return `{"resourceType":"RelatedPerson","id":"r-1"` + more + "}\n" }
	ofP0 := `,"patient":{"reference":"Patient/p-0"}`
	for _, c := range []struct {
		name string
		dir  fstest.MapFS
		want string
	}{
		{"lines that are not JSON", sourcetest.Folder("Patient.ndjson", "{\"resourceType\":\"Patient\",\"id\":\n[]\nnull\n\"x\"\n\xff\n"),
			`Patient.ndjson:1: is not a JSON object: it breaks off or is wrong at byte 32
Patient.ndjson:2: is a JSON [, which FHIR does not allow here
Patient.ndjson:3: is a JSON null, which FHIR does not allow here
Patient.ndjson:4: is a JSON string, which FHIR does not allow here
Patient.ndjson:5: is not UTF-8: save the file as UTF-8`},
		{"another resource", sourcetest.Folder("Patient.ndjson", `{"resourceType":"Practitioner","id":"x"}`),
			"Patient.ndjson:1: the export holds no Patient, RelatedPerson or EpisodeOfCare\nPatient.ndjson:1: holds Practitioner, which Postern does not use: 1 was not read"},
		{"wrong types", sourcetest.Folder("Patient.ndjson", patient(`,"active":"yes"`)+patient(`,"link":[{"type":3}]`)),
			"Patient.ndjson:1: active: is a JSON string, which FHIR does not allow here\nPatient.ndjson:2: link.0.type: is a JSON number, which FHIR does not allow here"},
		{"wrong ids", sourcetest.Folder("Patient.ndjson", "{\"resourceType\":\"Patient\"}\n{\"resourceType\":\"Patient\",\"id\":\"a b\"}"),
			"Patient.ndjson:1: id: is missing\nPatient.ndjson:2: id: may hold only letters A to Z, digits, '.', '_' and '-'"},
		{"wrong periods", sourcetest.Folder("RelatedPerson.ndjson", related(ofP0+`,"period":{"start":"2012-05","end":"2012-04"}`)+
			strings.ReplaceAll(related(ofP0+`,"period":{"start":"2012-5","end":"2012-05-01T10:00"}`), "r-1", "r-2")),
			`RelatedPerson.ndjson:1: period.end: is before period.start
RelatedPerson.ndjson:2: period.start: is not a FHIR date: write YYYY, YYYY-MM, YYYY-MM-DD or a time with its zone
RelatedPerson.ndjson:2: period.end: is not a FHIR date: write YYYY, YYYY-MM, YYYY-MM-DD or a time with its zone`},
		{"duplicate ids", sourcetest.Folder(
			"Patient.ndjson", patient("")+"\n"+patient(""),
			"RelatedPerson.ndjson", related(ofP0)+related(ofP0)+strings.ReplaceAll(related(ofP0), "r-1", "p-1")+strings.ReplaceAll(related(ofP0), "r-1", "p-0")),
			`RelatedPerson.ndjson:3: id: is also the id of the Patient at Patient.ndjson:1: both would be the same portal user
RelatedPerson.ndjson:4: id: is also the id of a patient in the directory: both would be the same portal user`},
		{"wrong episodes", sourcetest.Folder("Patient.ndjson", patient(""), "EpisodeOfCare.ndjson",
			episodeOf("p-1", "done")+"\n"+episodeOf("p-9", "active")),
			`EpisodeOfCare.ndjson:1: status: must be one of planned, waitlist, active, onhold, finished, cancelled, entered-in-error`},
		{"a resource that is too long", sourcetest.Folder("Patient.ndjson", patient(`,"photo":"`+strings.Repeat("x", 16<<20)+`"`)+patient(`,"active":1`)),
			"Patient.ndjson:1: is longer than 16 MiB\nPatient.ndjson:2: active: is a JSON number, which FHIR does not allow here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := FHIR(t.Context(), pool, c.dir, Options{Today: today})
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

func TestADemoDomainMustBeValid(t *testing.T) {
	_, err := FHIR(t.Context(), nil, sourcetest.Folder("Patient.ndjson", ""), Options{DemoEmailDomain: "not a domain"})
	if err == nil || !strings.Contains(err.Error(), "write it as example.test") {
		t.Error(err)
	}
}

// A line longer than the reader's buffer is assembled from several reads.
func TestLongLinesAreReadCompletely(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	photo := strings.Repeat("x", 300_000)
	dir := sourcetest.Folder("Patient.ndjson", `{"resourceType":"Patient","id":"p-1","photo":"`+photo+`"}`+"\n"+`{"resourceType":"Patient","id":"p-2","photo":"`+photo+`"}`)
	if s, err := FHIR(t.Context(), pool, dir, Options{}); err != nil || s.Patients.New != 2 {
		t.Error(s, err)
	}
}
