package sendgrid

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
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

	address func() string // a function, since no print shows what is in one
}

// Address is where the e-mail went, "" where the event does not say.
func (e Event) Address() string {
	if e.address == nil {
		return ""
	}
	return e.address()
}

// IsTo tells whether the e-mail went to an address, in whatever case it is written.
// An event that names none went to nobody's.
func (e Event) IsTo(address string) bool {
	return e.address != nil && strings.EqualFold(e.address(), strings.TrimSpace(address))
}

// wireEvent is an event as SendGrid writes it. Every field is loose: one event
// with a number where a string was must not hold up the other reports of its
// batch, which SendGrid would send again, whole, for a day.
type wireEvent struct {
	ID         loose `json:"sg_event_id"`
	MessageID  loose `json:"sg_message_id"`
	Event      word  `json:"event"`
	Type       loose `json:"type"`
	Timestamp  loose `json:"timestamp"`
	Status     loose `json:"status"`
	Reason     loose `json:"reason"`
	Response   loose `json:"response"`
	Email      loose `json:"email"`
	AttemptID  loose `json:"attempt_id"`
	PositionNo loose `json:"n"`
}

// ParseEvents reads the body of an event webhook. Verify it first. Each element stands
// alone: one that is no object, or has no sg_event_id or no event, is passed over and
// counted in odd. It fails only where the body is no JSON array; the error quotes
// nothing of it.
func ParseEvents(raw []byte) (events []Event, odd int, err error) {
	if jsontext.Value(raw).Kind() != '[' {
		return nil, 0, errors.New("SendGrid's events: not a JSON array")
	}
	var elements []jsontext.Value
	loosely := []json.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
	if err := json.Unmarshal(raw, &elements, loosely...); err != nil {
		return nil, 0, errors.New("SendGrid's events: not a JSON array")
	}
	events = make([]Event, 0, len(elements))
	for _, element := range elements {
		var w wireEvent
		if element.Kind() != '{' || json.Unmarshal(element, &w, loosely...) != nil {
			odd++
			continue
		}
		if e := w.event(); e.ID != "" && e.Type != "" {
			events = append(events, e)
		} else {
			odd++
		}
	}
	return events, odd, nil
}

// longestAddress is that of an e-mail address (RFC 5321, 4.5.3.1): what is longer is none.
const longestAddress = 320

// event masks the address in everything that is given out.
func (w *wireEvent) event() Event {
	if len(w.Email) > longestAddress {
		w.Email = ""
	}
	e := Event{
		ID:         idOf(w.ID),
		MessageID:  short(w.MessageID),
		Type:       short(loose(w.Event)),
		BounceType: short(w.Type),
		At:         seconds(w.Timestamp),
		Status:     short(w.Status),
		Reason:     clean(string(w.Reason), string(w.Email)),
		Position:   -1,
	}
	if email := strings.TrimSpace(string(w.Email)); email != "" {
		e.address = func() string { return email }
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

// idOf gives an id that can be kept: one that would be cut or masked, and then be
// another's too, by its digest.
func idOf(s loose) string {
	id := strings.TrimSpace(string(s))
	if clean(id, "") == id {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// short bounds and masks a field that is an id or a word in everything SendGrid
// is known to send.
func short(s loose) string { return clean(string(s), "") }

// seconds reads a Unix time, whole or with a fraction; what is not one between 1970 and
// 9999 is no time.
func seconds(s loose) time.Time {
	n, err := strconv.ParseFloat(strings.TrimSpace(string(s)), 64)
	if err != nil || !(n >= 1 && n <= 253402300799) {
		return time.Time{}
	}
	return time.Unix(int64(n), 0).UTC()
}

// word is a JSON string; of anything else nothing is taken. A number in its place
// means nothing.
type word string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *word) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*s = ""
	if dec.PeekKind() != '"' {
		return dec.SkipValue()
	}
	return (*loose)(s).UnmarshalJSONFrom(dec)
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
