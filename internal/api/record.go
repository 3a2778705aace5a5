package api

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/record/export"
	"postern/internal/record/query"
)

// RecordFilter selects events of the record.
type RecordFilter struct {
	MessageID    uuid.UUID `query:"message_id" format:"uuid" doc:"Only events about this message."`
	PortalUserID string    `query:"portal_user_id" pattern:"^[A-Za-z0-9._-]{1,64}$" patternDescription:"a portal user's id" doc:"Only events about this portal user."`
	PatientID    string    `query:"patient_id" pattern:"^[A-Za-z0-9._-]{1,64}$" patternDescription:"a patient's id" doc:"Only events about deliveries that concern this patient."`
	Type         string    `query:"type" pattern:"^[a-z_.]{1,64}$" patternDescription:"a type of event, as message.sent" doc:"Only events of this type."`
	Actor        string    `query:"actor" pattern:"^[a-z_]+:.+$" patternDescription:"an actor as events name one, such as staff:ID" maxLength:"200" doc:"Only events that this actor caused: staff:ID, portal_user:ID, process:NAME or operator:NAME."`
	From         string    `query:"from" format:"date-time" doc:"Only events at or after this time."`
	To           string    `query:"to" format:"date-time" doc:"Only events before this time."`
}

func (f RecordFilter) filter() (query.Filter, error) {
	chosen := query.Filter{MessageID: f.MessageID, PortalUserID: f.PortalUserID, PatientID: f.PatientID,
		Type: events.Type(f.Type), Actor: f.Actor}
	for _, limit := range []struct {
		name, text string
		to         *time.Time
	}{{"query.from", f.From, &chosen.From}, {"query.to", f.To, &chosen.To}} {
		if limit.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, limit.text)
		if err != nil {
			return chosen, problem.Invalid(limit.name, "is not a time such as 2026-01-31T09:30:00Z")
		}
		*limit.to = at
	}
	if !chosen.From.IsZero() && !chosen.To.IsZero() && chosen.To.Before(chosen.From) {
		return chosen, problem.Invalid("query.to", "is before from")
	}
	return chosen, nil
}

// RecordEvent is an event in a list of the record.
type RecordEvent struct {
	Seq       uint64     `json:"seq" doc:"Its sequence in the record."`
	ID        uuid.UUID  `json:"id" format:"uuid"`
	Type      string     `json:"type" example:"delivery.opened"`
	Time      time.Time  `json:"time"`
	Actor     string     `json:"actor" example:"portal_user:pu-17" doc:"The actor who caused it."`
	MessageID *uuid.UUID `json:"message_id" format:"uuid" doc:"The message that it is about; null if there is none."`
	Summary   string     `json:"summary" doc:"A description of the event in one line."`
	Repeats   *uint64    `json:"repeats,omitempty" doc:"The sequence of the event that this one repeats. Only that event counts."`
}

func recordEventOf(e query.Entry) RecordEvent {
	r := RecordEvent{Seq: e.Seq, ID: e.ID, Type: string(e.Type), Time: e.Time, Actor: e.Actor, Summary: e.Summary}
	if e.MessageID != uuid.Nil {
		r.MessageID = &e.MessageID
	}
	if e.Repeats != 0 {
		r.Repeats = &e.Repeats
	}
	return r
}

// RecordEventInFull is an event as it is stored.
type RecordEventInFull struct {
	RecordEvent
	Subject    string              `json:"subject" doc:"The NATS subject that it was published under."`
	Headers    map[string][]string `json:"headers"`
	Body       any                 `json:"body" doc:"The body, as its JSON Schema describes; null if it is not JSON."`
	BodyBase64 []byte              `json:"body_base64,omitempty" doc:"The body, if it is not JSON."`
	Leaf       string              `json:"leaf" doc:"The hash of its leaf in the Merkle tree, in hex: SHA-256, RFC 6962."`
	Projected  bool                `json:"projected" doc:"False if the event changed nothing: it repeats another event, was too late, or was parked."`
}

