package record

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/record/query"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// filter is the filter of a list of events, as it is in the address.
type filter struct {
	Message, PortalUser, Patient, Actor, Type string
	From, Until                               string // days, both included
	Sort                                      string // a value of sorts
}

// oldestFirst is the order of time, from the oldest event on.
const oldestFirst = "time"

// sorts are the orders of a list of events. The first, "", is the order of a list without one.
var sorts = []choice{
	{"", language.Mark("Newest first")}, {oldestFirst, language.Mark("Oldest first")},
	{"type", language.Mark("Event, A to Z")}, {"-type", language.Mark("Event, Z to A")},
	{"actor", language.Mark("Who did it, A to Z")}, {"-actor", language.Mark("Who did it, Z to A")}}

// Oldest reports whether the list is in order of time and the oldest event comes first.
func (f filter) Oldest() bool { return f.Sort == oldestFirst }

// ByTime reports whether the list is in order of time.
func (f filter) ByTime() bool { return f.Sort == "" || f.Oldest() }

// filterOf reads the filter. Addresses of earlier versions have the parameters staff and order.
func filterOf(r *http.Request) filter {
	read := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	f := filter{read("message"), read("portal-user"), read("patient"), read("actor"), read("type"), read("from"), read("until"), read("sort")}
	if staff := read("staff"); staff != "" && f.Actor == "" {
		f.Actor = "staff:" + staff
	}
	if read("order") == "oldest" && f.Sort == "" {
		f.Sort = oldestFirst
	}
	if !slices.ContainsFunc(sorts, func(s choice) bool { return s.Value == f.Sort }) {
		f.Sort = ""
	}
	return f
}

// Chosen reports whether the filter leaves out any event.
func (f filter) Chosen() bool { return f != filter{Sort: f.Sort} }

// turned returns the same filter in the other order of time.
func (f filter) turned() filter {
	f.Sort = map[string]string{"": oldestFirst}[f.Sort]
	return f
}

// href returns the address of the list from a position on.
func (f filter) href(before string) string {
	return address("/record", "message", f.Message, "portal-user", f.PortalUser, "patient", f.Patient,
		"actor", f.Actor, "type", f.Type, "from", f.From, "until", f.Until, "sort", f.Sort, "before", before)
}

// address returns a path with the pairs that have a value as its query.
func address(path string, pairs ...string) string {
	query := url.Values{}
	for pair := range slices.Chunk(pairs, 2) {
		if name, value := pair[0], pair[1]; value != "" {
			query.Set(name, value)
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// exports returns the addresses of the files with the events that match a filter.
func exports(r *http.Request, f query.Filter) []choice {
	message, from, to := "", "", ""
	if f.MessageID != uuid.Nil {
		message = f.MessageID.String()
	}
	if !f.From.IsZero() {
		from = f.From.UTC().Format(time.RFC3339)
	}
	if !f.To.IsZero() {
		to = f.To.UTC().Format(time.RFC3339)
	}
	var all []choice
	for _, form := range []choice{{"csv", page.T(r, "CSV, for a spreadsheet")}, {"ndjson", page.T(r, "NDJSON, the events as stored")}, {"fhir.ndjson", "FHIR R4 NDJSON"}} {
		all = append(all, choice{address("/v1/record."+form.Value, "message_id", message, "portal_user_id", f.PortalUserID, "patient_id", f.PatientID,
			"type", string(f.Type), "actor", f.Actor, "from", from, "to", to), form.Text})
	}
	return all
}

var (
	isID    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	isActor = regexp.MustCompile(`^[a-z_]+:.{1,190}$`)
)

// chosen converts the filter to a query, and returns the errors of its fields.
func (f filter) chosen() (c query.Filter, errs page.Errors) {
	wrong := func(field, message string) { errs = append(errs, page.Error{Field: field, Message: message}) }
	if f.Message != "" {
		var err error
		if c.MessageID, err = uuid.Parse(f.Message); err != nil {
			wrong("find", language.Mark("There is no such message. Find it again"))
		}
	}
	if f.PortalUser != "" && !isID.MatchString(f.PortalUser) {
		wrong("find", language.Mark("There is no such person. Find them again"))
	}
	if f.Patient != "" && !isID.MatchString(f.Patient) {
		wrong("find", language.Mark("There is no such person. Find them again"))
	}
	if f.Actor != "" && !isActor.MatchString(f.Actor) {
		wrong("actor", language.Mark("Choose who did it from the list"))
	}
	if f.Type != "" && !slices.ContainsFunc(types, func(t choice) bool { return t.Value == f.Type }) {
		wrong("type", language.Mark("Choose an event from the list"))
	}
	c.PortalUserID, c.PatientID, c.Actor, c.Type = f.PortalUser, f.Patient, f.Actor, events.Type(f.Type)
	by, descending := strings.CutPrefix(f.Sort, "-")
	c.Ascending = f.Sort != "" && !descending
	if !f.ByTime() {
		c.SortBy = query.SortKey(by)
	}
	day := func(field, text string) (at time.Time) {
		at, err := time.ParseInLocation(time.DateOnly, text, zone.Clinic())
		if text != "" && err != nil {
			wrong(field, language.Mark("Enter a day as year, month and day, like 2026-11-25"))
		}
		return at
	}
	c.From = day("from", f.From)
	if last := day("until", f.Until); !last.IsZero() {
		c.To = last.AddDate(0, 0, 1)
	}
	if !c.From.IsZero() && !c.To.IsZero() && !c.From.Before(c.To) {
		wrong("until", language.Mark("The last day must not be before the first"))
	}
	return c, errs
}

// placeOf reads the position that cursorOf wrote.
func placeOf(r *http.Request) (p query.Cursor, errs page.Errors) {
	text := r.FormValue("before")
	if text == "" {
		return p, nil
	}
	micros, seq, _ := strings.Cut(text, "-")
	at, err1 := strconv.ParseInt(micros, 10, 64)
	n, err2 := strconv.ParseUint(seq, 10, 63)
	if err1 != nil || err2 != nil {
		return p, page.Errors{{Message: language.Mark("The address of this page is not complete. Start again from the newest events")}}
	}
	return query.Cursor{Time: time.UnixMicro(at), Seq: n}, nil
}

func cursorOf(p query.Cursor) string {
	return strconv.FormatInt(p.Time.UnixMicro(), 10) + "-" + strconv.FormatUint(p.Seq, 10)
}
