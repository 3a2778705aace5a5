package fhir

import (
	"cmp"
	"math"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"postern/internal/directory/field"
	"postern/internal/text/invisible"
)

// The elements of FHIR R4 resources that an import reads
// (https://hl7.org/fhir/R4/patient.html, relatedperson.html, episodeofcare.html).
// All others are ignored.

// anyResource holds the elements of every resource.
type anyResource struct {
	ID   string `json:"id"`
	Meta meta   `json:"meta"`
}

type meta struct {
	VersionID   lenientText `json:"versionId"`
	LastUpdated lenientText `json:"lastUpdated"`
}

// lenientText is a text that decides nothing if it can't be parsed. Another JSON value
// in its place, such as a number, is kept as it is written.
type lenientText string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (l *lenientText) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch value.Kind() {
	case 'n':
		*l = ""
	case '"':
		text, _ := jsontext.AppendUnquote(nil, value) // it fails at half a surrogate pair, which becomes U+FFFD
		*l = lenientText(text)
	default:
		*l = lenientText(value)
	}
	return nil
}

// elements is a list that does not affect any audience. An element that is not valid
// FHIR is left out, because a clinic can't edit its export.
type elements[T any] struct {
	of    []T
	wrong bool // some were left out
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (e *elements[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case '[':
	case 'n':
		return dec.SkipValue()
	default:
		e.wrong = true
		return dec.SkipValue()
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		var element T
		if err := json.Unmarshal(value, &element, allowInvalidUTF8); err != nil {
			e.wrong = true
			continue
		}
		e.of = append(e.of, element)
	}
	_, err := dec.ReadToken()
	return err
}

type patient struct {
	anyResource
	Active           *bool                  `json:"active"`
	Name             elements[humanName]    `json:"name"`
	Telecom          elements[contactPoint] `json:"telecom"`
	BirthDate        lenientText            `json:"birthDate"`
	DeceasedBoolean  *bool                  `json:"deceasedBoolean"`
	DeceasedDateTime string                 `json:"deceasedDateTime"`
	Link             []patientLink          `json:"link"`
	// The underscore members hold the extensions of a primitive, such as the reason why
	// its value is absent (https://hl7.org/fhir/R4/json.html#primitive).
	BesideDeceasedBoolean  map[string]any `json:"_deceasedBoolean"`
	BesideDeceasedDateTime map[string]any `json:"_deceasedDateTime"`
}

type patientLink struct {
	Other reference `json:"other"`
	Type  string    `json:"type"`
}

type relatedPerson struct {
	anyResource
	Active  *bool                  `json:"active"`
	Patient reference              `json:"patient"`
	Name    elements[humanName]    `json:"name"`
	Telecom elements[contactPoint] `json:"telecom"`
	Period  period                 `json:"period"`
}

type episodeOfCare struct {
	anyResource
	Status  string    `json:"status"`
	Patient reference `json:"patient"`
}

// bundle holds other resources: the results of a search or a history, or the
// requests of a transaction, such as the deletions of a bulk export.
type bundle struct {
	Type      string        `json:"type"`
	Meta      meta          `json:"meta"`
	Timestamp string        `json:"timestamp"`
	Entry     []bundleEntry `json:"entry"`
}

type bundleEntry struct {
	offset  int64 // the byte offset of the entry in the JSON of the Bundle, or a little before
	history int   // the number of the entry in a history, counted from 1, the newest first

	FullURL  string         `json:"fullUrl"`
	Resource jsontext.Value `json:"resource"`
	Request  struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	} `json:"request"`
	Response struct {
		LastModified string `json:"lastModified"`
		ETag         string `json:"etag"`
	} `json:"response"`
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom. It sets the entry's offset.
func (e *bundleEntry) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	e.offset = dec.InputOffset()
	type plain bundleEntry
	return json.UnmarshalDecode(dec, (*plain)(e))
}

type humanName struct {
	Use    string   `json:"use"`
	Text   string   `json:"text"`
	Family string   `json:"family"`
	Given  []string `json:"given"`
	Period period   `json:"period"`
}

type contactPoint struct {
	System string      `json:"system"`
	Value  string      `json:"value"`
	Use    string      `json:"use"`
	Rank   lenientText `json:"rank"`
	Period period      `json:"period"`
}

type reference struct {
	Reference string `json:"reference"`
}

type period struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// current reports whether the day is within the period. A date that can't be parsed
// counts as open.
func (p period) current(day int32) bool {
	start, _ := firstDay(p.Start)
	end, _ := lastDay(p.End)
	return (!start.Set || start.Day <= day) && (!end.Set || end.Day >= day)
}

// firstDay returns the first day of a FHIR date or dateTime, which may be only a year
// or a month.
func firstDay(text string) (d field.Date, reason string) {
	d, _, reason = daysOf(text)
	return d, reason
}

// lastDay returns the last day of a FHIR date or dateTime.
func lastDay(text string) (d field.Date, reason string) {
	_, d, reason = daysOf(text)
	return d, reason
}

