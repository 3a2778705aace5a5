package directory

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"postern/internal/limits"
	"postern/internal/text/invisible"
)

// resourceKind is a type of FHIR resource that is read, as the tables name it.
type resourceKind string

const (
	kindPatient       resourceKind = "patient"
	kindRelatedPerson resourceKind = "related_person"
	kindEpisode       resourceKind = "episode"
)

func kindOf(resourceType string) (kind resourceKind, ours bool) {
	switch resourceType {
	case "Patient":
		return kindPatient, true
	case "RelatedPerson":
		return kindRelatedPerson, true
	case "EpisodeOfCare":
		return kindEpisode, true
	}
	return "", false
}

// resource is the one at hand.
type resource struct {
	*fhirFile
	place
	ids    map[string]string // of those in the same Bundle, by their fullUrl
	faulty bool
}

// resource makes rows of a resource. Entry is where it stands in a Bundle, if it does.
func (f *fhirFile) resource(at place, resourceType string, data []byte, entry fhirEntry, ids map[string]string) error {
	f.read++
	if f.deleted {
		f.into.fault(fault{place: at, reason: "is a resource in the folder of deleted resources: it is not clear whether it was deleted"})
		return nil
	}
	r := resource{fhirFile: f, place: at, ids: ids}
	kind, _ := kindOf(resourceType)
	var head fhirResource
	var who, rest string
	var err error
	switch kind {
	case kindPatient:
		var p fhirPatient
		if r.parse(data, &p, &p.fhirResource) {
			head = p.fhirResource
			who, rest, err = r.patient(p)
		}
	case kindRelatedPerson:
		var p fhirRelatedPerson
		if r.parse(data, &p, &p.fhirResource) {
			head = p.fhirResource
			who, rest, err = r.relatedPerson(p)
		}
	case kindEpisode:
		var e fhirEpisodeOfCare
		if r.parse(data, &e, &e.fhirResource) {
			head = e.fhirResource
			who, err = r.episode(e)
		}
	}
	if err != nil || head.ID == "" {
		return err
	}
	v := versionRow{place: at, kind: kind, id: head.ID, history: entry.history, who: sum(who), rest: sum(rest)}
	v.stamp(cmp.Or(string(head.Meta.LastUpdated), entry.Response.LastModified), string(head.Meta.VersionID))
	return f.into.version(v)
}

func sum(text string) [16]byte {
	s := sha256.Sum256([]byte(text))
	return [16]byte(s[:])
}

// stamp notes when a version was made, and its number, as far as they can be read.
func (v *versionRow) stamp(lastUpdated, versionID string) {
	if t, err := time.Parse(time.RFC3339, lastUpdated); err == nil {
		v.updated, v.dated = t.UnixMicro(), true
	}
	if n, err := strconv.ParseInt(versionID, 10, 64); err == nil {
		v.version, v.numbered = n, true
	}
}

// note adds a fault: what it is about decides who may be written to.
func (r *resource) note(field, reason string) {
	if reason != "" {
		r.faulty = true
		r.into.fault(fault{place: r.place, field: field, reason: reason})
	}
}

// warn tells of what is imperfect: the resource is imported without it.
func (r *resource) warn(field, reason string) {
	if reason != "" {
		r.into.warn(fault{place: r.place, field: field, reason: reason})
	}
}

// parse reads the JSON, and checks that there is an id.
func (r *resource) parse(data []byte, into any, head *fhirResource) bool {
	if err := json.Unmarshal(data, into, halfCharacters); err != nil {
		f := jsonFault(r.place, err)
		r.note(f.field, f.reason)
		return false
	}
	r.note("id", checkID(head.ID))
	return !r.faulty
}

// patient makes a patient, a portal user of the same id and the link of the two.
func (r *resource) patient(p fhirPatient) (who, rest string, err error) {
	name := r.name(p.Name)
	given, family := name.parts()
	birth, whole, reason := fhirDate(string(p.BirthDate))
	if reason != "" {
		r.warn("birthDate", reason+"; it was left out")
	}
	if birth != whole {
		birth = date{} // a year or a month is not a day of birth
	}
	user := portalUserRow{place: r.place, id: p.ID, name: name.full(p.ID), email: r.email(p.ID, p.Telecom), active: true}
	row := patientRow{place: r.place, id: p.ID, given: given, family: family, birth: birth,
		discharged: p.Active != nil && !*p.Active, deceased: r.deceased(p)}
	if err := r.into.patient(row); err != nil {
		return "", "", err
	}
	if err := r.into.portalUser(user); err != nil {
		return "", "", err
	}
	if err := r.into.link(linkRow{place: r.place, portalUser: p.ID, patient: p.ID, relationship: Self}); err != nil {
		return "", "", err
	}
	replacements, err := r.replacements(p)
	return fmt.Sprint(row.discharged, row.deceased, replacements, user.email), fmt.Sprintf("%q %q %q %v", user.name, given, family, birth), err
}

// deceased honours deceased[x]. A date of death that is not known is one.
func (r *resource) deceased(p fhirPatient) bool {
	_, _, reason := fhirDate(p.DeceasedDateTime)
	if reason != "" {
		r.warn("deceasedDateTime", reason+"; the patient is taken as deceased")
	}
	dated := p.DeceasedDateTime != "" || len(p.BesideDeceasedDateTime) > 0
	switch {
	case p.DeceasedBoolean == nil && !dated && len(p.BesideDeceasedBoolean) > 0:
		r.warn("deceasedBoolean", "does not say whether the patient is deceased: taken as living")
	case p.DeceasedBoolean != nil && !*p.DeceasedBoolean && dated:
		r.warn("deceasedBoolean", "is false beside a deceasedDateTime: the patient is taken as deceased")
	}
	return dated || p.DeceasedBoolean != nil && *p.DeceasedBoolean
}

