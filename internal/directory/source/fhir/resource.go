package fhir

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

	"postern/internal/directory/field"
	"postern/internal/directory/source"
	"postern/internal/limits"
	"postern/internal/text/invisible"
)

func kindOf(resourceType string) (kind source.ResourceKind, supported bool) {
	switch resourceType {
	case "Patient":
		return source.PatientResource, true
	case "RelatedPerson":
		return source.RelatedPersonResource, true
	case "EpisodeOfCare":
		return source.EpisodeResource, true
	}
	return "", false
}

// resource is the current resource.
type resource struct {
	*oneFile
	source.Place
	ids    map[string]string // ids of the resources in the same Bundle, by their fullUrl
	faulty bool
}

// resource makes rows from a resource. entry is its Bundle entry, if it has one.
func (f *oneFile) resource(at source.Place, resourceType string, data []byte, entry bundleEntry, ids map[string]string) error {
	f.read++
	if f.deleted {
		f.Into.Fault(source.Fault{Place: at, Reason: "is a resource in the folder of deleted resources: it is not clear whether it was deleted"})
		return nil
	}
	r := resource{oneFile: f, Place: at, ids: ids}
	kind, _ := kindOf(resourceType)
	var head anyResource
	var who, rest string
	var err error
	switch kind {
	case source.PatientResource:
		var p patient
		if r.parse(data, &p, &p.anyResource) {
			head = p.anyResource
			who, rest, err = r.patient(p)
		}
	case source.RelatedPersonResource:
		var p relatedPerson
		if r.parse(data, &p, &p.anyResource) {
			head = p.anyResource
			who, rest, err = r.relatedPerson(p)
		}
	case source.EpisodeResource:
		var e episodeOfCare
		if r.parse(data, &e, &e.anyResource) {
			head = e.anyResource
			who, err = r.episode(e)
		}
	}
	if err != nil || head.ID == "" {
		return err
	}
	v := source.Version{Place: at, Kind: kind, ID: head.ID, History: entry.history, Who: sum(who), Rest: sum(rest)}
	stamp(&v, cmp.Or(string(head.Meta.LastUpdated), entry.Response.LastModified), string(head.Meta.VersionID))
	return f.Into.Version(v)
}

func sum(text string) [16]byte {
	s := sha256.Sum256([]byte(text))
	return [16]byte(s[:])
}

// stamp sets the time and the number of a version, if they can be parsed.
func stamp(v *source.Version, lastUpdated, versionID string) {
	if t, err := time.Parse(time.RFC3339, lastUpdated); err == nil {
		v.Updated, v.Dated = t.UnixMicro(), true
	}
	if n, err := strconv.ParseInt(versionID, 10, 64); err == nil {
		v.Version, v.Numbered = n, true
	}
}

// note reports a fault, which refuses the import: the field decides which portal users
// may be written to.
func (r *resource) note(field, reason string) {
	if reason != "" {
		r.faulty = true
		r.Into.Fault(source.Fault{Place: r.Place, Field: field, Reason: reason})
	}
}

// warn reports a defect. The resource is imported without the value.
func (r *resource) warn(field, reason string) {
	if reason != "" {
		r.Into.Warn(source.Fault{Place: r.Place, Field: field, Reason: reason})
	}
}

// parse reads the JSON, and checks that there is an id.
func (r *resource) parse(data []byte, into any, head *anyResource) bool {
	if err := json.Unmarshal(data, into, allowInvalidUTF8); err != nil {
		f := jsonFault(r.Place, err)
		r.note(f.Field, f.Reason)
		return false
	}
	r.note("id", field.CheckID(head.ID))
	return !r.faulty
}

// patient adds a patient, a portal user with the same id and the link between them.
func (r *resource) patient(p patient) (who, rest string, err error) {
	name := r.name(p.Name)
	given, family := name.parts()
	birth, whole, reason := daysOf(string(p.BirthDate))
	if reason != "" {
		r.warn("birthDate", reason+"; it was left out")
	}
	if birth != whole {
		birth = field.Date{} // a year or a month is not a date of birth
	}
	user := source.PortalUser{Place: r.Place, ID: p.ID, Name: name.full(p.ID), Email: r.email(p.ID, p.Telecom), Active: true}
	row := source.Patient{Place: r.Place, ID: p.ID, Given: given, Family: family, Birth: birth,
		Discharged: p.Active != nil && !*p.Active, Deceased: r.deceased(p)}
	if err := r.Into.Patient(row); err != nil {
		return "", "", err
	}
	if err := r.Into.PortalUser(user); err != nil {
		return "", "", err
	}
	if err := r.Into.Link(source.Link{Place: r.Place, PortalUser: p.ID, Patient: p.ID, Relationship: field.Self}); err != nil {
		return "", "", err
	}
	replacements, err := r.replacements(p)
	return fmt.Sprint(row.Discharged, row.Deceased, replacements, user.Email), fmt.Sprintf("%q %q %q %v", user.Name, given, family, birth), err
}

