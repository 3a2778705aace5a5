package api

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/eventlog"
	"postern/internal/eventlog/parked"
)

// ParkedInFull is a parked event with the event as stored.
type ParkedInFull struct {
	parked.Event
	Subject string              `json:"subject"`
	Header  map[string][]string `json:"headers"`
	Body    string              `json:"body" doc:"The stored body, usually JSON. No event holds any content of a message."`
}

type parkedListInput struct {
	Page
	All      bool   `query:"all" doc:"Also events that are settled."`
	Type     string `query:"type" maxLength:"100" doc:"Only events of this type."`
	Consumer string `query:"consumer" maxLength:"64" doc:"Only events of this consumer."`
}

// ParkedPath is the path of a parked event.
type ParkedPath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type discardInput struct {
	ParkedPath
	Body struct {
		Reason reason `json:"reason" doc:"The reason. It is recorded."`
	}
}

// ParkedOperations show, retry and discard parked events.
type ParkedOperations struct {
	Parked *parked.Events
	Await  Await
}

func (g ParkedOperations) register(a *API) {
	may := []policy.Action{policy.SettleParked}
	handle(a, operation{
		method: http.MethodGet, path: "/v1/parked", id: "list-parked", tag: forStaff,
		summary: "Parked events: events that a worker could not handle. Newest first.", actions: may,
	}, g.listParked)
	handle(a, operation{
		method: http.MethodGet, path: "/v1/parked/{id}", id: "get-parked", tag: forStaff,
		summary: "A parked event in full.", actions: may, problems: []int{http.StatusNotFound},
	}, g.getParked)
	handle(a, operation{
		method: http.MethodPost, path: "/v1/parked/{id}/retry", id: "retry-parked", tag: forStaff,
		summary: "Retry a parked event. A repeated request is the same retry.",
		actions: may, problems: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *ParkedPath) (*body[parked.Event], error) {
		seq, err := g.Parked.Retry(ctx, subjectOf(ctx).Actor(), in.ID, "")
		return g.parkedAfter(ctx, in.ID, seq, err)
	})
	handle(a, operation{
		method: http.MethodPost, path: "/v1/parked/{id}/discard", id: "discard-parked", tag: forStaff,
		summary: "Discard a parked event.",
		actions: may, problems: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *discardInput) (*body[parked.Event], error) {
		seq, err := g.Parked.Discard(ctx, subjectOf(ctx).Actor(), in.ID, string(in.Body.Reason))
		return g.parkedAfter(ctx, in.ID, seq, err)
	})
}

func (g ParkedOperations) listParked(ctx context.Context, in *parkedListInput) (*body[List[parked.Event]], error) {
	before, err := in.fromID()
	if err != nil {
		return nil, err
	}
	if before == uuid.Max {
		before = uuid.Nil // the first page
	}
	found, err := g.Parked.List(ctx, parked.Query{All: in.All, Type: in.Type, Consumer: in.Consumer, Before: before, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return answerWith(page(found, in.Limit, func(e parked.Event) parked.Event { return e },
		func(e parked.Event) string { return cursorOfID(e.ID) })), nil
}

func (g ParkedOperations) getParked(ctx context.Context, in *ParkedPath) (*body[ParkedInFull], error) {
	found, err := g.Parked.Find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	stored, err := g.Parked.Stored(ctx, found)
	return answerWith(parkedInFull(found, stored)), err
}

func parkedInFull(e parked.Event, s eventlog.Stored) ParkedInFull {
	text := string(s.Data)
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\ufffd")
	}
	return ParkedInFull{Event: e, Subject: s.Subject, Header: s.Header, Body: text}
}

func (g ParkedOperations) parkedAfter(ctx context.Context, id uuid.UUID, seq uint64, err error) (*body[parked.Event], error) {
	if err != nil {
		return nil, err
	}
	g.Await(ctx, seq)
	found, err := g.Parked.Find(ctx, id)
	return answerWith(found), err
}
