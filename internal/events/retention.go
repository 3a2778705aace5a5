package events

import (
	"strconv"

	"github.com/google/uuid"
)

// ErasureRequested says that somebody asked for the content of a message to be
// destroyed. While a request waits, or after it was carried out, another for the same
// message changes nothing.
type ErasureRequested struct {
	ErasureID uuid.UUID `json:"erasure_id"`
	MessageID uuid.UUID `json:"message_id"`
	Reason    string    `json:"reason"`
}

// ErasureWithdrawn says that a request will not be carried out: whoever asked took it
// back, or somebody else turned it down.
type ErasureWithdrawn struct {
	ErasureID uuid.UUID `json:"erasure_id"`
	MessageID uuid.UUID `json:"message_id"`
}

// ContentErased says that somebody else agreed, upon which the keys of the content are
// destroyed. ApprovedBy is the actor. Early says that the content should have been
// kept for longer by the retention of that day.
type ContentErased struct {
	ErasureID  uuid.UUID `json:"erasure_id"`
	MessageID  uuid.UUID `json:"message_id"`
	ApprovedBy string    `json:"approved_by"`
	Early      bool      `json:"early"`
}

// RetentionChanged says for how many years content is kept from now on. After is the
// event that had set Before, 0 where none had.
type RetentionChanged struct {
	Years  int    `json:"years"`
	Before int    `json:"before"`
	After  uint64 `json:"after"`
}

// EventType, Key and Message of each, as in bodies.go. An approval that does not count,
// being one's own, does not stand in the way of another's: the key names who gave it.

func (ErasureRequested) EventType() (Type, int) { return TypeErasureRequested, 1 }
func (b ErasureRequested) Key() []string        { return []string{b.ErasureID.String()} }
func (b ErasureRequested) Message() uuid.UUID   { return b.MessageID }
func (ErasureWithdrawn) EventType() (Type, int) { return TypeErasureWithdrawn, 1 }
func (b ErasureWithdrawn) Key() []string        { return []string{b.ErasureID.String()} }
func (b ErasureWithdrawn) Message() uuid.UUID   { return b.MessageID }
func (ContentErased) EventType() (Type, int)    { return TypeContentErased, 1 }
func (b ContentErased) Key() []string           { return []string{b.ErasureID.String(), b.ApprovedBy} }
func (b ContentErased) Message() uuid.UUID      { return b.MessageID }
func (RetentionChanged) EventType() (Type, int) { return TypeRetentionChanged, 1 }
func (RetentionChanged) Message() uuid.UUID     { return uuid.Nil }
func (b RetentionChanged) Key() []string {
	return []string{strconv.FormatUint(b.After, 10), strconv.Itoa(b.Years)}
}

func (b ContentErased) summary(Names) string {
	if b.Early {
		return "agreed to the erasure of the content of the message, before the retention had passed"
	}
	return "agreed to the erasure of the content of the message"
}

func (b RetentionChanged) summary(Names) string {
	return "set the retention of content to " + counted(b.Years, "year", "years") + "; before, it was " + strconv.Itoa(b.Before)
}
