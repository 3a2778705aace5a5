// Package message defines the content of a message: its header with the subject and the
// documents, and whether it can be read. Package reader reads it; this package does no I/O.
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
	// ErrNotFound is the error if the message does not exist, or the reader may not read it.
	ErrNotFound = problem.NotFound.New("there is no such message")
	// ErrErased is the error if the record says that the content of a message was erased.
	ErrErased = problem.MessageErased.New("the content of this message was erased; the record still proves that it was sent")
	// ErrMissing is the error if the content of a message can't be found or opened although
	// it was not erased.
	ErrMissing = problem.ContentMissing.New("the content of this message is missing. It was not erased: " +
		"tell the operator of this system, who may be able to restore it from a backup")
)

// A Condition says whether the content of a message can be read.
type Condition string

// The conditions.
const (
	Kept    Condition = "kept"
	Erased  Condition = "erased"  // the record holds content.erased
	Missing Condition = "missing" // it can't be found or opened, and the record has no content.erased
)

// Heading is a header with the condition of the content. If that is not [Kept], the header
// may be empty.
type Heading struct {
	Header
	Condition Condition
}

// sealedHeader is the field name under which a header is sealed.
const sealedHeader = "header"

// Header has the confidential data of a message, except the body.
type Header struct {
	Subject     string       `json:"subject"`
	Attachments []Attachment `json:"attachments"`
	StaffBcc    []string     `json:"staff_bcc"` // only staff may see it

	// Salt is the prefix of the texts of which the record has digests.
	Salt []byte `json:"salt"`
	// Confirmed is the preview that the sender confirmed, so that a retry makes the same
	// event.
	Confirmed *events.Confirmed `json:"confirmed,omitempty"`
}

// Attachment is a document of a message. Its name may contain a diagnosis: show it only to
// people who may read the message.
type Attachment struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"`
	Size      int64     `json:"size"`
	MediaType string    `json:"media_type"`
	SHA256    string    `json:"sha256"` // hexadecimal

	// WrappedKey opens the blob. It is in the sealed header, so it is lost together with
	// the message's own key.
	WrappedKey []byte `json:"wrapped_key"`
}

// Digest is "sha256:" and the SHA-256 over the salt and the text.
func (h Header) Digest(text string) string {
	sum := sha256.New()
	sum.Write(h.Salt)
	_, _ = io.WriteString(sum, text)
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// Facts returns the attachments as message.sent has them.
func (h Header) Facts() []events.AttachmentFact {
	facts := make([]events.AttachmentFact, len(h.Attachments))
	for i, a := range h.Attachments {
		facts[i] = events.AttachmentFact{AttachmentID: a.ID, MediaType: a.MediaType, Size: a.Size, SHA256: a.SHA256}
	}
	return facts
}

// Attachment returns the document with an id.
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
