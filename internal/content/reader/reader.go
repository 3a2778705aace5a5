// Package reader opens the content of messages. It does not check permissions; its caller
// must. It also keeps the keys of the content in two places, Postgres and the content store,
// and restores keys that Postgres lost from the content store.
package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/content/message"
)

// Config has the dependencies of a [Reader]. Only Logger may be nil.
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Content stores bodies, attachments and the copies of keys.
	Content *content.Store
	// Logger gets missing content.
	Logger *slog.Logger
}

// A Reader opens content. It is safe for concurrent use, also by several processes.
type Reader struct {
	cfg     Config
	missing known
}

// New makes a Reader. It does no I/O.
func New(cfg Config) *Reader {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Reader{cfg: cfg}
}

// rows returns the keys that Postgres has of messages, and which messages were erased. Keys
// of an erased message must not be used: a failover of Postgres, or a backup, can bring
// them back.
func (rd *Reader) rows(ctx context.Context, messages []uuid.UUID) (keys map[uuid.UUID]*content.Keys, erased map[uuid.UUID]bool, err error) {
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
	if err := rd.cfg.Pool.SendBatch(ctx, q).Close(); err != nil {
		return nil, nil, fmt.Errorf("reading headers: %w", err)
	}
	return keys, erased, nil
}

func (rd *Reader) isErased(ctx context.Context, id uuid.UUID) (bool, error) {
	_, erased, err := rd.rows(ctx, []uuid.UUID{id})
	return erased[id], err
}

// Headers opens the headers of messages. The result has each message, with the condition of
// its content.
func (rd *Reader) Headers(ctx context.Context, messages []uuid.UUID) (map[uuid.UUID]message.Heading, error) {
	keys, erased, err := rd.rows(ctx, messages)
	if err != nil {
		return nil, err
	}
	headings := make(map[uuid.UUID]message.Heading, len(messages))
	for _, id := range messages {
		if erased[id] {
			headings[id] = message.Heading{Condition: message.Erased}
			continue
		}
		_, h, err := rd.Unlock(ctx, id, keys[id])
		switch {
		case errors.Is(err, message.ErrMissing):
			headings[id] = message.Heading{Condition: message.Missing}
		case err != nil:
			return nil, fmt.Errorf("reading headers: %w", err)
		default:
			headings[id] = message.Heading{Header: h, Condition: message.Kept}
		}
	}
	return headings, nil
}

// Open returns the header and the body of a message, [message.ErrErased] or
// [message.ErrMissing]. It does not check permissions; its caller must. If only the body is
// missing, it also returns the header.
func (rd *Reader) Open(ctx context.Context, id uuid.UUID) (message.Header, string, error) {
	key, h, err := rd.header(ctx, id)
	if err != nil {
		return message.Header{}, "", err
	}
	body, err := rd.readAll(ctx, id, "its body", content.BodyOf(id), key)
	if err != nil {
		return h, "", err
	}
	return h, string(body), nil
}

// Read is [Reader.Open] with the condition of the content instead of an error, if the
// content was erased or is missing. If only the body is missing, it returns the header.
func (rd *Reader) Read(ctx context.Context, id uuid.UUID) (message.Heading, string, error) {
	h, body, err := rd.Open(ctx, id)
	switch {
	case errors.Is(err, message.ErrErased):
		return message.Heading{Condition: message.Erased}, "", nil
	case errors.Is(err, message.ErrMissing):
		return message.Heading{Header: h, Condition: message.Missing}, "", nil
	}
	return message.Heading{Header: h, Condition: message.Kept}, body, err
}

// Header returns the header of a message. It fails like Open.
func (rd *Reader) Header(ctx context.Context, id uuid.UUID) (message.Header, error) {
	_, h, err := rd.header(ctx, id)
	return h, err
}

// OpenAttachment returns a document of a message. All of it is authenticated before it
// returns. It fails with [message.ErrErased], [message.ErrMissing], or [message.ErrNotFound]
// if the message has no such attachment. Like Open, it does not check permissions.
func (rd *Reader) OpenAttachment(ctx context.Context, id, attachment uuid.UUID) (message.Attachment, []byte, error) {
	_, h, err := rd.header(ctx, id)
	if err != nil {
		return message.Attachment{}, nil, err
	}
	a, ok := h.Attachment(attachment)
	if !ok {
		return message.Attachment{}, nil, message.ErrNotFound
	}
	key, err := rd.cfg.Content.Unwrap(a.ID, a.WrappedKey)
	if err != nil {
		return message.Attachment{}, nil, err
	}
	data, err := rd.readAll(ctx, id, "attachment "+a.ID.String(), content.AttachmentOf(a.ID), key)
	if err != nil {
		return message.Attachment{}, nil, err
	}
	return a, data, nil
}

func (rd *Reader) header(ctx context.Context, id uuid.UUID) (content.Key, message.Header, error) {
	keys, erased, err := rd.rows(ctx, []uuid.UUID{id})
	if err != nil {
		return content.Key{}, message.Header{}, err
	}
	if erased[id] {
		return content.Key{}, message.Header{}, message.ErrErased
	}
	return rd.Unlock(ctx, id, keys[id])
}

// readAll reads a blob of a message. It fails with [message.ErrMissing] if the blob does not
// exist or is damaged.
func (rd *Reader) readAll(ctx context.Context, id uuid.UUID, what string, name content.Name, key content.Key) ([]byte, error) {
	data, err := rd.read(ctx, name, key)
	switch {
	case errors.Is(err, content.ErrNotFound), errors.Is(err, content.ErrChanged):
		return nil, rd.isMissing(id, what, err)
	case err != nil:
		return nil, fmt.Errorf("opening %s of message %s: %w", what, id, err)
	}
	return data, nil
}

func (rd *Reader) read(ctx context.Context, name content.Name, key content.Key) ([]byte, error) {
	r, err := rd.cfg.Content.Get(ctx, name, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}
