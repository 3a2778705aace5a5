package directory

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// The parts that an import reads of FHIR R4 resources
// (https://hl7.org/fhir/R4/patient.html, relatedperson.html, episodeofcare.html).
// Everything else in them is passed over.

type fhirPatient struct {
	ResourceType     string             `json:"resourceType"`
	ID               string             `json:"id"`
	Active           *bool              `json:"active"`
	Name             []fhirHumanName    `json:"name"`
	Telecom          []fhirContactPoint `json:"telecom"`
	BirthDate        string             `json:"birthDate"`
	DeceasedBoolean  bool               `json:"deceasedBoolean"`
	DeceasedDateTime string             `json:"deceasedDateTime"`
}

type fhirRelatedPerson struct {
	ResourceType string             `json:"resourceType"`
	ID           string             `json:"id"`
	Active       *bool              `json:"active"`
	Patient      fhirReference      `json:"patient"`
	Name         []fhirHumanName    `json:"name"`
	Telecom      []fhirContactPoint `json:"telecom"`
	Period       fhirPeriod         `json:"period"`
}

type fhirEpisodeOfCare struct {
	ResourceType string        `json:"resourceType"`
	ID           string        `json:"id"`
	Status       string        `json:"status"`
	Patient      fhirReference `json:"patient"`
}

type fhirHumanName struct {
	Use    string     `json:"use"`
	Text   string     `json:"text"`
	Family string     `json:"family"`
	Given  []string   `json:"given"`
	Period fhirPeriod `json:"period"`
}

type fhirContactPoint struct {
	System string     `json:"system"`
	Value  string     `json:"value"`
	Use    string     `json:"use"`
	Rank   int        `json:"rank"`
	Period fhirPeriod `json:"period"`
}

type fhirReference struct {
	Reference string `json:"reference"`
}

type fhirPeriod struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// current says whether the period has neither ended before the day nor begins
// after it. A date that can't be read is open.
func (p fhirPeriod) current(day int32) bool {
	start, _ := firstDay(p.Start)
	end, _ := lastDay(p.End)
	return (!start.set || start.day <= day) && (!end.set || end.day >= day)
}

// firstDay is the first day of a FHIR date or dateTime, which may be a year or a
// month alone.
func firstDay(text string) (d date, reason string) {
	d, _, reason = fhirDate(text)
	return d, reason
}

// lastDay is the last day of one.
func lastDay(text string) (d date, reason string) {
	_, d, reason = fhirDate(text)
	return d, reason
}

// fhirDate gives the days that a FHIR date or dateTime may mean. The day of a
// dateTime is the one that is written there, in whatever time zone.
func fhirDate(text string) (first, last date, reason string) {
	if text == "" {
		return date{}, date{}, ""
	}
	day, _, timed := strings.Cut(text, "T")
	if timed {
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return date{}, date{}, notFHIRDate
		}
	}
	for _, form := range []struct {
		layout              string
		years, months, days int
	}{{time.DateOnly, 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		if t, err := time.Parse(form.layout, day); err == nil && t.Year() >= 1 && (len(day) == len(time.DateOnly) || !timed) {
			end := t.AddDate(form.years, form.months, form.days-1)
			return date{dayOf(t), true}, date{dayOf(end), true}, ""
		}
	}
	return date{}, date{}, notFHIRDate
}

const notFHIRDate = "is not a FHIR date: write YYYY, YYYY-MM, YYYY-MM-DD or a time with its zone"

// bestName is the name that a person goes by today.
func bestName(names []fhirHumanName, day int32) fhirHumanName {
	rank := func(n fhirHumanName) int {
		use := slices.Index([]string{"official", "usual", "", "temp", "nickname", "anonymous", "maiden", "old"}, n.Use)
		if use < 0 || !n.Period.current(day) {
			use += 10
		}
		return use
	}
	var best fhirHumanName
	found := false
	for _, n := range names {
		if n.Text == "" && n.Family == "" && len(n.Given) == 0 {
			continue
		}
		if !found || rank(n) < rank(best) {
			best, found = n, true
		}
	}
	return best
}

// parts gives the name as given and family name. A name that has only a text is
// a family name: no rule could take it apart.
func (n fhirHumanName) parts() (given, family string) {
	given, family = strings.Join(n.Given, " "), n.Family
	if given == "" && family == "" {
		family = n.Text
	}
	return given, family
}

// full gives the name as one text, or else.
func (n fhirHumanName) full(or string) string {
	if n.Text != "" {
		return n.Text
	}
	given, family := n.parts()
	return cmp.Or(strings.TrimSpace(given+" "+family), or)
}

// bestEmail is the address to write to today, or "".
func bestEmail(points []fhirContactPoint, day int32) string {
	best := fhirContactPoint{}
	for _, p := range points {
		if p.System != "email" || p.Value == "" || p.Use == "old" || !p.Period.current(day) {
			continue
		}
		if best.Value == "" || betterPoint(p, best) {
			best = p
		}
	}
	return best.Value
}

// betterPoint prefers the address at home, then the one ranked first.
func betterPoint(a, b fhirContactPoint) bool {
	if (a.Use == "home") != (b.Use == "home") {
		return a.Use == "home"
	}
	return a.Rank > 0 && (b.Rank == 0 || a.Rank < b.Rank)
}

// patientOf gives the id of the patient that a reference names: "Patient/id", the
// same behind a server's URL or before a version, or "urn:uuid:id".
func patientOf(r fhirReference) (id, reason string) {
	ref := r.Reference
	if ref == "" {
		return "", "is missing: it must be Patient/<id>"
	}
	if uuid, ok := strings.CutPrefix(ref, "urn:uuid:"); ok {
		return uuid, checkID(uuid)
	}
	ref, _, _ = strings.Cut(ref, "/_history/")
	if at := strings.LastIndex(ref, "Patient/"); at == 0 || at > 0 && ref[at-1] == '/' {
		id := ref[at+len("Patient/"):]
		return id, checkID(id)
	}
	return "", "does not name a patient: it must be Patient/<id>"
}
