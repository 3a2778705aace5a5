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

// rows gives, of the messages asked for, the keys of those that Postgres has some of, and
// which of them were erased. Keys of an erased one count for nothing: a failover of
// Postgres, or a backup, can bring them back.
func (c *Composer) rows(ctx context.Context, messages []uuid.UUID) (keys map[uuid.UUID]*content.Keys, erased map[uuid.UUID]bool, err error) {
	keys, erased = make(map[uuid.UUID]*content.Keys, len(messages)), map[uuid.UUID]bool{}
	q := &pgx.Batch{}
	q.Queue(`SELECT message_id, wrapped_key, sealed FROM app.message_content WHERE message_id = ANY($1)`, messages).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		var k content.Keys
		_, err := pgx.ForEachRow(rows, []any{&id, &k.WrappedKey, &k.Sealed}, func() error {
			keys[id] = &content.Keys{WrappedKey: k.WrappedKey, Sealed: k.Sealed}
			return nil
		})
		return err
	})
	q.Queue(`SELECT message_id FROM record.erasures WHERE message_id = ANY($1) AND status = 'erased'`, messages).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { erased[id] = true; return nil })
		return err
	})
	if err := c.pool.SendBatch(ctx, q).Close(); err != nil {
		return nil, nil, fmt.Errorf("reading headers: %w", err)
	}
	return keys, erased, nil
}

func (c *Composer) isErased(ctx context.Context, message uuid.UUID) (bool, error) {
	_, erased, err := c.rows(ctx, []uuid.UUID{message})
	return erased[message], err
}

// Headers opens the headers of messages, and says of each one asked for whether its
// content can be read.
func (c *Composer) Headers(ctx context.Context, messages []uuid.UUID) (map[uuid.UUID]Heading, error) {
	keys, erased, err := c.rows(ctx, messages)
	if err != nil {
		return nil, err
	}
	headings := make(map[uuid.UUID]Heading, len(messages))
	for _, id := range messages {
		if erased[id] {
			headings[id] = Heading{Condition: Erased}
			continue
		}
		_, h, err := c.openKept(ctx, id, keys[id])
		switch {
		case errors.Is(err, ErrMissing):
			headings[id] = Heading{Condition: Missing}
		case err != nil:
			return nil, fmt.Errorf("reading headers: %w", err)
		default:
			headings[id] = Heading{Header: h, Condition: Kept}
		}
	}
	return headings, nil
}

// Open gives the header and the body of a message, [ErrErased] or [ErrMissing]. It does
// not ask who reads: its caller has. Where the body alone is missing it gives the header,
// too.
func (c *Composer) Open(ctx context.Context, message uuid.UUID) (Header, string, error) {
	key, h, err := c.header(ctx, message)
	if err != nil {
		return Header{}, "", err
	}
	body, err := c.readAll(ctx, message, "its body", content.BodyOf(message), key)
	if err != nil {
		return h, "", err
	}
	return h, string(body), nil
}

// Read gives what [Composer.Open] gives of a message, or the condition that keeps it from
// being read. Where the body alone is missing, the header is given with that.
func (c *Composer) Read(ctx context.Context, message uuid.UUID) (Heading, string, error) {
	h, body, err := c.Open(ctx, message)
	switch {
	case errors.Is(err, ErrErased):
		return Heading{Condition: Erased}, "", nil
	case errors.Is(err, ErrMissing):
		return Heading{Header: h, Condition: Missing}, "", nil
	}
	return Heading{Header: h, Condition: Kept}, body, err
}

// Header gives the header of a message and fails as Open does.
func (c *Composer) Header(ctx context.Context, message uuid.UUID) (Header, error) {
	_, h, err := c.header(ctx, message)
	return h, err
}

// OpenAttachment gives the whole of a document of a message: all of it is known
// to be authentic before a byte is handed on. It fails with [ErrErased], [ErrMissing], or
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
	data, err := c.readAll(ctx, message, "attachment "+a.ID.String(), content.AttachmentOf(a.ID), key)
	if err != nil {
		return Attachment{}, nil, err
	}
	return a, data, nil
}

func (c *Composer) header(ctx context.Context, message uuid.UUID) (content.Key, Header, error) {
	keys, erased, err := c.rows(ctx, []uuid.UUID{message})
	if err != nil {
		return content.Key{}, Header{}, err
	}
	if erased[message] {
		return content.Key{}, Header{}, ErrErased
	}
	return c.openKept(ctx, message, keys[message])
}

// readAll reads a blob of a message. One that is not there, or not whole, is [ErrMissing].
func (c *Composer) readAll(ctx context.Context, message uuid.UUID, what string, name content.Name, key content.Key) ([]byte, error) {
	data, err := c.read(ctx, name, key)
	switch {
	case errors.Is(err, content.ErrNotFound), errors.Is(err, content.ErrChanged):
		return nil, c.isMissing(message, what, err)
	case err != nil:
		return nil, fmt.Errorf("opening %s of message %s: %w", what, message, err)
	}
	return data, nil
}

func (c *Composer) read(ctx context.Context, name content.Name, key content.Key) ([]byte, error) {
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
