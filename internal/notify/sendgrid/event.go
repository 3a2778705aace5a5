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

// Event is one report of SendGrid's event webhook. Printing an Event does not show its
// address. Events arrive in batches, late, repeated and out of order: ID identifies
// them.
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
type Event struct {
	// ID is sg_event_id.
	ID string
	// MessageID is sg_message_id: the MessageID of the Result, a dot, and a suffix. An
	// asynchronous bounce may lack it.
	MessageID string
	// Type is processed, delivered, deferred, bounce, dropped, spamreport,
	// unsubscribe, group_unsubscribe, group_resubscribe, open, click, or one
	// that SendGrid adds later.
	Type string
	// BounceType is "bounce" (the address does not work) or "blocked" (the receiving
	// server refused this e-mail).
	BounceType string
	// At is the time of the event in whole seconds, UTC; zero if SendGrid gives none.
	At time.Time
	// Status is the enhanced status code, such as 5.1.1 (RFC 3463).
	Status string
	// Reason is the text of the receiving server or of SendGrid, masked.
	Reason string
	// Attempt is the attempt that sent the alert; uuid.Nil if the e-mail was no alert of
	// Postern, as in an account that other systems use too.
	Attempt uuid.UUID
	// Position is the recipient's position in its chunk, -1 if there is none.
	Position int

	address func() string // a function, because printing does not show its result
}

// Address is the address to which the e-mail was sent, "" if the event has none.
func (e Event) Address() string {
	if e.address == nil {
		return ""
	}
	return e.address()
}

// IsTo reports whether the e-mail was sent to the address, ignoring letter case. It is
// false for an event without an address.
func (e Event) IsTo(address string) bool {
	return e.address != nil && strings.EqualFold(e.address(), strings.TrimSpace(address))
}

// wireEvent is an event in SendGrid's JSON. Every field accepts any JSON type: an event
// with a number instead of a string must not block the other reports of its batch, which
// SendGrid would repeat, whole, for a day.
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

// ParseEvents decodes the body of an event webhook. The caller verifies it first. Each
// element is decoded by itself: one that is not an object, or has no sg_event_id or no
// event, is left out and counted in odd. ParseEvents fails only if the body is not a
// JSON array; the error quotes nothing of the body.
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

// longestAddress is the largest length of an e-mail address (RFC 5321, 4.5.3.1).
const longestAddress = 320

// event converts w to an Event and masks the address in every field.
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

// idOf gives an id that can be stored. An id that would be shortened or masked, and so
// could equal another, is replaced by its digest.
func idOf(s loose) string {
	id := strings.TrimSpace(string(s))
	if clean(id, "") == id {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// short limits and masks a field that normally has an id or a single word.
func short(s loose) string { return clean(string(s), "") }

// seconds reads a Unix time with or without a fraction. It gives the zero time for
// anything that is not a time between 1970 and 9999.
func seconds(s loose) time.Time {
	n, err := strconv.ParseFloat(strings.TrimSpace(string(s)), 64)
	if err != nil || !(n >= 1 && n <= 253402300799) {
		return time.Time{}
	}
	return time.Unix(int64(n), 0).UTC()
}

// word is a JSON string. Any other JSON value, also a number, becomes "".
type word string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (s *word) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*s = ""
	if dec.PeekKind() != '"' {
		return dec.SkipValue()
	}
	return (*loose)(s).UnmarshalJSONFrom(dec)
}

// loose is a JSON string, or the text of another scalar. An object or an array becomes
// "".
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
