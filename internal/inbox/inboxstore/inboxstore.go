// Package inboxstore reads the inboxes of portal users from Postgres and the content
// store, and records the messages and documents that they open.
//
// # Recording
//
// The first opening of a message, and every download of a document, is recorded before any
// byte of it is returned. If it can't be recorded, nothing is returned
// ([facts.ErrUnavailable]). Content that can't be read is not recorded as opened.
//
// No result names a Staff Bcc or another recipient.
//
// An Inbox is safe for concurrent use.
package inboxstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/inbox"
)

// Config has the dependencies of an [Inbox]. All are required.
type Config struct {
	Pool   *pgxpool.Pool
	Reader *reader.Reader // opens content
	// Facts records what is done, and waits until it can be read.
	Facts facts.Publisher
}

// An Inbox reads the inboxes of all portal users; each call names the reader.
type Inbox struct{ cfg Config }

// New makes an Inbox.
func New(cfg Config) *Inbox {
	return &Inbox{cfg}
}

// List returns up to limit messages older than before, newest first. [uuid.Max] is newer
// than all.
func (i *Inbox) List(ctx context.Context, reader policy.Subject, before uuid.UUID, limit int) ([]inbox.Message, error) {
	messages, err := i.readable(ctx, reader, before, limit)
	if err != nil {
		return nil, fmt.Errorf("reading an inbox: %w", err)
	}
	ids := make([]uuid.UUID, len(messages))
	for n, m := range messages {
		ids[n] = m.ID
	}
	headers, err := i.cfg.Reader.Headers(ctx, ids)
	if err != nil {
		return nil, err
	}
	for n := range messages {
		h := headers[messages[n].ID]
		messages[n].Condition = h.Condition
		if !messages[n].Recalled {
			messages[n].Subject = h.Subject
		}
	}
	return messages, nil
}

// Open returns a message to read: step 8. It returns after the first opening is recorded.
func (i *Inbox) Open(ctx context.Context, reader policy.Subject, id uuid.UUID) (inbox.Read, error) {
	m, err := i.find(ctx, reader, id)
	if err != nil {
		return inbox.Read{}, err
	}
	header, body, err := i.cfg.Reader.Open(ctx, id)
	if err != nil {
		return inbox.Read{}, err
	}
	read := inbox.Read{Message: m, Body: body, Documents: header.Attachments}
	read.Subject, read.Condition = header.Subject, message.Kept
	if read.Seq, err = i.recordOpening(ctx, reader, &read.Message); err != nil {
		return inbox.Read{}, err
	}
	return read, nil
}

// recordOpening records the first opening of a message and returns the event's sequence. It
// returns 0 if the message was opened before.
func (i *Inbox) recordOpening(ctx context.Context, reader policy.Subject, m *inbox.Message) (seq uint64, err error) {
	if m.OpenedAt != nil {
		return 0, nil
	}
	at := i.cfg.Facts.Time()
	// The commit point of step 8. A crash before it: nothing was shown. After it: the
	// message is recorded as opened, though perhaps not shown. Opening it again changes
	// nothing in the record.
	seq, err = i.cfg.Facts.Record(ctx, reader.Actor(), at, events.DeliveryOpened{MessageID: m.ID, PortalUserID: reader.ID, PortalUserNo: reader.No})
	if err != nil {
		return 0, err
	}
	m.OpenedAt = &at
	return seq, nil
}

// Document returns the metadata of a document of a message, without its content. The
// document's name is part of the message, so this opens the message.
func (i *Inbox) Document(ctx context.Context, reader policy.Subject, id, attachment uuid.UUID) (inbox.Message, message.Attachment, error) {
	m, err := i.find(ctx, reader, id)
	if err != nil {
		return inbox.Message{}, message.Attachment{}, err
	}
	header, err := i.cfg.Reader.Header(ctx, id)
	if err != nil {
		return inbox.Message{}, message.Attachment{}, err
	}
	document, ok := header.Attachment(attachment)
	if !ok {
		return inbox.Message{}, message.Attachment{}, inbox.ErrNotFound
	}
	if _, err := i.recordOpening(ctx, reader, &m); err != nil {
		return inbox.Message{}, message.Attachment{}, err
	}
	m.Subject, m.Condition = header.Subject, message.Kept
	return m, document, nil
}

// Download returns a document of a message, to be saved or shown: both count as a download.
// It returns after the download is recorded.
func (i *Inbox) Download(ctx context.Context, reader policy.Subject, id, attachment uuid.UUID) (message.Attachment, []byte, error) {
	if _, err := i.find(ctx, reader, id); err != nil {
		return message.Attachment{}, nil, err
	}
	document, data, err := i.cfg.Reader.OpenAttachment(ctx, id, attachment)
	if err != nil {
		return message.Attachment{}, nil, err
	}
	_, err = i.cfg.Facts.Record(ctx, reader.Actor(), i.cfg.Facts.Time(), events.AttachmentDownloaded{MessageID: id, PortalUserID: reader.ID,
		PortalUserNo: reader.No, AttachmentID: attachment, Request: uuid.New()})
	if err != nil {
		return message.Attachment{}, nil, err
	}
	return document, data, nil
}
