// Package draft stores messages that are being written. Drafts are encrypted like sent
// messages, only their author can read them, and they are deleted when they are sent.
//
// # Saving
//
// The first [Drafts.Save] makes the draft, with an id that the page chose, so that opening
// an empty page stores nothing. Each save with a change increments the version. A save from
// a page that has an older version changes nothing and fails with [Stale], unless the
// latest save came from the same page: its answer may have been lost.
//
// # Sending
//
// A draft has the idempotency key with which it will be sent. It is deleted after the send.
// A crash in between leaves a draft that makes the same message when it is sent again.
//
// # Copies
//
// A cancelled or recalled message can be edited and sent again: [Drafts.CopyOf] makes a
// draft of it, and returns that draft again while it exists. The idempotency key is derived
// from the message, so that [CopyKey] shows whether the copy was sent. A copy is deleted
// when the content of its message is erased.
//
// # Documents
//
// A draft names uploads of package compose, and marks them as its own while it exists, so
// that they are not swept.
//
// A Drafts is safe for concurrent use, also by several processes.
package draft

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/content"
)

// Lifetime is how long a draft is kept after it was last saved.
const Lifetime = 90 * 24 * time.Hour

var (
	// ErrNotFound is the error if the staff member has no such draft: it was sent, was
	// deleted, never existed, or has another author.
	ErrNotFound = errors.New("there is no such draft. It may have been sent or deleted")
	// ErrTooLong is the error if a draft is longer than any message can be.
	ErrTooLong = errors.New("the draft is too long to be saved: shorten it")
	// ErrErased is the error if the content of the message to copy was erased.
	ErrErased = errors.New("the content of this message was erased: it can't be edited")
	// ErrCursor is the error if a cursor does not come from a list of drafts.
	ErrCursor = errors.New("the cursor is not one of this list: leave it out to start from the beginning")
)

// Stale is the error if a draft was changed after the version of the page that saves it.
// Now is the present draft. Nothing was saved.
type Stale struct{ Now Draft }

func (e *Stale) Error() string { return "the draft was changed in another tab or window since" }

// Draft is a message that is not yet sent.
type Draft struct {
	ID      uuid.UUID
	Version int // 0: not saved yet
	SavedAt time.Time
	CopyOf  *uuid.UUID // the message of which it is a copy; nil: not a copy
	Content
}

// Seen identifies the page that saves a draft, and its version of the draft.
type Seen struct {
	Version int    // the version that the page shows; 0: a new draft
	Page    string // unique for each page
}

// Config has the dependencies of a [Drafts].
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool    *pgxpool.Pool
	Content *content.Store // makes and opens keys
	Now     func() time.Time
}

// Drafts reads and writes drafts.
type Drafts struct {
	cfg Config
}

// New makes a Drafts. It does no I/O.
func New(cfg Config) *Drafts { return &Drafts{cfg: cfg} }

// Open returns a draft of the staff member, or [ErrNotFound].
func (ds *Drafts) Open(ctx context.Context, staff policy.Subject, id uuid.UUID) (Draft, error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return Draft{}, err
	}
	r, err := read(ctx, ds.cfg.Pool, selectDraft+` WHERE draft_id = $1`, id)
	if err != nil {
		return Draft{}, err
	}
	if r.staff != staff.ID {
		return Draft{}, ErrNotFound
	}
	d, _, err := ds.unseal(r)
	return d, err
}

// Save changes a draft, or makes a new one, and returns the result. If change changes
// nothing, nothing is written. It fails with [*Stale], [ErrNotFound] or [ErrTooLong], and
// then nothing was changed.
func (ds *Drafts) Save(ctx context.Context, staff policy.Subject, id uuid.UUID, seen Seen, change func(*Content)) (d Draft, err error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return Draft{}, err
	}
	err = pgx.BeginFunc(ctx, ds.cfg.Pool, func(tx pgx.Tx) error {
		if seen.Version == 0 {
			if err := ds.begin(ctx, tx, staff, id, seen.Page); err != nil {
				return err
			}
		}
		d, err = ds.save(ctx, tx, staff, id, seen, change)
		return err
	})
	return d, err
}

