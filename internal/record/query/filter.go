package query

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
)

// Filter chooses events; its zero value chooses all. An event must fit every member
// that is set.
type Filter struct {
	MessageID    uuid.UUID
	PortalUserID string // events that speak of them: see the package
	PatientID    string // likewise
	Type         events.Type
	Actor        string    // "staff:<id>", as events have it
	From         time.Time // the first moment that counts
	To           time.Time // the first that does not count any more

	// OldestFirst is the order of a list, which is newest first without it. It chooses
	// nothing, and an export is always in the order of the record.
	OldestFirst bool
}

// onRecord is the filter as record.read tells of it.
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

// ofPerson tells whether the events are found by way of somebody's deliveries.
func (f Filter) ofPerson() bool { return f.PortalUserID != "" || f.PatientID != "" }

// arguments collects the arguments of a query.
type arguments []any

// add gives the placeholder of one more.
func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return "$" + strconv.Itoa(len(*a))
}

// conditions are those on a row e of record.events, each beginning with AND.
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

// spoken is the WITH list that ends in spoken, the places of the events that speak of
// the person. What must be looked up one by one stands in a subquery that OFFSET 0 keeps
// from being turned into a join of everything; ids of the directory have a collation of
// their own, which the index of actors has not. An account does things under its own id, and only in those that concern
// one of the deliveries does it act on a patient's account.
func (f Filter) spoken(a *arguments) string {
	var got, own string
	if f.PortalUserID != "" {
		got = "d.portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = " + a.add(f.PortalUserID) + ")"
	}
	if f.PatientID == "" {
		own = " SELECT e.seq FROM record.events e WHERE e.actor = " + a.add("portal_user:"+f.PortalUserID)
	} else {
		patient := "(SELECT patient_no FROM app.patients WHERE patient_id = " + a.add(f.PatientID) + ")"
		if f.PortalUserID == "" { // only who was ever linked can have got anything
			got = "d.portal_user_no = ANY(ARRAY(SELECT l.portal_user_no FROM app.links l WHERE l.patient_no = " + patient + "))"
		}
		got += " AND " + patient + " = ANY(d.patient_nos)"
		own = `
	    SELECT e.seq FROM app.portal_users u
	    CROSS JOIN LATERAL (SELECT e.seq, e.message_id FROM record.events e 
	                        WHERE e.actor = ('portal_user:' || u.portal_user_id) COLLATE "default" OFFSET 0) e
	    WHERE u.portal_user_no = ANY(ARRAY(SELECT portal_user_no FROM got)) AND e.message_id = ANY(ARRAY(SELECT message_id FROM got))`
	}
	if f.MessageID != uuid.Nil {
		got += " AND d.message_id = " + a.add(f.MessageID)
	}
	return `
	got AS MATERIALIZED (SELECT d.message_id, d.chunk, d.portal_user_no FROM record.deliveries d WHERE ` + got + `),
	spoken AS MATERIALIZED (
	    SELECT k.seq FROM got JOIN record.chunk_events k ON k.message_id = got.message_id AND k.chunk = got.chunk
	    UNION
	    SELECT m.seq FROM got JOIN record.messages m USING (message_id)
	    UNION
	    SELECT e.seq FROM got
	    CROSS JOIN LATERAL (SELECT message_id FROM record.messages m WHERE m.message_id = got.message_id AND m.status = 'recalled' OFFSET 0) m
	    CROSS JOIN LATERAL (SELECT seq FROM record.events e WHERE e.message_id = m.message_id AND e.type = 'message.recalled' OFFSET 0) e
	    UNION` + own + `)`
}
