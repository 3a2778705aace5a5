package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/content"
	"postern/internal/content/attachment"
	"postern/internal/content/message"
	"postern/internal/directory/audience"
	"postern/internal/events"
)

// ErrNotTakenBack is the error if a message was neither cancelled nor recalled.
var ErrNotTakenBack = errors.New("only a message that was cancelled or recalled can be edited and sent again")

// Copy returns the request of a cancelled or recalled message, for its sender to edit and
// send again. Its documents are copied to new uploads of the sender, so that erasing one
// message leaves the other. It fails with [message.ErrNotFound] if staff did not send the
// message, with [ErrNotTakenBack] and with [message.ErrErased]. Two calls make two sets of
// uploads; [Composer.Sweep] deletes a set that is in no draft.
func (c *Composer) Copy(ctx context.Context, staff policy.Subject, id uuid.UUID) (Request, error) {
	s, err := c.own(ctx, staff, id)
	if err != nil {
		return Request{}, err
	}
	if !s.status.Withdrawn() {
		return Request{}, ErrNotTakenBack
	}
	h, body, err := c.cfg.Reader.Open(ctx, id)
	if err != nil {
		return Request{}, err
	}
	r := Request{Subject: h.Subject, Body: body, StaffBcc: h.StaffBcc}
	var hold events.Hold
	var releaseAt time.Time
	var to events.Selection
	err = c.pool.QueryRow(ctx, `SELECT recipients, hold, release_at FROM record.messages WHERE message_id = $1`, id).Scan(&to, &hold, &releaseAt)
	if errors.Is(err, pgx.ErrNoRows) {
		err = message.ErrNotFound
	}
	if err != nil {
		return Request{}, fmt.Errorf("reading the recipients of message %s: %w", id, err)
	}
	r.Recipients.PortalUserIDs = to.PortalUserIDs
	for _, g := range to.Groups {
		r.Recipients.Groups = append(r.Recipients.Groups, audience.Group(g))
	}
	if r.Recipients.About, err = c.stillLinked(ctx, to); err != nil {
		return Request{}, err
	}
	if hold == events.HoldScheduled {
		r.SendAt = &releaseAt
	}
	for _, a := range h.Attachments {
		copied, err := c.copyAttachment(ctx, staff, id, a.ID)
		if err != nil {
			return Request{}, err
		}
		r.AttachmentIDs = append(r.AttachmentIDs, copied)
	}
	return r, nil
}

// copyAttachment copies a document of a message to a new upload. The document was checked
// and scanned at its first upload.
func (c *Composer) copyAttachment(ctx context.Context, staff policy.Subject, message, id uuid.UUID) (uuid.UUID, error) {
	a, data, err := c.cfg.Reader.OpenAttachment(ctx, message, id)
	if err != nil {
		return uuid.Nil, err
	}
	up := attachment.Uploaded{ID: uuid.New(), Name: a.Name, Size: a.Size, MediaType: a.MediaType}
	key, wrapped, err := c.cfg.Content.NewKey(up.ID)
	if err != nil {
		return uuid.Nil, err
	}
	info, err := c.cfg.Content.Create(ctx, content.AttachmentOf(up.ID), key, bytes.NewReader(data))
	if err != nil {
		return uuid.Nil, fmt.Errorf("copying attachment %s: %w", id, err)
	}
	up.WrappedKey, up.SHA256 = wrapped, info.SHA256
	return up.ID, c.keepUpload(ctx, staff, up, &message)
}

// stillLinked returns the picks of a message that its copy keeps: those of portal users who are linked to
// all picked patients today. The others are picked again.
func (c *Composer) stillLinked(ctx context.Context, to events.Selection) (kept []audience.About, err error) {
	sel := audience.Selection{}
	for _, id := range to.PortalUserIDs {
		if len(to.About[id]) > 0 {
			sel.PortalUserIDs, sel.About = append(sel.PortalUserIDs, id), append(sel.About, audience.About{PortalUserID: id, PatientIDs: to.About[id]})
		}
	}
	found, err := audience.Resolve(ctx, c.pool, sel, c.cfg.Facts.Now())
	if gone := new(audience.UnknownPortalUsers); errors.As(err, &gone) {
		return nil, nil // the copy can't be sent before they are removed
	}
	if err != nil {
		return nil, err
	}
	for _, a := range sel.About {
		if !slices.ContainsFunc(found.NotLinked, func(l audience.Link) bool { return l.PortalUserID == a.PortalUserID }) {
			kept = append(kept, a)
		}
	}
	return kept, nil
}