// deceased evaluates deceased[x]. An unknown date of death counts as a death.
func (r *resource) deceased(p patient) bool {
	_, _, reason := daysOf(p.DeceasedDateTime)
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

// replacements adds rows for the links that say that one record replaces another, and
// returns them as text.
func (r *resource) replacements(p patient) (claims []string, err error) {
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
		row := source.Replacement{Place: r.Place, SaidBy: p.ID, Replaced: p.ID}
		other, reason := r.patientRef(l.Other)
		switch {
		case l.Type == "replaced-by" && reason != "":
			r.warn("link.other.reference", reason+": the patient's successor is not known, so no one is written to about this patient")
		case reason != "":
			r.warn("link.other.reference", reason+": the replaced patient is not known")
			continue
		case l.Type == "replaces":
			row.Replaced, row.Successor = other, p.ID
		default:
			row.Successor = other
		}
		claims = append(claims, row.Replaced+" "+row.Successor)
		if err := r.Into.Replacement(row); err != nil {
			return nil, err
		}
	}
	slices.Sort(claims)
	return claims, nil
}

// relatedPerson adds a portal user, and the data for the link to the patient.
func (r *resource) relatedPerson(p relatedPerson) (who, rest string, err error) {
	row := source.RelatedPerson{Place: r.Place, ID: p.ID, Active: p.Active == nil || *p.Active}
	var reason string
	if row.Patient, reason = r.patientRef(p.Patient); reason != "" {
		r.warn("patient.reference", reason+": the represented patient is not known, so the account is inactive")
	}
	row.From, reason = firstDay(p.Period.Start)
	r.note("period.start", reason)
	row.Until, reason = lastDay(p.Period.End)
	r.note("period.end", reason)
	if row.From.Set && row.Until.Set && row.Until.Day < row.From.Day {
		r.note("period.end", "is before period.start")
	}
	if r.faulty {
		row.From, row.Until = field.Date{}, field.Date{}
	}
	user := source.PortalUser{Place: r.Place, ID: p.ID, Name: r.name(p.Name).full(p.ID), Email: r.email(p.ID, p.Telecom), Active: row.Active}
	if err := r.Into.PortalUser(user); err != nil {
		return "", "", err
	}
	return fmt.Sprint(row.Patient, row.Active, row.From, row.Until, user.Email), user.Name, r.Into.RelatedPerson(row)
}

// episode adds an episode of care.
func (r *resource) episode(e episodeOfCare) (who string, err error) {
	row := source.Episode{Place: r.Place, ID: e.ID}
	var reason string
	if row.Patient, reason = r.patientRef(e.Patient); reason != "" {
		r.warn("patient.reference", reason+": the patient of this episode of care is not known")
	}
	switch code(e.Status) {
	case "finished", "cancelled":
		row.State = source.EpisodeOver
	case "planned", "waitlist", "active", "onhold":
		row.State = source.EpisodeOpen
	case "entered-in-error":
		row.State = source.EpisodeVoid
	default:
		r.note("status", "must be one of planned, waitlist, active, onhold, finished, cancelled, entered-in-error")
		row.State = source.EpisodeVoid
	}
	return fmt.Sprint(row.Patient, row.State), r.Into.Episode(row)
}

// code returns a FHIR code in lower case, as FHIR defines it.
func code(text string) string { return strings.ToLower(invisible.Trim(text)) }

// patientRef is [patientOf] for a reference that may be to a resource in the same Bundle.
func (r *resource) patientRef(ref reference) (id, reason string) {
	if id := r.ids[ref.Reference]; id != "" {
		return id, field.CheckID(id)
	}
	return patientOf(ref)
}

// name returns the name in use, cleaned so that it fits on one line.
func (r *resource) name(names elements[humanName]) humanName {
	if names.wrong {
		r.warn("name", notAnElement)
	}
	name := bestName(names.of, r.Today)
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
	cleaned := humanName{Family: clean(family), Text: clean(name.full(""))}
	if given = clean(given); given != "" {
		cleaned.Given = []string{given}
	}
	if control {
		r.warn("name", "holds a control character or a line break: it was replaced by a space")
	}
	if half {
		r.warn("name", "holds a character that the source cut in two or could not read: it was replaced by U+FFFD")
	}
	if long {
		r.warn("name", fmt.Sprintf("is longer than %s: it was cut", limits.DirectoryName))
	}
	return cleaned
}

// notAnElement is the warning for an element of a list that can't be read.
const notAnElement = "holds an element that FHIR does not allow here: the element was ignored"

// email returns the address of an account: the first that can be used, or "".
func (r *resource) email(id string, points elements[contactPoint]) string {
	field, values := "telecom", emails(points.of, r.Today)
	switch {
	case r.EmailDomain != "":
		field, values = "id", []string{id + "@" + r.EmailDomain}
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
