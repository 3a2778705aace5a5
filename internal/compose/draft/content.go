package draft

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/directory/audience"
)

// The field names under which a draft is sealed.
const (
	sealedHeader = "draft"
	sealedBody   = "draft body"
)

// maxBytes is the maximal size of a draft: twice the size of 100,000 characters.
const maxBytes = 1 << 20

// Content is the content of a draft. It is not validated before the message is about to be
// sent.
type Content struct {
	Subject       string             `json:"subject"`
	Body          string             `json:"-"`
	Recipients    audience.Selection `json:"recipients"`
	StaffBcc      []string           `json:"staff_bcc"` // staff ids
	AttachmentIDs []uuid.UUID        `json:"attachment_ids"`
	When          When               `json:"when"`
	// Key is the idempotency key with which the draft will be sent.
	Key string `json:"key"`
}

// RenewKey replaces the idempotency key, so that the next send makes a new message.
func (c *Content) RenewKey() { c.Key = newSendKey() }

func newSendKey() string { return "draft-" + uuid.NewString() }

func (c Content) clone() Content {
	c.Recipients.PortalUserIDs = slices.Clone(c.Recipients.PortalUserIDs)
	c.Recipients.Groups = slices.Clone(c.Recipients.Groups)
	c.StaffBcc = slices.Clone(c.StaffBcc)
	c.AttachmentIDs = slices.Clone(c.AttachmentIDs)
	return c
}

func (c Content) equal(other Content) bool {
	return c.Body == other.Body && bytes.Equal(c.header(), other.header())
}

// header encodes everything except the body.
func (c Content) header() []byte {
	plain, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, ids and flags
	}
	return plain
}

// sealed is the encrypted content of a draft.
type sealed struct{ header, body []byte }

func (c Content) seal(key content.Key) (s sealed, err error) {
	header := c.header()
	if len(header)+len(c.Body) > maxBytes {
		return sealed{}, ErrTooLong
	}
	if s.header, err = key.Seal(sealedHeader, header); err != nil {
		return sealed{}, err
	}
	s.body, err = key.Seal(sealedBody, []byte(c.Body))
	return s, err
}

func (s sealed) open(key content.Key) (c Content, err error) {
	plain, err := key.Open(sealedHeader, s.header)
	if err != nil {
		return Content{}, err
	}
	if err := json.Unmarshal(plain, &c); err != nil {
		return Content{}, fmt.Errorf("decoding a draft: %w", err)
	}
	if s.body != nil { // a list leaves it out
		plain, err = key.Open(sealedBody, s.body)
		c.Body = string(plain)
	}
	return c, err
}
