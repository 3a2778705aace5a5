// Package person says what was sent to one portal user: to readers of the record, and to staff
// who send. It adds to what package query reads the subjects that the viewer may read. It shows
// no text of a message.
//
// # Who sees what
//
// Staff who may send or read the record see every message that was or might have been sent to the
// person, when it could be read, its alert, its opening and its downloads. The sender and a Staff
// Bcc see the subject and the names of documents, as on the page of the message. A reader of the
// record sees the subject. All others see who sent it and when.
//
// Each page is recorded as a reading of the record before it is shown, whoever reads it.
//
// A Reader is safe for concurrent use.
package person

import (
	"context"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/messages"
	"postern/internal/record/query"
)

// May are the actions each of which allows to read what was sent to a portal user.
var May = []policy.Action{policy.ReadTheRecord, policy.SeeMessages}

// Page returns the address of the page of a portal user that a viewer may open: the one about what
// was sent to them, or else their page in the directory.
func Page(viewer policy.Subject, portalUser string) string {
	if allow(viewer) == nil {
		return "/record/portal-users/" + portalUser
	}
	return "/directory/portal-users/" + portalUser
}

// allow returns nil if the viewer may do one of the actions of [May].
func allow(viewer policy.Subject) (err error) {
	for _, action := range May {
		if err = policy.Allow(viewer, action); err == nil {
			return nil
		}
	}
	return err
}

// Config has the dependencies of a [Reader].
type Config struct {
	Record *query.Reader
	// Content opens subjects and the names of documents.
	Content *reader.Reader
}

// Reader reads what was sent to portal users.
type Reader struct{ cfg Config }

// New makes a Reader. It does no I/O.
func New(cfg Config) *Reader { return &Reader{cfg: cfg} }

// Filter selects messages that were or might have been sent to a portal user.
type Filter struct {
	PortalUserID string
	Show         query.Show // "" is [query.ShowAll]
	From, To     time.Time  // when the message was sent: From is inclusive, To is not; zero: any time
}

// Sent is a message with what the record says about the portal user, and with the part of its
// heading that the viewer may see.
type Sent struct {
	query.Sent
	// Visible reports whether the viewer may open the page of the message. If not, Subject is "".
	Visible   bool
	Subject   string
	Condition message.Condition // of the content; "" if it is not Visible
	// Names are the names of documents by their ids, for the sender and Staff Bcc.
	Names map[uuid.UUID]string
}

// Sent returns up to limit messages that the filter selects, the newest first, before a message
// ([uuid.Max] for the newest), and whether there are more. It fails with a [policy.Forbidden] if
// the viewer may not see them, and with [query.ErrNotFound] if there is no such portal user.
func (r *Reader) Sent(ctx context.Context, viewer policy.Subject, f Filter, before uuid.UUID, limit int) (sent []Sent, more bool, err error) {
	if err := allow(viewer); err != nil {
		return nil, false, err
	}
	found, more, err := r.cfg.Record.SentTo(ctx, query.Actor(viewer.Actor()),
		query.SentFilter{PortalUserID: f.PortalUserID, Show: f.Show, From: f.From, To: f.To, Viewer: viewer.ID}, before, limit)
	if err != nil {
		return nil, false, err
	}
	var ids []uuid.UUID
	sent = make([]Sent, len(found))
	for i, m := range found {
		if sent[i] = (Sent{Sent: m, Visible: messages.MaySee(viewer, m.Role)}); sent[i].Visible {
			ids = append(ids, m.MessageID)
		}
	}
	headings, err := r.cfg.Content.Headers(ctx, ids)
	if err != nil {
		return nil, false, err
	}
	for i := range sent {
		one := &sent[i]
		h, has := headings[one.MessageID]
		if !has {
			continue
		}
		one.Subject, one.Condition = h.Subject, h.Condition
		if one.Role == messages.RoleNone {
			continue
		}
		one.Names = make(map[uuid.UUID]string, len(h.Attachments))
		for _, a := range h.Attachments {
			one.Names[a.ID] = a.Name
		}
	}
	return sent, more, nil
}
