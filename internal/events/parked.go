package events

import (
	"strconv"

	"github.com/google/uuid"
)

// Operators' decisions about parked events.
const (
	TypeParkedRetried   Type = "parked.retried"
	TypeParkedDiscarded Type = "parked.discarded"
)

var parkedTypes = []Descriptor{{
	Type: TypeParkedRetried, Version: 1, Label: "Parked event retried",
	When:       "an operator retries a parked event",
	Publishers: []string{API}, Rows: []string{"parked_decisions"},
	OfMessage: MaybeMessage, summary: summary(ParkedDecision.summary),
}, {
	Type: TypeParkedDiscarded, Version: 1, Label: "Parked event discarded",
	When:       "an operator discards a parked event",
	Publishers: []string{API}, Rows: []string{"parked_decisions"},
	OfMessage: MaybeMessage, summary: summary(ParkedDecision.summary),
}}

// ParkedDecision is the body of parked.retried and parked.discarded: an operator's
// decision about an event that a consumer had parked.
type ParkedDecision struct {
	Retried bool `json:"-"`
	// ParkedID identifies the parked event, and Tries is the number of tries before the
	// decision: an event that fails again can get another decision.
	ParkedID  uuid.UUID  `json:"parked_id"`
	Tries     int        `json:"tries"`
	Seq       uint64     `json:"seq"`
	Consumer  string     `json:"consumer"`
	ID        *uuid.UUID `json:"event_id"` // nil: the parked message is not a valid event
	Type      string     `json:"event_type"`
	MessageID *uuid.UUID `json:"message_id"`
	Reason    string     `json:"reason,omitempty"`
	Actor     string     `json:"actor"`
}

func (b *ParkedDecision) ofType(t Type) { b.Retried = t == TypeParkedRetried }

// EventType is parked.retried or parked.discarded.
func (b ParkedDecision) EventType() Type {
	if b.Retried {
		return TypeParkedRetried
	}
	return TypeParkedDiscarded
}

// Key makes simultaneous decisions about the same parked event one fact.
func (b ParkedDecision) Key() []string { return []string{b.ParkedID.String(), strconv.Itoa(b.Tries)} }

// Message is the message that the parked event refers to.
func (b ParkedDecision) Message() uuid.UUID { return orNil(b.MessageID) }

func (b ParkedDecision) summary(s speaker) string {
	args := []any{"seq", strconv.FormatUint(b.Seq, 10), "worker", b.Consumer}
	if b.Retried {
		return s.Text("retried event {seq}, which {worker} had parked", args...)
	}
	return s.Text("discarded event {seq}, which {worker} had parked", args...)
}
