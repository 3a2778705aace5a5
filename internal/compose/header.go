package compose

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/content"
	"postern/internal/events"
)

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

// digest is "sha256:" and the SHA-256 over the salt and the text.
func (h Header) digest(text string) string {
	sum := sha256.New()
	sum.Write(h.Salt)
	_, _ = io.WriteString(sum, text)
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

func (h Header) facts() []events.AttachmentFact {
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

func (h Header) seal(key content.Key) ([]byte, error) {
	plain, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding the header: %w", err)
	}
	return key.Seal(sealedHeader, plain)
}

func openHeader(key content.Key, sealed []byte) (h Header, err error) {
	plain, err := key.Open(sealedHeader, sealed)
	if err != nil {
		return Header{}, err
	}
	if err := json.Unmarshal(plain, &h); err != nil {
		return Header{}, fmt.Errorf("decoding the header: %w", err)
	}
	return h, nil
}

// Headers opens the headers of messages. Those that were erased are left out.
func (c *Composer) Headers(ctx context.Context, messages []uuid.UUID) (map[uuid.UUID]Header, error) {
	rows, err := c.pool.Query(ctx, `SELECT message_id, wrapped_key, sealed FROM app.message_content WHERE message_id = ANY($1)`, messages)
	if err != nil {
		return nil, fmt.Errorf("reading headers: %w", err)
	}
	headers := make(map[uuid.UUID]Header, len(messages))
	var id uuid.UUID
	var wrapped, sealed []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &wrapped, &sealed}, func() error {
		key, err := c.cfg.Content.Unwrap(id, wrapped)
		if err != nil {
			return err
		}
		headers[id], err = openHeader(key, sealed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading headers: %w", err)
	}
	return headers, nil
}

// Open gives the header and the body of a message, or [ErrErased]. It does not
// ask who reads: its caller has.
func (c *Composer) Open(ctx context.Context, message uuid.UUID) (Header, string, error) {
	key, h, err := c.header(ctx, message)
	if err != nil {
		return Header{}, "", err
	}
	body, err := c.readAll(ctx, content.BodyOf(message), key)
	if err != nil {
		return Header{}, "", fmt.Errorf("opening message %s: %w", message, err)
	}
	return h, string(body), nil
}

// OpenAttachment gives the whole of a document of a message: all of it is known
// to be authentic before a byte is handed on. It fails with [ErrErased], or with
// [ErrNotFound] where the message has no such attachment, and asks as little who
// reads as Open does.
func (c *Composer) OpenAttachment(ctx context.Context, message, attachment uuid.UUID) (Attachment, []byte, error) {
	_, h, err := c.header(ctx, message)
	if err != nil {
		return Attachment{}, nil, err
	}
	a, ok := h.Attachment(attachment)
	if !ok {
		return Attachment{}, nil, ErrNotFound
	}
	key, err := c.cfg.Content.Unwrap(a.ID, a.WrappedKey)
	if err != nil {
		return Attachment{}, nil, err
	}
	data, err := c.readAll(ctx, content.AttachmentOf(a.ID), key)
	if err != nil {
		return Attachment{}, nil, fmt.Errorf("opening attachment %s: %w", a.ID, err)
	}
	return a, data, nil
}

func (c *Composer) header(ctx context.Context, message uuid.UUID) (content.Key, Header, error) {
	var wrapped, sealed []byte
	err := c.pool.QueryRow(ctx, `SELECT wrapped_key, sealed FROM app.message_content WHERE message_id = $1`, message).Scan(&wrapped, &sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return content.Key{}, Header{}, ErrErased
	}
	if err != nil {
		return content.Key{}, Header{}, fmt.Errorf("reading the header of message %s: %w", message, err)
	}
	key, err := c.cfg.Content.Unwrap(message, wrapped)
	if err != nil {
		return content.Key{}, Header{}, err
	}
	h, err := openHeader(key, sealed)
	return key, h, err
}

func (c *Composer) readAll(ctx context.Context, name content.Name, key content.Key) ([]byte, error) {
	r, err := c.cfg.Content.Get(ctx, name, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}

// keepUploads is how long an upload may be sent from.
const keepUploads = 30 * 24 * time.Hour

// Sweep drops uploads that are older than thirty days and wait in no draft: what
// was sent has its own copy of the key in the header of its message, what was not
// can't be read by anybody any more. It drops a thousand at most; call it every few minutes.
func (c *Composer) Sweep(ctx context.Context) error {
	_, err := c.pool.Exec(ctx, `DELETE FROM app.attachments WHERE attachment_id IN
		(SELECT attachment_id FROM app.attachments WHERE uploaded_at < $1 AND draft_id IS NULL LIMIT 1000 FOR UPDATE SKIP LOCKED)`,
		c.now().Add(-keepUploads))
	if err != nil {
		return fmt.Errorf("sweeping uploads: %w", err)
	}
	return nil
}
