package events

import (
	"strings"
	"time"

	"postern/internal/text/number"

	"github.com/google/uuid"
)

// A message is sent, released, cancelled or recalled.
const (
	TypeMessageSent      Type = "message.sent"
	TypeMessageReleased  Type = "message.released"
	TypeMessageCancelled Type = "message.cancelled"
	TypeMessageRecalled  Type = "message.recalled"
)

var messageTypes = []Descriptor{{
	Type: TypeMessageSent, Version: 2, Label: "Message sent",
	When:       "a staff member sends a message",
	Publishers: []string{API}, Consumers: []string{FanoutWorker}, Rows: []string{"messages", "message_bcc"},
	About: AboutRecipients, OfMessage: OneMessage, summary: summary(MessageSent.summary),
}, {
	Type: TypeMessageReleased, Version: 1, Label: "Message released",
	When:       "a held or scheduled message is due",
	Publishers: []string{Recorder}, Consumers: []string{FanoutWorker}, Rows: []string{"messages"},
	OfMessage: OneMessage, summary: words("released the message, which was due"),
}, {
	Type: TypeMessageCancelled, Version: 1, Label: "Message cancelled",
	When:       "a staff member cancels a held or scheduled message",
	Publishers: []string{API}, Rows: []string{"messages"},
	OfMessage: OneMessage, summary: words("cancelled the message before it went out"),
}, {
	Type: TypeMessageRecalled, Version: 1, Label: "Message recalled",
	When:       "a staff member recalls a message",
	Publishers: []string{API}, Rows: []string{"messages"},
	About: AboutRecipients, OfMessage: OneMessage, summary: summary(MessageRecalled.summary),
}}

// MessageSent says that a staff member sent a message. It carries digests, never
// content. SubjectDigest and BodyDigest are the SHA-256 of a random salt and the text.
// The salt is kept with the content, so that a short subject can't be guessed from the
// record after its content was destroyed.
type MessageSent struct {
	MessageID     uuid.UUID        `json:"message_id"`
	SenderID      string           `json:"sender_id"`
	SubjectDigest string           `json:"subject_digest"`
	BodyDigest    string           `json:"body_digest"`
	Attachments   []AttachmentFact `json:"attachments"`
	Recipients    Selection        `json:"recipients"`
	StaffBcc      []string         `json:"staff_bcc"`
	// Hold says why the message waits until ReleaseAt; see the values of [Hold].
	Hold      Hold      `json:"hold"`
	ReleaseAt time.Time `json:"release_at"`
	// Confirmed is the preview that the sender confirmed; nil without a preview.
	Confirmed *Confirmed `json:"confirmed,omitempty"`
}

func (MessageSent) EventType() Type      { return TypeMessageSent }
func (b MessageSent) Key() []string      { return []string{b.MessageID.String()} }
func (b MessageSent) Message() uuid.UUID { return b.MessageID }

func (b MessageSent) summary(Names) string {
	var to []string
	if n := len(b.Recipients.PortalUserIDs); n > 0 {
		to = append(to, number.Of(n, "portal user", "portal users"))
	}
	if n := len(b.Recipients.Groups); n > 0 {
		to = append(to, number.Of(n, "group", "groups"))
	}
	text := "sent a message to " + strings.Join(to, " and ")
	if n := len(b.Attachments); n > 0 {
		text += ", with " + number.Of(n, "document", "documents")
	}
	switch b.Hold {
	case HoldUndo:
		text += ", held for undo"
	case HoldScheduled:
		text += ", scheduled for " + b.ReleaseAt.UTC().Format("2006-01-02 15:04:05") + " UTC"
	}
	return text
}

// Hold is the reason for which a message waits between sending and fan-out.
type Hold string

// The values of [Hold]: the message does not wait, the sender can still undo sending,
// or the sender chose a later time.
const (
	HoldNone      Hold = "none"
	HoldUndo      Hold = "undo"
	HoldScheduled Hold = "scheduled"
)

// AttachmentFact is the record's data about a document. It never has the document's
// name, which can reveal a diagnosis.
type AttachmentFact struct {
	AttachmentID uuid.UUID `json:"attachment_id"`
	MediaType    string    `json:"media_type"`
	Size         int64     `json:"size"`
	SHA256       string    `json:"sha256"`
}

// Selection is the sender's choice of recipients.
type Selection struct {
	PortalUserIDs []string `json:"portal_user_ids"`
	Groups        []string `json:"groups"`
}

// Confirmed is the count and digest of the preview that the sender confirmed.
type Confirmed struct {
	Count  int    `json:"count"`
	Digest string `json:"digest"`
}

// MessageReleased says that a held message was due and was released.
type MessageReleased struct {
	MessageID uuid.UUID `json:"message_id"`
}

func (MessageReleased) EventType() Type      { return TypeMessageReleased }
func (b MessageReleased) Key() []string      { return []string{b.MessageID.String()} }
func (b MessageReleased) Message() uuid.UUID { return b.MessageID }

// MessageCancelled says that a held message was cancelled. If the release of the
// message comes before it on the record, it is too late and changes nothing.
type MessageCancelled struct {
	MessageID uuid.UUID `json:"message_id"`
	StaffID   string    `json:"staff_id"`
}

func (MessageCancelled) EventType() Type      { return TypeMessageCancelled }
func (b MessageCancelled) Key() []string      { return []string{b.MessageID.String()} }
func (b MessageCancelled) Message() uuid.UUID { return b.MessageID }

// MessageRecalled says that a staff member recalled a message, and how many portal
// users had opened it before.
type MessageRecalled struct {
	MessageID uuid.UUID `json:"message_id"`
	StaffID   string    `json:"staff_id"`
	Reason    string    `json:"reason"`
	Opened    int       `json:"opened"`
}

func (MessageRecalled) EventType() Type      { return TypeMessageRecalled }
func (b MessageRecalled) Key() []string      { return []string{b.MessageID.String()} }
func (b MessageRecalled) Message() uuid.UUID { return b.MessageID }

func (b MessageRecalled) summary(Names) string {
	return "recalled the message after " + number.Of(b.Opened, "portal user", "portal users") + " had opened it"
}
