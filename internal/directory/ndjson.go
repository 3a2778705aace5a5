package directory

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// longestResource is how many bytes one FHIR resource may have. Some carry a
// photograph.
const longestResource = 16 << 20

// fhirDecoder makes rows of FHIR resources.
type fhirDecoder struct {
	today       int32
	emailDomain string // "" takes addresses from the resources
	into        sink
}

// decode reads one NDJSON file, a resource of the given type a line.
func (d *fhirDecoder) decode(file int, resourceType string, content io.Reader) error {
	lines := bufio.NewReaderSize(content, 64<<10)
	for at := (place{file, 1}); ; at.line++ {
		line, err := readLine(lines)
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, errLineTooLong):
			d.into.fault(fault{place: at, reason: "is longer than 16 MiB"})
			continue
		case err != nil:
			return err
		}
		if at.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\uFEFF"))
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := d.resource(at, resourceType, line); err != nil {
			return err
		}
	}
}

func (d *fhirDecoder) resource(at place, resourceType string, line []byte) error {
	r := resource{fhirDecoder: d, place: at}
	switch resourceType {
	case "Patient":
		return r.patient(line)
	case "RelatedPerson":
		return r.relatedPerson(line)
	default:
		return r.episode(line)
	}
}

var errLineTooLong = errors.New("a line is too long")

// readLine returns the next line without its end, valid until the next call, and
// io.EOF after the last.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil || err == io.EOF && len(line) > 0 {
		return bytes.TrimRight(line, "\r\n"), nil
	}
	if err != bufio.ErrBufferFull {
		return nil, err
	}
	whole := bytes.Clone(line)
	for err == bufio.ErrBufferFull {
		line, err = r.ReadSlice('\n')
		if len(whole) <= longestResource {
			whole = append(whole, line...)
		}
	}
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case len(whole) > longestResource:
		return nil, errLineTooLong
	}
	return bytes.TrimRight(whole, "\r\n"), nil
}

// resource is the line at hand.
type resource struct {
	*fhirDecoder
	place
	faulty bool
}

func (r *resource) note(field, reason string) {
	if reason != "" {
		r.faulty = true
		r.into.fault(fault{place: r.place, field: field, reason: reason})
	}
}

// parse reads the line, and checks what all resources have: a type and an id.
func (r *resource) parse(line []byte, into any, gotType, id *string, wantType string) bool {
	if !utf8.Valid(line) {
		r.note("", "is not UTF-8: save the file as UTF-8")
		return false
	}
	if err := json.Unmarshal(line, into); err != nil {
		field, reason := jsonFault(err)
		r.note(field, reason)
		return false
	}
	if *gotType != wantType {
		r.note("resourceType", "must be "+wantType+" in this file")
		return false
	}
	r.note("id", checkID(*id))
	return !r.faulty
}

// jsonFault says what is wrong with a line, without quoting it.
func jsonFault(err error) (field, reason string) {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		return strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", "."),
			fmt.Sprintf("is not what FHIR has here: a JSON %s", semantic.JSONKind)
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return "", fmt.Sprintf("is not a JSON object: it breaks off or is wrong at byte %d", syntax.ByteOffset+1)
	}
	return "", "is not a JSON object"
}

// patient makes a patient, a portal user of the same id and the link of the two.
func (r *resource) patient(line []byte) error {
	var p fhirPatient
	if !r.parse(line, &p, &p.ResourceType, &p.ID, "Patient") {
		return nil
	}
	name := bestName(p.Name, r.today)
	given, family := name.parts()
	birth, whole, reason := fhirDate(p.BirthDate)
	r.note("birthDate", reason)
	if birth != whole {
		birth = date{} // a year or a month is not a day of birth
	}
	_, reason = firstDay(p.DeceasedDateTime)
	r.note("deceasedDateTime", reason)
	user := r.portalUser(p.ID, name, p.Telecom, nil)
	if r.faulty {
		given, family, birth = "", "", date{}
	}
	if err := r.into.patient(patientRow{
		place: r.place, id: p.ID, given: given, family: family, birth: birth,
		discharged: p.Active != nil && !*p.Active,
		deceased:   p.DeceasedBoolean || p.DeceasedDateTime != "",
	}); err != nil {
		return err
	}
	if err := r.into.portalUser(user); err != nil {
		return err
	}
	return r.into.link(linkRow{place: r.place, portalUser: p.ID, patient: p.ID, relationship: Self})
}

// relatedPerson makes a portal user and the link to the patient.
func (r *resource) relatedPerson(line []byte) error {
	var p fhirRelatedPerson
	if !r.parse(line, &p, &p.ResourceType, &p.ID, "RelatedPerson") {
		return nil
	}
	l := linkRow{place: r.place, portalUser: p.ID, relationship: Representative}
	var reason string
	l.patient, reason = patientOf(p.Patient)
	r.note("patient.reference", reason)
	patientIsWrong := reason != ""
	l.from, reason = firstDay(p.Period.Start)
	r.note("period.start", reason)
	l.until, reason = lastDay(p.Period.End)
	r.note("period.end", reason)
	if l.from.set && l.until.set && l.until.day < l.from.day {
		r.note("period.end", "is before period.start")
	}
	user := r.portalUser(p.ID, bestName(p.Name, r.today), p.Telecom, p.Active)
	if err := r.into.portalUser(user); err != nil || patientIsWrong {
		return err
	}
	if r.faulty {
		l.from, l.until = date{}, date{}
	}
	return r.into.link(l)
}

// portalUser makes the account of a resource. Without a name it goes by its id.
func (r *resource) portalUser(id string, name fhirHumanName, telecom []fhirContactPoint, active *bool) portalUserRow {
	u := portalUserRow{place: r.place, id: id, name: name.full(id), active: active == nil || *active}
	given, family := name.parts()
	r.note("name", cmp.Or(checkText(u.name), checkText(given), checkText(family)))
	u.email = bestEmail(telecom, r.today)
	if r.emailDomain != "" {
		u.email = id + "@" + r.emailDomain
	}
	r.note("telecom", checkEmail(u.email))
	if r.faulty {
		return portalUserRow{place: r.place, id: id}
	}
	return u
}

// episode makes a period of care, unless it was entered in error.
func (r *resource) episode(line []byte) error {
	var e fhirEpisodeOfCare
	if !r.parse(line, &e, &e.ResourceType, &e.ID, "EpisodeOfCare") {
		return nil
	}
	patient, reason := patientOf(e.Patient)
	r.note("patient.reference", reason)
	over := false
	switch e.Status {
	case "finished", "cancelled":
		over = true
	case "planned", "waitlist", "active", "onhold":
	case "entered-in-error":
		return nil
	default:
		r.note("status", "must be one of planned, waitlist, active, onhold, finished, cancelled, entered-in-error")
	}
	if reason != "" {
		return nil
	}
	return r.into.episode(episodeRow{place: r.place, patient: patient, over: over})
}
