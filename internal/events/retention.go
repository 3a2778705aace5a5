package events

import (
	"strconv"

	"postern/internal/text/number"

	"github.com/google/uuid"
)

// How long content is kept, and its end.
const (
	TypeErasureRequested Type = "erasure.requested"
	TypeErasureWithdrawn Type = "erasure.withdrawn"
	TypeContentErased    Type = "content.erased"
	TypeRetentionChanged Type = "retention.changed"
)

var retentionTypes = []Descriptor{{
	Type: TypeErasureRequested, Version: 1, Label: "Erasure asked for",
	When:       "staff request that the content of a message is destroyed",
	Publishers: []string{API}, Rows: []string{"erasures"},
	OfMessage: OneMessage, summary: words("asked for the content of the message to be erased"),
}, {
	Type: TypeErasureWithdrawn, Version: 1, Label: "Erasure withdrawn",
	When:       "such a request is withdrawn or turned down",
	Publishers: []string{API}, Rows: []string{"erasures"},
	OfMessage: OneMessage, summary: words("withdrew the request to erase the content of the message"),
}, {
	Type: TypeContentErased, Version: 1, Label: "Content erased",
	When:       "a second person agrees, and the keys are destroyed",
	Publishers: []string{API}, Rows: []string{"erasures"},
	OfMessage: OneMessage, summary: summary(ContentErased.summary),
}, {
	Type: TypeRetentionChanged, Version: 1, Label: "Retention changed",
	When:       "content is kept for more or fewer years from now on",
	Publishers: []string{API}, Rows: []string{"retention"},
	summary: summary(RetentionChanged.summary),
}}

// ErasureRequested says that somebody asked for the content of a message to be
// destroyed. While a request waits, or after it was carried out, another for the same
// message changes nothing.
type ErasureRequested struct {
	ErasureID uuid.UUID `json:"erasure_id"`
	MessageID uuid.UUID `json:"message_id"`
	Reason    string    `json:"reason"`
}

func (ErasureRequested) EventType() Type      { return TypeErasureRequested }
func (b ErasureRequested) Key() []string      { return []string{b.ErasureID.String()} }
func (b ErasureRequested) Message() uuid.UUID { return b.MessageID }

// ErasureWithdrawn says that a request will not be carried out: whoever asked took it
// back, or somebody else turned it down.
type ErasureWithdrawn struct {
	ErasureID uuid.UUID `json:"erasure_id"`
	MessageID uuid.UUID `json:"message_id"`
}

func (ErasureWithdrawn) EventType() Type      { return TypeErasureWithdrawn }
func (b ErasureWithdrawn) Key() []string      { return []string{b.ErasureID.String()} }
func (b ErasureWithdrawn) Message() uuid.UUID { return b.MessageID }

// ContentErased says that somebody else agreed, upon which the keys of the content are
// destroyed. ApprovedBy is the actor. Early says that the content should have been
// kept for longer by the retention of that day.
type ContentErased struct {
	ErasureID  uuid.UUID `json:"erasure_id"`
	MessageID  uuid.UUID `json:"message_id"`
	ApprovedBy string    `json:"approved_by"`
	Early      bool      `json:"early"`
}

func (ContentErased) EventType() Type      { return TypeContentErased }
func (b ContentErased) Key() []string      { return []string{b.ErasureID.String(), b.ApprovedBy} }
func (b ContentErased) Message() uuid.UUID { return b.MessageID }

func (b ContentErased) summary(Names) string {
	if b.Early {
		return "agreed to the erasure of the content of the message, before the retention had passed"
	}
	return "agreed to the erasure of the content of the message"
}

// RetentionChanged says for how many years content is kept from now on. After is the
// event that had set Before, 0 where none had.
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

func (b RetentionChanged) summary(Names) string {
	return "set the retention of content to " + number.Of(b.Years, "year", "years") + "; before, it was " + strconv.Itoa(b.Before)
}
