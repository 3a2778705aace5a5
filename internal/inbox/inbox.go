// Package inbox defines the inbox of a portal user: the delivered messages that they may
// read.
//
// # Access
//
// A delivery concerns the patients on whose account the portal user got the message: see package
// matter. The portal user can read it as long as at least one link to these patients is in force. When
// the last has ended, the message is not found, like a message of another portal user, even if the
// portal user represents other patients. A delivery that concerns no patient is the portal user's
// own.
//
// Package inboxstore reads it; this package does no I/O.
package inbox

import (
	"time"

	"github.com/google/uuid"

	"postern/internal/content/message"
	"postern/internal/problem"
)

var (
	// ErrNotFound says that there is no such message in this inbox, or no such
	// document in the message.
	ErrNotFound = problem.NotFound.New("there is no such message in this inbox")
	// ErrUnknownAccount says that it can't be said on whose account the portal user got a
	// message, and so not whether they may read it: the roster that its delivery cites is missing.
	ErrUnknownAccount = problem.Unavailable.New("this message can't be shown right now. Nothing is lost: try again later, or call the clinic")
	// ErrRecalled says that the sender recalled the message.
	ErrRecalled = problem.MessageRecalled.New("this message was taken back by its sender and can't be read any more")
)

// Message is a message in the list of an inbox.
type Message struct {
	ID          uuid.UUID
	From        string // the sender's name
	DeliveredAt time.Time
	OpenedAt    *time.Time
	Marked      bool // the reader opened it and marked it as unread
	Attachments int
	Recalled    bool
	Subject     string // "" if it was recalled or can't be read
	Condition   message.Condition
	About       About
}

// Unread reports whether the reader still has to read the message. Recalled and erased messages can't
// be read.
func (m Message) Unread() bool {
	return (m.OpenedAt == nil || m.Marked) && !m.Recalled && m.Condition == message.Kept
}

// Filter narrows the list of an inbox. The zero value is all messages.
type Filter struct {
	Unread  bool   // see [Message.Unread]
	Patient int32  // the number of a patient whom the message concerns; 0: any
	Words   string // of the subject, the sender, a patient or the name of a document
}

// List is a page of an inbox, the newest first.
type List struct {
	Messages []Message
	// Next is where the next page begins: messages older than it. It is [uuid.Nil] after the last
	// page. With a filter, a page may have fewer messages than its limit, or none, and others follow.
	Next uuid.UUID
	// Reached is the time of delivery of the oldest message that was looked at; zero if there was none.
	Reached time.Time
}

// Patient is a patient on whose account the reader gets messages.
type Patient struct {
	No   int32
	Name string // "" if the directory has none
	Own  bool   // the reader is the patient
}

// About is the patients whom a message concerns, as far as the reader has a link to them today.
type About struct {
	Own    bool     // the reader is one of them
	Others []string // the names of the patients whom the reader represents; "" for one without a name
}

// Read is an opened message.
type Read struct {
	Message
	Body      string
	Documents []message.Attachment
	// Seq is the sequence of the event of this opening; 0 if the message was opened before.
	Seq uint64
}
