// Package message says what the content of a message is: its header, which holds the
// subject and the documents, and whether it can be read. Package reader reads it; this
// package does no I/O.
package message

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/events"
	"postern/internal/problem"
)

var (
	// ErrNotFound says that there is no such message, or none of the reader's.
	ErrNotFound = problem.NotFound.New("there is no such message")
	// ErrErased says that the content of a message was destroyed, as the record says.
	ErrErased = problem.MessageErased.New("the content of this message was erased; the record still proves that it was sent")
	// ErrMissing says that the content of a message can't be found or opened although it
	// was not erased.
	ErrMissing = problem.ContentMissing.New("the content of this message is missing. It was not erased: " +
		"tell whoever operates the system, who may be able to restore it from a backup")
)

// A Condition says whether the content of a message can be read.
type Condition string

// The conditions.
const (
	Kept    Condition = "kept"
	Erased  Condition = "erased"  // the record holds content.erased
	Missing Condition = "missing" // the record does not, and yet it can't be found or opened
)

// Heading is a header with the condition of the content. Where that is not [Kept] the
// header may be empty.
type Heading struct {
	Header
	Condition Condition
}

// sealedHeader is the field that a header is sealed as.
const sealedHeader = "header"

// Header is what is secret of a message, but for its body.
type Header struct {
	Subject     string       `json:"subject"`
	Attachments []Attachment `json:"attachments"`
	StaffBcc    []string     `json:"staff_bcc"` // for staff alone

	// Salt goes in front of what the digests on the record are of.
	Salt []byte `json:"salt"`
	// Confirmed is the preview that the sender agreed to, for a retry to say the
	// same.
	Confirmed *events.Confirmed `json:"confirmed,omitempty"`
}

// Attachment is a document of a message. Its name can say a diagnosis: it goes
// to those who may read the message, and nowhere else.
type Attachment struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"`
	Size      int64     `json:"size"`
	MediaType string    `json:"media_type"`
	SHA256    string    `json:"sha256"` // hexadecimal

	// WrappedKey opens the blob. Within the sealed header it is as mortal as the
	// message's own key.
	WrappedKey []byte `json:"wrapped_key"`
}

// Digest is "sha256:" and the SHA-256 over the salt and the text.
func (h Header) Digest(text string) string {
	sum := sha256.New()
	sum.Write(h.Salt)
	_, _ = io.WriteString(sum, text)
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// Facts are what the record says of the attachments.
func (h Header) Facts() []events.AttachmentFact {
	facts := make([]events.AttachmentFact, len(h.Attachments))
	for i, a := range h.Attachments {
		facts[i] = events.AttachmentFact{AttachmentID: a.ID, MediaType: a.MediaType, Size: a.Size, SHA256: a.SHA256}
	}
	return facts
}

// Attachment gives the document of that id.
func (h Header) Attachment(id uuid.UUID) (Attachment, bool) {
	for _, a := range h.Attachments {
		if a.ID == id {
			return a, true
		}
	}
	return Attachment{}, false
}

// Seal encrypts the header with the key of the message.
func (h Header) Seal(key content.Key) ([]byte, error) {
	plain, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding the header: %w", err)
	}
	return key.Seal(sealedHeader, plain)
}

// Open decrypts a sealed header.
func Open(key content.Key, sealed []byte) (h Header, err error) {
	plain, err := key.Open(sealedHeader, sealed)
	if err != nil {
		return Header{}, err
	}
	if err := json.Unmarshal(plain, &h); err != nil {
		return Header{}, fmt.Errorf("decoding the header: %w", err)
	}
	return h, nil
}
