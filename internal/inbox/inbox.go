// Package inbox is what a portal user may read: the messages that were delivered
// to them, as long as the authority under which each was delivered lasts.
//
// # Who may read
//
// A delivery names the patients on whose account its portal user got it. While at
// least one link between the two is in force, the message can be read; once the
// last has ended it is not there any more, like everything that is somebody
// else's. A delivery that names no patient is the portal user's own.
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
	// ErrRecalled says that the message was taken back by its sender.
	ErrRecalled = problem.MessageRecalled.New("this message was taken back by its sender and can't be read any more")
)

// Message is a message as its reader sees it in the list.
type Message struct {
	ID          uuid.UUID
	From        string // the sender's name
	DeliveredAt time.Time
	OpenedAt    *time.Time
	Attachments int
	Recalled    bool
	Subject     string // "" where it was recalled, or can't be read
	Condition   message.Condition
	About       About
}

// About is whose matter a message concerns: the patients on whose account the reader
// may read it today.
type About struct {
	Own    bool     // the reader is one of them
	Others []string // the names of those whom the reader represents; "" for one that has none
}

// Read is an opened message.
type Read struct {
	Message
	Body      string
	Documents []message.Attachment
	// Seq is the place of the opening on the record; 0 where it is an old one.
	Seq uint64
}