func recordEventInFullOf(w query.FullEvent) RecordEventInFull {
	r := RecordEventInFull{RecordEvent: recordEventOf(w.Entry), Subject: w.Subject, Headers: w.Headers,
		Leaf: hex.EncodeToString(w.Leaf), Projected: w.Projected}
	if json.Valid(w.Body) {
		r.Body = w.Body
	} else {
		r.BodyBase64 = w.Body
	}
	return r
}

type recordInput struct {
	RecordFilter
	Page
	Order string `query:"order" enum:"newest,oldest" default:"newest" doc:"Which events are first. A cursor continues in the order in which it was made. sort replaces it."`
	Sort  string `query:"sort" enum:"time,-time,type,-type,actor,-actor" doc:"The order: by time, by type or by actor, each with a - in front in descending order. Within a type or an actor, events are in order of time, in the same direction. Sorting by actor with type or message_id, and by type with actor, reads all events that match. A cursor continues only with the sort with which it was made."`
}

// order sets the order of a list.
func (in *recordInput) order(f *query.Filter) {
	by, descending := strings.CutPrefix(in.Sort, "-")
	f.Ascending = !descending
	switch by {
	case "":
		f.Ascending = in.Order == "oldest"
	case "type":
		f.SortBy = query.ByType
	case "actor":
		f.SortBy = query.ByActor
	}
}

// fromPlace returns the place to continue from. Without a cursor it is the beginning.
func (p Page) fromPlace() (query.Cursor, error) {
	if p.Cursor == "" {
		return query.Cursor{}, nil
	}
	raw, err := cursors.DecodeString(p.Cursor)
	if err != nil || len(raw) != 16 || raw[0] > 127 || raw[8] > 127 {
		return query.Cursor{}, errCursor
	}
	micros, seq := binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])
	return query.Cursor{Time: time.UnixMicro(int64(micros)), Seq: seq}, nil // #nosec G115 -- its first bit is 0
}

func cursorOfPlace(p query.Cursor) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(p.Time.UnixMicro())) // #nosec G115 -- the same bits
	return cursors.EncodeToString(binary.BigEndian.AppendUint64(raw, p.Seq))
}

// readerOf is the client as an actor, as events name it.
func readerOf(ctx context.Context) query.Actor { return query.Actor(subjectOf(ctx).Actor()) }

var mayReadTheRecord = []policy.Action{policy.ReadTheRecord}

// RecordOperations read and export the record.
type RecordOperations struct {
	Record   *query.Reader
	Exporter *export.Exporter
	Await    Await
}

// register registers the operations that read the record. Each read is itself recorded, as
// a record.read or record.exported, before the first byte of the answer.
func (g RecordOperations) register(a *API) {
	handle(a, operation{
		method: http.MethodGet, path: "/v1/record", id: "list-record", tag: forStaff,
		summary: "Events of the record, by time, type or actor. Reading them is recorded.", actions: mayReadTheRecord,
	}, func(ctx context.Context, in *recordInput) (*body[List[RecordEvent]], error) {
		before, err := in.fromPlace()
		if err != nil {
			return nil, err
		}
		filter, err := in.filter()
		if err != nil {
			return nil, err
		}
		in.order(&filter)
		found, more, err := g.Record.Page(ctx, readerOf(ctx), filter, before, in.Limit)
		if err != nil {
			return nil, err
		}
		l := List[RecordEvent]{Items: make([]RecordEvent, len(found))}
		for i, e := range found {
			l.Items[i] = recordEventOf(e)
		}
		if more {
			next := cursorOfPlace(found[len(found)-1].Cursor())
			l.NextCursor = &next
		}
		return answerWith(l), nil
	})
	handle(a, operation{
		method: http.MethodGet, path: "/v1/record/{seq}", id: "get-record-event", tag: forStaff,
		summary: "One event of the record in full. Reading it is recorded.",
		actions: mayReadTheRecord, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *struct {
		Seq uint64 `path:"seq" minimum:"1" maximum:"9007199254740991"`
	}) (*body[RecordEventInFull], error) {
		w, err := g.Record.Event(ctx, readerOf(ctx), in.Seq)
		if err != nil {
			return nil, err
		}
		return answerWith(recordEventInFullOf(w)), nil
	})
	g.exports(a)
}
