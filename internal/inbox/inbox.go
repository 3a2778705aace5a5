// Package inbox defines the inbox of a portal user: the delivered messages that they may
// read.
//
// # Access
//
// A delivery names the patients on whose account the portal user got the message. The
// portal user can read it as long as at least one link to these patients is in force. When
// the last has ended, the message is not found, like a message of another portal user. A
// delivery that names no patient is the portal user's own.
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
	Attachments int
	Recalled    bool
	Subject     string // "" if it was recalled or can't be read
	Condition   message.Condition
	About       About
}

// About is the patients whom a message concerns: those on whose account the reader may read
// it today.
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
