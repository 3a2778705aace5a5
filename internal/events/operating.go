package events

import (
	"strconv"

	"github.com/google/uuid"
)

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

// AlertingPaused says that no alert goes out from here on: of one message, or of
// none where MessageID is nil.
type AlertingPaused struct {
	// Change tells this pause from the next. One that came about by itself has that
	// of its message, so that a message pauses by itself once.
	Change    uuid.UUID  `json:"change"`
	MessageID *uuid.UUID `json:"message_id"`
	Automatic bool       `json:"automatic"`
	Reason    string     `json:"reason"`
}

// AlertingResumed ends a pause.
type AlertingResumed struct {
	Change    uuid.UUID  `json:"change"`
	MessageID *uuid.UUID `json:"message_id"`
	Reason    string     `json:"reason"`
}

// EventType tells the two decisions apart.
func (b ParkedSettled) EventType() (Type, int) {
	if b.Retried {
		return TypeParkedRetried, 1
	}
	return TypeParkedDiscarded, 1
}

// Key makes of a decision that is taken by a hundred hands at once one fact.
func (b ParkedSettled) Key() []string { return []string{b.ParkedID.String(), strconv.Itoa(b.Tries)} }

// Message is the one that the parked event speaks of.
func (b ParkedSettled) Message() uuid.UUID { return orNil(b.MessageID) }

func (AlertingPaused) EventType() (Type, int)  { return TypeAlertingPaused, 1 }
func (b AlertingPaused) Key() []string         { return []string{b.Change.String()} }
func (b AlertingPaused) Message() uuid.UUID    { return orNil(b.MessageID) }
func (AlertingResumed) EventType() (Type, int) { return TypeAlertingResumed, 1 }
func (b AlertingResumed) Key() []string        { return []string{b.Change.String()} }
func (b AlertingResumed) Message() uuid.UUID   { return orNil(b.MessageID) }

func (b *ParkedSettled) ofType(t Type) { b.Retried = t == TypeParkedRetried }

func orNil(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}
