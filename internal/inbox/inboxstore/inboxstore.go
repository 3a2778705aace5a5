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
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/clinic"
	"postern/internal/content/fields"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/inbox"
	"postern/internal/text/folding"
)

// Config has the dependencies of an [Inbox]. All are required.
type Config struct {
	Pool   *pgxpool.Pool
	Reader *reader.Reader // opens content
	// Clinic returns what the fields of a text say of the clinic; see package fields. It may be nil.
	Clinic func(context.Context) (clinic.Face, error)
	// Facts records what is done, and waits until it can be read.
	Facts facts.Publisher
}

// An Inbox reads the inboxes of all portal users; each call names the reader.
type Inbox struct{ cfg Config }

// New makes an Inbox.
func New(cfg Config) *Inbox {
	return &Inbox{cfg}
}

// values returns the values of the fields in texts that reader reads.
func (i *Inbox) values(ctx context.Context, reader policy.Subject) (fields.Values, error) {
	v := fields.Values{Recipient: reader.Name}
	if i.cfg.Clinic == nil {
		return v, nil
	}
	face, err := i.cfg.Clinic(ctx)
	v.Clinic, v.Telephone = face.Name, face.Telephone
	return v, err
}

// mostLooked is how many deliveries a page of a filtered list looks at.
const mostLooked = 2000

// List returns a page of up to limit messages that are older than before and pass a filter, the
// newest first. [uuid.Max] is newer than all.
func (i *Inbox) List(ctx context.Context, reader policy.Subject, f inbox.Filter, before uuid.UUID, limit int) (inbox.List, error) {
	links, err := i.links(ctx, reader)
	if err != nil {
		return inbox.List{}, err
	}
	values, err := i.values(ctx, reader)
	if err != nil {
		return inbox.List{}, err
	}
	list := inbox.List{Messages: []inbox.Message{}, Next: before}
	// A page begins with its own length and one more, which says whether others follow. Where the reader
	// may not read many of them, or few pass the filter, it doubles.
	for n, looked := limit+1, 0; ; n = min(2*n, most) {
		found, err := i.read(ctx, reader, page, list.Next, n)
		if err != nil {
			return inbox.List{}, fmt.Errorf("reading an inbox: %w", err)
		}
		passed, err := i.pass(ctx, links, values, f, found)
		if err != nil {
			return inbox.List{}, fmt.Errorf("reading an inbox: %w", err)
		}
		for at, d := range found {
			if passed[at] {
				if len(list.Messages) == limit {
					return list, nil
				}
				list.Messages = append(list.Messages, d.Message)
			}
			list.Next, list.Reached = d.ID, d.DeliveredAt
		}
		looked += len(found)
		switch {
		case len(found) < n:
			list.Next = uuid.Nil
			return list, nil
		case f != inbox.Filter{} && looked >= mostLooked:
			return list, nil
		}
	}
}

// pass completes deliveries that the reader may read, and reports which of them pass the filter.
func (i *Inbox) pass(ctx context.Context, links links, values fields.Values, f inbox.Filter, found []delivery) (passed []bool, err error) {
	passed = make([]bool, len(found))
	var ids []uuid.UUID
	for n := range found {
		d := &found[n]
		passed[n] = links.admit(d) && (f.Patient == 0 || links.concerns(d, f.Patient))
		if passed[n] {
			ids = append(ids, d.ID)
		}
	}
	headers, err := i.cfg.Reader.Headers(ctx, ids)
	if err != nil {
		return nil, err
	}
	for n := range found {
		if !passed[n] {
			continue
		}
		d, h := &found[n], headers[found[n].ID]
		d.Condition = h.Condition
		if !d.Recalled {
			d.Subject = fields.Fill(h.Subject, values)
		}
		passed[n] = (!f.Unread || d.Unread()) && (f.Words == "" || mentions(d.Message, h, f.Words))
	}
	return passed, nil
}

// mentions reports whether a message that can be read has the words.
func mentions(m inbox.Message, h message.Heading, words string) bool {
	if m.Recalled || h.Condition != message.Kept {
		return false
	}
	texts := append([]string{m.Subject, m.From}, m.About.Others...)
	for _, a := range h.Attachments {
		texts = append(texts, a.Name)
	}
	return folding.Mentions(strings.Join(texts, " "), words)
}

// Patients returns the patients to whom the reader has a link in force, the reader first.
func (i *Inbox) Patients(ctx context.Context, reader policy.Subject) ([]inbox.Patient, error) {
	links, err := i.links(ctx, reader)
	if err != nil {
		return nil, err
	}
	all := make([]inbox.Patient, 0, len(links))
	for no, p := range links {
		all = append(all, inbox.Patient{No: no, Name: p.name, Own: p.own})
	}
	slices.SortFunc(all, func(a, b inbox.Patient) int {
		if a.Own != b.Own {
			return map[bool]int{true: -1, false: 1}[a.Own]
		}
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.No, b.No))
	})
	return all, nil
}

// MarkUnread marks a message that the reader has opened, until they open it again. The record of the
// first opening stays. It fails like Open.
func (i *Inbox) MarkUnread(ctx context.Context, reader policy.Subject, id uuid.UUID) error {
	m, err := i.find(ctx, reader, id)
	if err != nil || m.OpenedAt == nil {
		return err
	}
	_, err = i.cfg.Pool.Exec(ctx, `INSERT INTO app.unread_marks (portal_user_no, message_id, marked_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		reader.No, id, i.cfg.Facts.Now())
	if err != nil {
		return fmt.Errorf("marking message %s as unread: %w", id, err)
	}
	return nil
}

// unmark removes the mark of a message that is opened again.
func (i *Inbox) unmark(ctx context.Context, reader policy.Subject, m *inbox.Message) error {
	if !m.Marked {
		return nil
	}
	if _, err := i.cfg.Pool.Exec(ctx, `DELETE FROM app.unread_marks WHERE portal_user_no = $1 AND message_id = $2`, reader.No, m.ID); err != nil {
		return fmt.Errorf("removing the mark of message %s: %w", m.ID, err)
	}
	m.Marked = false
	return nil
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
	values, err := i.values(ctx, reader)
	if err != nil {
		return inbox.Read{}, err
	}
	read := inbox.Read{Message: m, Body: fields.Fill(body, values), Documents: header.Attachments}
	read.Subject, read.Condition = fields.Fill(header.Subject, values), message.Kept
	if read.Seq, err = i.recordOpening(ctx, reader, &read.Message); err != nil {
		return inbox.Read{}, err
	}
	return read, i.unmark(ctx, reader, &read.Message)
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
	values, err := i.values(ctx, reader)
	if err != nil {
		return inbox.Message{}, message.Attachment{}, err
	}
	if _, err := i.recordOpening(ctx, reader, &m); err != nil {
		return inbox.Message{}, message.Attachment{}, err
	}
	m.Subject, m.Condition = fields.Fill(header.Subject, values), message.Kept
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