// replacements makes rows of the links that say that a record replaces another, and
// gives them as text.
func (r *resource) replacements(p fhirPatient) (said []string, err error) {
	for _, l := range p.Link {
		l.Type = code(l.Type)
		switch l.Type {
		case "replaced-by", "replaces":
		case "refer", "seealso":
			continue
		default:
			r.warn("link.type", "must be one of replaced-by, replaces, refer, seealso: the link was not read")
			continue
		}
		row := replacementRow{place: r.place, saidBy: p.ID, replaced: p.ID}
		other, reason := r.patientRef(l.Other)
		switch {
		case l.Type == "replaced-by" && reason != "":
			r.warn("link.other.reference", reason+": the patient's successor is not known, so no one is written to about this patient")
		case reason != "":
			r.warn("link.other.reference", reason+": it is not known whom the patient replaces")
			continue
		case l.Type == "replaces":
			row.replaced, row.successor = other, p.ID
		default:
			row.successor = other
		}
		said = append(said, row.replaced+" "+row.successor)
		if err := r.into.replacement(row); err != nil {
			return nil, err
		}
	}
	slices.Sort(said)
	return said, nil
}

// relatedPerson makes a portal user, and what the link to the patient is made of.
func (r *resource) relatedPerson(p fhirRelatedPerson) (who, rest string, err error) {
	row := relatedRow{place: r.place, id: p.ID, active: p.Active == nil || *p.Active}
	var reason string
	if row.patient, reason = r.patientRef(p.Patient); reason != "" {
		r.warn("patient.reference", reason+": it is not known whom the person represents, and the account is inactive")
	}
	row.from, reason = firstDay(p.Period.Start)
	r.note("period.start", reason)
	row.until, reason = lastDay(p.Period.End)
	r.note("period.end", reason)
	if row.from.set && row.until.set && row.until.day < row.from.day {
		r.note("period.end", "is before period.start")
	}
	if r.faulty {
		row.from, row.until = date{}, date{}
	}
	user := portalUserRow{place: r.place, id: p.ID, name: r.name(p.Name).full(p.ID), email: r.email(p.ID, p.Telecom), active: row.active}
	if err := r.into.portalUser(user); err != nil {
		return "", "", err
	}
	return fmt.Sprint(row.patient, row.active, row.from, row.until, user.email), user.name, r.into.related(row)
}

// episode makes a period of care.
func (r *resource) episode(e fhirEpisodeOfCare) (who string, err error) {
	row := episodeRow{place: r.place, id: e.ID}
	var reason string
	if row.patient, reason = r.patientRef(e.Patient); reason != "" {
		r.warn("patient.reference", reason+": it is not known whose episode of care this is")
	}
	switch code(e.Status) {
	case "finished", "cancelled":
		row.state = episodeOver
	case "planned", "waitlist", "active", "onhold":
		row.state = episodeOpen
	case "entered-in-error":
		row.state = episodeVoid
	default:
		r.note("status", "must be one of planned, waitlist, active, onhold, finished, cancelled, entered-in-error")
		row.state = episodeVoid
	}
	return fmt.Sprint(row.patient, row.state), r.into.episode(row)
}

// code gives one of FHIR's codes as FHIR writes it: in small letters.
func code(text string) string { return strings.ToLower(invisible.Trim(text)) }

// patientRef is [patientOf] where the reference may be to a resource in the Bundle.
func (r *resource) patientRef(ref fhirReference) (id, reason string) {
	if id := r.ids[ref.Reference]; id != "" {
		return id, checkID(id)
	}
	return patientOf(ref)
}

// name is the name that a person goes by, fit for one line.
func (r *resource) name(names elements[fhirHumanName]) fhirHumanName {
	if names.wrong {
		r.warn("name", notAnElement)
	}
	name := bestName(names.of, r.today)
	given, family := name.parts()
	var control, half, long bool
	clean := func(text string) string {
		line := strings.Map(func(c rune) rune {
			if unicode.IsControl(c) {
				control = true
				return ' '
			}
			half = half || c == utf8.RuneError
			return c
		}, text)
		if utf8.RuneCountInString(line) > int(limits.DirectoryName) {
			long = true
			line = string([]rune(line)[:limits.DirectoryName])
		}
		return strings.TrimSpace(line)
	}
	cleaned := fhirHumanName{Family: clean(family), Text: clean(name.full(""))}
	if given = clean(given); given != "" {
		cleaned.Given = []string{given}
	}
	if control {
		r.warn("name", "holds a control character or a line break: a space was put in its place")
	}
	if half {
		r.warn("name", "holds a character that the source cut in two or could not read: U+FFFD stands in its place")
	}
	if long {
		r.warn("name", fmt.Sprintf("is longer than %s: it was cut", limits.DirectoryName))
	}
	return cleaned
}

// notAnElement warns of an element of a list that can't be read.
const notAnElement = "holds an element that is not what FHIR has here: it was passed over"

// email is the address of an account: the first that can be used, or "".
func (r *resource) email(id string, points elements[fhirContactPoint]) string {
	field, values := "telecom", emails(points.of, r.today)
	switch {
	case r.emailDomain != "":
		field, values = "id", []string{id + "@" + r.emailDomain}
	case points.wrong:
		r.warn(field, notAnElement)
	}
	for i, value := range values {
		email, reason := bareEmail(value)
		switch {
		case reason == "":
			return email
		case i+1 < len(values):
			r.warn(field, "an address "+reason+": the next one was used")
		default:
			r.warn(field, "an address "+reason+": no usable address is left, so no alert goes out")
		}
	}
	return ""
}