// begin inserts an empty draft, if it does not exist yet.
func (ds *Drafts) begin(ctx context.Context, tx pgx.Tx, staff policy.Subject, id uuid.UUID, page string) error {
	key, wrapped, err := ds.cfg.Content.NewKey(id)
	if err != nil {
		return err
	}
	empty, err := Content{Key: newSendKey()}.seal(key)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO app.drafts (draft_id, staff_id, version, page, wrapped_key, sealed, sealed_body, saved_at)
		VALUES ($1, $2, 0, $3, $4, $5, $6, $7) ON CONFLICT (draft_id) DO NOTHING`,
		id, staff.ID, page, wrapped, empty.header, empty.body, ds.now())
	if err != nil {
		return fmt.Errorf("beginning a draft: %w", err)
	}
	return nil
}

func (ds *Drafts) save(ctx context.Context, tx pgx.Tx, staff policy.Subject, id uuid.UUID, seen Seen, change func(*Content)) (Draft, error) {
	r, err := read(ctx, tx, selectDraft+` WHERE draft_id = $1 FOR UPDATE`, id)
	if err != nil {
		return Draft{}, err
	}
	if r.staff != staff.ID {
		return Draft{}, ErrNotFound
	}
	d, key, err := ds.unseal(r)
	if err != nil {
		return Draft{}, err
	}
	if d.Version != seen.Version && (r.page != seen.Page || seen.Page == "") {
		return Draft{}, &Stale{Now: d}
	}
	before := d.Content.clone()
	change(&d.Content)
	if d.Version > 0 && d.Content.equal(before) {
		return d, nil
	}
	sealed, err := d.Content.seal(key)
	if err != nil {
		return Draft{}, err
	}
	d.Version, d.SavedAt = d.Version+1, ds.now()
	_, err = tx.Exec(ctx, `UPDATE app.drafts SET version = $2, page = $3, sealed = $4, sealed_body = $5, saved_at = $6 WHERE draft_id = $1`,
		id, d.Version, seen.Page, sealed.header, sealed.body, d.SavedAt)
	if err != nil {
		return Draft{}, fmt.Errorf("saving a draft: %w", err)
	}
	return d, keepUploads(ctx, tx, staff, d)
}

// CopyKey returns the idempotency key with which a copy of a message is sent.
func CopyKey(message uuid.UUID) string { return "copy-" + message.String() }

// CopyOf returns the draft that is the copy of a message. If there is none, it makes one
// with the content that original returns; concurrent calls return the same draft. The caller
// must have checked that staff sent the message. It fails with [ErrErased] if the content
// is erased during the call, and with original's errors.
func (ds *Drafts) CopyOf(ctx context.Context, staff policy.Subject, message uuid.UUID, original func() (Content, error)) (Draft, error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return Draft{}, err
	}
	d, err := ds.copyOf(ctx, staff, message)
	if !errors.Is(err, ErrNotFound) {
		return d, err
	}
	c, err := original()
	if err != nil {
		return Draft{}, err
	}
	c.Key = CopyKey(message)
	// A crash before this commit leaves no draft and does not change the message.
	if err := pgx.BeginFunc(ctx, ds.cfg.Pool, func(tx pgx.Tx) error { return ds.insertCopy(ctx, tx, staff, message, c) }); err != nil {
		return Draft{}, err
	}
	return ds.copyOf(ctx, staff, message)
}

func (ds *Drafts) copyOf(ctx context.Context, staff policy.Subject, message uuid.UUID) (Draft, error) {
	r, err := read(ctx, ds.cfg.Pool, selectDraft+` WHERE copy_of = $1`, message)
	if err != nil {
		return Draft{}, err
	}
	if r.staff != staff.ID {
		return Draft{}, ErrNotFound
	}
	d, _, err := ds.unseal(r)
	return d, err
}

func (ds *Drafts) insertCopy(ctx context.Context, tx pgx.Tx, staff policy.Subject, message uuid.UUID, c Content) error {
	// An erasure deletes this row first, and then the copies. So either the erasure waits for
	// this transaction and deletes its copy, or this waits for the erasure and finds no row.
	tag, err := tx.Exec(ctx, `SELECT FROM app.message_content WHERE message_id = $1 FOR SHARE`, message)
	if err != nil {
		return fmt.Errorf("copying message %s: %w", message, err)
	}
	if tag.RowsAffected() == 0 {
		return ErrErased
	}
	d := Draft{ID: uuid.New(), Version: 1, SavedAt: ds.now(), CopyOf: &message, Content: c}
	key, wrapped, err := ds.cfg.Content.NewKey(d.ID)
	if err != nil {
		return err
	}
	sealed, err := c.seal(key)
	if err != nil {
		return err
	}
	tag, err = tx.Exec(ctx, `
		INSERT INTO app.drafts (draft_id, staff_id, version, page, wrapped_key, sealed, sealed_body, saved_at, copy_of)
		VALUES ($1, $2, $3, '', $4, $5, $6, $7, $8) ON CONFLICT (copy_of) DO NOTHING`,
		d.ID, staff.ID, d.Version, wrapped, sealed.header, sealed.body, d.SavedAt, message)
	if err != nil {
		return fmt.Errorf("copying message %s: %w", message, err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	return keepUploads(ctx, tx, staff, d)
}

// keepUploads marks exactly the uploads that a draft names as its own.
func keepUploads(ctx context.Context, tx pgx.Tx, staff policy.Subject, d Draft) error {
	_, err := tx.Exec(ctx, `
		UPDATE app.attachments SET draft_id = CASE WHEN attachment_id = ANY($2) THEN $1::uuid END
		WHERE draft_id = $1 AND attachment_id <> ALL($2)
		   OR attachment_id = ANY($2) AND staff_id = $3 AND draft_id IS DISTINCT FROM $1`,
		d.ID, append([]uuid.UUID{}, d.AttachmentIDs...), staff.ID) // never nil, which would be NULL
	if err != nil {
		return fmt.Errorf("keeping the uploads of a draft: %w", err)
	}
	return nil
}

// Delete deletes a draft, or returns [ErrNotFound].
func (ds *Drafts) Delete(ctx context.Context, staff policy.Subject, id uuid.UUID) error {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return err
	}
	tag, err := ds.cfg.Pool.Exec(ctx, `DELETE FROM app.drafts WHERE draft_id = $1 AND staff_id = $2`, id, staff.ID)
	if err != nil {
		return fmt.Errorf("deleting a draft: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return nil
}

// Sweep deletes drafts that were last saved more than [Lifetime] ago. It deletes a thousand at
// most; call it every few minutes.
func (ds *Drafts) Sweep(ctx context.Context) error {
	_, err := ds.cfg.Pool.Exec(ctx, `DELETE FROM app.drafts WHERE draft_id IN
		(SELECT draft_id FROM app.drafts WHERE saved_at < $1 ORDER BY saved_at LIMIT 1000 FOR UPDATE SKIP LOCKED)`, ds.now().Add(-Lifetime))
	if err != nil {
		return fmt.Errorf("sweeping drafts: %w", err)
	}
	return nil
}

// now returns the time in microseconds, the precision of Postgres.
func (ds *Drafts) now() time.Time { return ds.cfg.Now().UTC().Truncate(time.Microsecond) }
