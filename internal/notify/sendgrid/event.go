package sendgrid

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// Event is one report of SendGrid's event webhook, which keeps the address to
// itself. Events
// come in batches, late, repeated and out of order: ID is what to tell them
// apart by.
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
type Event struct {
	// ID is sg_event_id.
	ID string
	// MessageID is sg_message_id: the MessageID of the Result, a dot, and more.
	// An asynchronous bounce may lack it.
	MessageID string
	// Type is processed, delivered, deferred, bounce, dropped, spamreport,
	// unsubscribe, group_unsubscribe, group_resubscribe, open, click, or one
	// that SendGrid adds later.
	Type string
	// BounceType tells a bounce (the address is bad) from a blocked one (this
	// mail was turned away).
	BounceType string
	// At is when it happened, in whole seconds, UTC; zero where SendGrid
	// doesn't say.
	At time.Time
	// Status is the enhanced status code, such as 5.1.1 (RFC 3463).
	Status string
	// Reason is what the receiving server or SendGrid said, masked.
	Reason string
	// Attempt is the attempt that sent the alert; uuid.Nil where the e-mail was
	// none of ours, as in an account that others use too.
	Attempt uuid.UUID
	// Position is the recipient's place in its chunk, -1 where there is none.
	Position int

	isTo func(address string) bool // a function, since no print shows what is in one
}

// IsTo tells whether the e-mail went to an address, in whatever case it is written.
// An event that names none went to nobody's.
func (e Event) IsTo(address string) bool {
	return e.isTo != nil && e.isTo(strings.TrimSpace(address))
}

// wireEvent is an event as SendGrid writes it. Every field is loose: one event
// with a number where a string was must not hold up the other reports of its
// batch, which SendGrid would send again, whole, for a day.
type wireEvent struct {
	ID         loose `json:"sg_event_id"`
	MessageID  loose `json:"sg_message_id"`
	Event      loose `json:"event"`
	Type       loose `json:"type"`
	Timestamp  loose `json:"timestamp"`
	Status     loose `json:"status"`
	Reason     loose `json:"reason"`
	Response   loose `json:"response"`
	Email      loose `json:"email"`
	AttemptID  loose `json:"attempt_id"`
	PositionNo loose `json:"n"`
}

// ParseEvents reads the body of an event webhook. Verify it first. It fails only
// where the body is no JSON array of objects with an id and a type each; the
// error quotes nothing of it.
func ParseEvents(raw []byte) ([]Event, error) {
	if jsontext.Value(raw).Kind() != '[' {
		return nil, errors.New("SendGrid's events: not a JSON array")
	}
	var wire []wireEvent
	if err := json.Unmarshal(raw, &wire, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, errors.New("SendGrid's events: not a JSON array of objects")
	}
	events := make([]Event, len(wire))
	for i, w := range wire {
		events[i] = w.event()
		if events[i].ID == "" || events[i].Type == "" {
			return nil, fmt.Errorf("SendGrid's events: number %d has no sg_event_id or no event", i)
		}
	}
	return events, nil
}

// event masks the address in everything that is given out.
func (w *wireEvent) event() Event {
	e := Event{
		ID:         short(w.ID),
		MessageID:  short(w.MessageID),
		Type:       short(w.Event),
		BounceType: short(w.Type),
		At:         seconds(w.Timestamp),
		Status:     short(w.Status),
		Reason:     clean(string(w.Reason), string(w.Email)),
		Position:   -1,
	}
	if email := strings.TrimSpace(string(w.Email)); email != "" {
		e.isTo = func(address string) bool { return strings.EqualFold(email, address) }
	}
	if e.Reason == "" {
		e.Reason = clean(string(w.Response), string(w.Email))
	}
	if id, err := uuid.Parse(string(w.AttemptID)); err == nil {
		e.Attempt = id
	}
	if n, err := strconv.ParseUint(string(w.PositionNo), 10, 31); err == nil {
		e.Position = int(n)
	}
	return e
}

// short bounds and masks a field that is an id or a word in everything SendGrid
// is known to send.
func short(s loose) string { return clean(string(s), "") }

// seconds reads a Unix time; what is not one between 1970 and 9999 is no time.
func seconds(s loose) time.Time {
	n, err := strconv.ParseInt(string(s), 10, 64)
	if err != nil || n <= 0 || n > 253402300799 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// loose is a JSON string, or another scalar as it is written; of an object or an
// array nothing is taken.
type loose string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *loose) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch v.Kind() {
	case '"':
		text, err := jsontext.AppendUnquote(nil, v)
		*s = loose(text)
		if err != nil && len(text) == 0 {
			*s = ""
		}
	case '0', 't', 'f':
		*s = loose(v)
	default:
		*s = ""
	}
	return nil
}
