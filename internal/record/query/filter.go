package query

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
)

// Filter selects events; its zero value selects all. An event must match every field that is
// set.
type Filter struct {
	MessageID    uuid.UUID
	PortalUserID string // events about the portal user: see the package
	PatientID    string // events about the patient: see the package
	Type         events.Type
	Actor        string    // "staff:<id>", as events have it
	From         time.Time // inclusive
	To           time.Time // exclusive

	// SortBy and Ascending are the order of a list. They do not change which events are selected.
	// An export is always in the order of the record.
	SortBy SortKey
	// Ascending begins with the oldest event, or with the first type or actor of the alphabet.
	// Within a type or an actor, events are in order of time, in the same direction.
	Ascending bool
}

// SortKey is by what a list is ordered.
type SortKey string

// The values of [SortKey].
const (
	ByTime  SortKey = "" // the default: the newest first
	ByType  SortKey = "type"
	ByActor SortKey = "actor"
)

// columns are the columns of record.events that the order compares, most significant first.
func (k SortKey) columns() []string {
	columns := []string{"e.time", "e.seq"}
	if k != ByTime {
		columns = append([]string{"e." + string(k)}, columns...)
	}
	return columns
}

// onRecord returns the filter as record.read has it.
func (f Filter) onRecord() events.RecordFilter {
	told := events.RecordFilter{PortalUserID: f.PortalUserID, PatientID: f.PatientID, Type: string(f.Type), Actor: f.Actor}
	if f.MessageID != uuid.Nil {
		told.MessageID = &f.MessageID
	}
	if !f.From.IsZero() {
		from := f.From.UTC()
		told.From = &from
	}
	if !f.To.IsZero() {
		to := f.To.UTC()
		told.To = &to
	}
	return told
}

// ofPerson reports whether the events are found through a person's deliveries.
func (f Filter) ofPerson() bool { return f.PortalUserID != "" || f.PatientID != "" }

// arguments collects the arguments of a query.
type arguments []any

// add adds an argument and returns its placeholder.
func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return "$" + strconv.Itoa(len(*a))
}

// conditions returns the conditions on a row e of record.events, each beginning with AND.
func (f Filter) conditions(a *arguments) string {
	var b strings.Builder
	if f.MessageID != uuid.Nil {
		b.WriteString(" AND e.message_id = " + a.add(f.MessageID))
	}
	if f.Type != "" {
		b.WriteString(" AND e.type = " + a.add(string(f.Type)))
	}
	if f.Actor != "" {
		b.WriteString(" AND e.actor = " + a.add(f.Actor))
	}
	if !f.From.IsZero() {
		b.WriteString(" AND e.time >= " + a.add(f.From))
	}
	if !f.To.IsZero() {
		b.WriteString(" AND e.time < " + a.add(f.To))
	}
	return b.String()
}

// about returns a WITH list that ends in the table about, with the sequences of the events
// about the person, whose deliveries are given. Rows that must be looked up one by one are in
// a subquery with OFFSET 0, so that Postgres does not join whole tables. A portal user acts
// under their own id; for a patient, only actions on the patient's deliveries count.
func (f Filter) about(a *arguments, got []delivery) string {
	messages, chunks := make([]uuid.UUID, len(got)), make([]int32, len(got))
	actors := []string{} // each once
	for i, d := range got {
		messages[i], chunks[i] = d.message, d.chunk
		if actor := "portal_user:" + d.to.id; !slices.Contains(actors, actor) {
			actors = append(actors, actor)
		}
	}
	ids := a.add(messages) + "::uuid[]"
	var own string
	if f.PatientID == "" {
		own = " SELECT e.seq FROM record.events e WHERE e.actor = " + a.add("portal_user:"+f.PortalUserID) +
			" UNION SELECT k.seq FROM record.account_events k WHERE k.portal_user_id = " + a.add(f.PortalUserID)
	} else {
		own = `
	    SELECT e.seq FROM unnest(` + a.add(actors) + `::text[]) AS who (actor)
	    CROSS JOIN LATERAL (SELECT e.seq, e.message_id FROM record.events e WHERE e.actor = who.actor OFFSET 0) e
	    WHERE e.message_id = ANY(` + ids + `)`
	}
	return `
	got AS MATERIALIZED (SELECT message_id, chunk FROM unnest(` + ids + `, ` + a.add(chunks) + `::integer[]) AS d (message_id, chunk)),
	about AS MATERIALIZED (
	    SELECT k.seq FROM got JOIN record.chunk_events k ON k.message_id = got.message_id AND k.chunk = got.chunk
	    UNION
	    SELECT m.seq FROM got JOIN record.messages m USING (message_id)
	    UNION
	    SELECT e.seq FROM got
	    CROSS JOIN LATERAL (SELECT message_id FROM record.messages m WHERE m.message_id = got.message_id AND m.status = 'recalled' OFFSET 0) m
	    CROSS JOIN LATERAL (SELECT seq FROM record.events e WHERE e.message_id = m.message_id AND e.type = 'message.recalled' OFFSET 0) e
	    UNION` + own + `)`
}
