package events

import (
	"strconv"

	"github.com/google/uuid"

	"postern/internal/text/language"
)

// The retention of content, and its erasure.
const (
	TypeErasureRequested Type = "erasure.requested"
	TypeErasureWithdrawn Type = "erasure.withdrawn"
	TypeContentErased    Type = "content.erased"
	TypeRetentionChanged Type = "retention.changed"
)

var retentionTypes = []Descriptor{{
	Type: TypeErasureRequested, Version: 1, Label: "Erasure requested",
	When:       "a staff member requests the erasure of a message's content",
	Publishers: []string{API}, Rows: []string{"erasures"},
	OfMessage: OneMessage, summary: words(language.Mark("requested the erasure of the content of the message")),
}, {
	Type: TypeErasureWithdrawn, Version: 1, Label: "Erasure withdrawn",
	When:       "a request for erasure is withdrawn or rejected",
	Publishers: []string{API}, Rows: []string{"erasures"},
	OfMessage: OneMessage, summary: words(language.Mark("withdrew the request to erase the content of the message")),
}, {
	Type: TypeContentErased, Version: 1, Label: "Content erased",
	When:       "a second person approves the erasure, and the keys are destroyed",
	Publishers: []string{API}, Rows: []string{"erasures"},
	OfMessage: OneMessage, summary: summary(ContentErased.summary),
}, {
	Type: TypeRetentionChanged, Version: 1, Label: "Retention changed",
	When:       "the number of years for which content is kept is changed",
	Publishers: []string{API}, Rows: []string{"retention"},
	summary: summary(RetentionChanged.summary),
}}

// ErasureRequested says that a staff member requested the erasure of a message's
// content. While a request waits for approval, or after the erasure, another request
// for the same message changes nothing.
type ErasureRequested struct {
	ErasureID uuid.UUID `json:"erasure_id"`
	MessageID uuid.UUID `json:"message_id"`
	Reason    string    `json:"reason"`
}

func (ErasureRequested) EventType() Type      { return TypeErasureRequested }
func (b ErasureRequested) Key() []string      { return []string{b.ErasureID.String()} }
func (b ErasureRequested) Message() uuid.UUID { return b.MessageID }

// ErasureWithdrawn says that a request will not be carried out: its author withdrew it,
// or another staff member rejected it.
type ErasureWithdrawn struct {
	ErasureID uuid.UUID `json:"erasure_id"`
	MessageID uuid.UUID `json:"message_id"`
}

func (ErasureWithdrawn) EventType() Type      { return TypeErasureWithdrawn }
func (b ErasureWithdrawn) Key() []string      { return []string{b.ErasureID.String()} }
func (b ErasureWithdrawn) Message() uuid.UUID { return b.MessageID }

// ContentErased says that a second staff member approved the request. The keys of the
// content are then destroyed. ApprovedBy is the actor. Early says that the retention of
// that day required the content to be kept longer.
type ContentErased struct {
	ErasureID  uuid.UUID `json:"erasure_id"`
	MessageID  uuid.UUID `json:"message_id"`
	ApprovedBy string    `json:"approved_by"`
	Early      bool      `json:"early"`
}

func (ContentErased) EventType() Type      { return TypeContentErased }
func (b ContentErased) Key() []string      { return []string{b.ErasureID.String(), b.ApprovedBy} }
func (b ContentErased) Message() uuid.UUID { return b.MessageID }

func (b ContentErased) summary(s speaker) string {
	if b.Early {
		return s.Text("approved the erasure of the content of the message, before its retention had ended")
	}
	return s.Text("approved the erasure of the content of the message")
}

// RetentionChanged says for how many years content is kept from now on. After is the
// sequence of the event that had set Before; 0 if there was none.
type RetentionChanged struct {
	Years  int    `json:"years"`
	Before int    `json:"before"`
	After  uint64 `json:"after"`
}

func (RetentionChanged) EventType() Type    { return TypeRetentionChanged }
func (RetentionChanged) Message() uuid.UUID { return uuid.Nil }

func (b RetentionChanged) Key() []string {
	return []string{strconv.FormatUint(b.After, 10), strconv.Itoa(b.Years)}
}

func (b RetentionChanged) summary(s speaker) string {
	return s.Count(b.Years, "changed the retention of content from {before} to {n} year", "changed the retention of content from {before} to {n} years", "before", strconv.Itoa(b.Before))
}
