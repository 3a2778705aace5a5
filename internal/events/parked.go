package events

import (
	"strconv"

	"github.com/google/uuid"
)

// What operators decide about parked events.
const (
	TypeParkedRetried   Type = "parked.retried"
	TypeParkedDiscarded Type = "parked.discarded"
)

var parkedTypes = []Descriptor{{
	Type: TypeParkedRetried, Version: 1, Label: "Parked event retried",
	When:       "an operator has a parked event handled once more",
	Publishers: []string{API}, Rows: []string{"parked_decisions"},
	OfMessage: MaybeMessage, summary: summary(ParkedSettled.summary),
}, {
	Type: TypeParkedDiscarded, Version: 1, Label: "Parked event discarded",
	When:       "an operator gives a parked event up",
	Publishers: []string{API}, Rows: []string{"parked_decisions"},
	OfMessage: MaybeMessage, summary: summary(ParkedSettled.summary),
}}

// ParkedSettled is the body of parked.retried and parked.discarded: what an
// operator decided about an event that a consumer had given up on.
type ParkedSettled struct {
	Retried bool `json:"-"`
	// ParkedID names the parked event, and Tries how often it had been handled by
	// then: one that fails again can be decided about again.
	ParkedID  uuid.UUID  `json:"parked_id"`
	Tries     int        `json:"tries"`
	Seq       uint64     `json:"seq"`
	Consumer  string     `json:"consumer"`
	ID        *uuid.UUID `json:"event_id"` // nil: what stands there is no event of ours
	Type      string     `json:"event_type"`
	MessageID *uuid.UUID `json:"message_id"`
	Reason    string     `json:"reason,omitempty"`
	Actor     string     `json:"actor"`
}

func (b *ParkedSettled) ofType(t Type) { b.Retried = t == TypeParkedRetried }

// EventType tells the two decisions apart.
func (b ParkedSettled) EventType() Type {
	if b.Retried {
		return TypeParkedRetried
	}
	return TypeParkedDiscarded
}

// Key makes of a decision that is taken by a hundred hands at once one fact.
func (b ParkedSettled) Key() []string { return []string{b.ParkedID.String(), strconv.Itoa(b.Tries)} }

// Message is the one that the parked event speaks of.
func (b ParkedSettled) Message() uuid.UUID { return orNil(b.MessageID) }

func (b ParkedSettled) summary(Names) string {
	what := "event " + strconv.FormatUint(b.Seq, 10) + ", which " + b.Consumer + " had parked"
	if b.Retried {
		return "retried " + what
	}
	return "discarded " + what
}