// daysOf returns the first and the last day that a FHIR date or dateTime may mean. The
// day of a dateTime is the written one; its time zone is ignored.
func daysOf(text string) (first, last field.Date, reason string) {
	if text == "" {
		return field.Date{}, field.Date{}, ""
	}
	day, _, timed := strings.Cut(text, "T")
	if timed {
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return field.Date{}, field.Date{}, notADate
		}
	}
	for _, form := range []struct {
		layout              string
		years, months, days int
	}{{time.DateOnly, 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		if t, err := time.Parse(form.layout, day); err == nil && t.Year() >= 1 && (len(day) == len(time.DateOnly) || !timed) {
			end := t.AddDate(form.years, form.months, form.days-1)
			return field.DateOf(t), field.DateOf(end), ""
		}
	}
	return field.Date{}, field.Date{}, notADate
}

const notADate = "is not a FHIR date: write YYYY, YYYY-MM, YYYY-MM-DD or a time with its zone"

// bestName returns the name that a person uses on the day.
func bestName(names []humanName, day int32) humanName {
	rank := func(n humanName) int {
		use := slices.Index([]string{"official", "usual", "", "temp", "nickname", "anonymous", "maiden", "old"}, n.Use)
		if use < 0 || !n.Period.current(day) {
			use += 10
		}
		return use
	}
	var best humanName
	found := false
	for _, n := range names {
		if n.Text, n.Family = visible(n.Text), visible(n.Family); n.full("") == "" {
			continue
		}
		if !found || rank(n) < rank(best) {
			best, found = n, true
		}
	}
	return best
}

// visible returns a text without the invisible characters around it, and "" if it has no
// visible character.
func visible(text string) string {
	shows := func(r rune) bool { return unicode.IsGraphic(r) && !invisible.Is(r) }
	if !strings.ContainsFunc(text, shows) {
		return ""
	}
	return invisible.Trim(text)
}

// parts returns the name as given and family name. A name with only a text becomes a
// family name, because no rule can split it reliably.
func (n humanName) parts() (given, family string) {
	var givens []string
	for _, g := range n.Given { // null beside an extension is ""
		if g = visible(g); g != "" {
			givens = append(givens, g)
		}
	}
	given, family = strings.Join(givens, " "), visible(n.Family)
	if given == "" && family == "" {
		family = visible(n.Text)
	}
	return given, family
}

// full returns the name as one text; without one it returns or.
func (n humanName) full(or string) string {
	given, family := n.parts()
	return cmp.Or(visible(n.Text), strings.TrimSpace(given+" "+family), or)
}

// emails returns the addresses in use on the day, the preferred one first: home
// addresses, then by rank.
func emails(points []contactPoint, day int32) (values []string) {
	var usable []contactPoint
	for _, p := range points {
		if strings.EqualFold(p.System, "email") && visible(p.Value) != "" && p.Use != "old" && p.Period.current(day) {
			usable = append(usable, p)
		}
	}
	slices.SortStableFunc(usable, func(a, b contactPoint) int {
		home := func(p contactPoint) int {
			if p.Use == "home" {
				return 0
			}
			return 1
		}
		rank := func(p contactPoint) uint64 { // none comes last
			n, err := strconv.ParseUint(string(p.Rank), 10, 64)
			if err != nil {
				return math.MaxUint64
			}
			return n - 1
		}
		return cmp.Or(cmp.Compare(home(a), home(b)), cmp.Compare(rank(a), rank(b)))
	})
	for _, p := range usable {
		values = append(values, p.Value)
	}
	return values
}

// bareEmail removes the text that systems write around an address: blanks, "mailto:"
// and a display name. It returns the reason if the address can't be used.
func bareEmail(value string) (email, reason string) {
	email = strings.TrimSpace(value)
	if scheme := "mailto:"; len(email) > len(scheme) && strings.EqualFold(email[:len(scheme)], scheme) {
		email, _, _ = strings.Cut(email[len(scheme):], "?")
		if plain, err := url.PathUnescape(email); err == nil {
			email = strings.TrimSpace(plain)
		}
	}
	if strings.ContainsAny(email, "<(") {
		if parsed, err := mail.ParseAddress(email); err == nil {
			email = parsed.Address
		}
	}
	email, reason = field.CleanEmail(email)
	if email == "" && reason == "" {
		reason = "is empty"
	}
	return email, reason
}

// resourceOf splits a reference or a request's URL: "Patient/id", optionally after a
// server's address or before a version.
func resourceOf(ref string) (resourceType, id, version string) {
	ref, version, _ = strings.Cut(ref, "/_history/")
	rest, id, ok := cutLast(ref, "/")
	if !ok || field.CheckID(id) != "" {
		return "", "", ""
	}
	_, resourceType, ok = cutLast(rest, "/")
	if !ok {
		resourceType = rest
	}
	return resourceType, id, version
}

func cutLast(s, sep string) (before, after string, found bool) {
	if at := strings.LastIndex(s, sep); at >= 0 {
		return s[:at], s[at+len(sep):], true
	}
	return s, "", false
}

// patientOf returns the id of the patient that a reference names, which may also be
// "urn:uuid:id", or the reason why the reference can't be used.
func patientOf(r reference) (id, reason string) {
	reference := invisible.Trim(r.Reference)
	if reference == "" {
		return "", "is missing"
	}
	if uuid, ok := strings.CutPrefix(reference, "urn:uuid:"); ok && field.CheckID(uuid) == "" {
		return uuid, ""
	}
	if resourceType, id, _ := resourceOf(reference); resourceType == "Patient" {
		return id, ""
	}
	return "", "does not have the form Patient/<id>"
}
