package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/events"
	"postern/internal/store"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// An address of an account that has changed is unconfirmed for a day, or until a person confirms
// it: no link to set a password goes to it. A trigger of app.portal_users notes each change, and
// app.unconfirmed_until says until when; see ADR 72.

var (
	// ErrUnconfirmed says that the e-mail address of an account changed less than a day ago, and
	// that no one confirmed it.
	ErrUnconfirmed = errors.New("the e-mail address of this account changed less than a day ago: " +
		"confirm with the person that it is theirs, or wait, before a link to set a password goes to it")
	// ErrOtherAddress says that the address changed again since the caller read its version.
	ErrOtherAddress = errors.New("the e-mail address has changed again: look at it, and check with the person once more")
)

// unconfirmed reports whether no link may be sent to the address yet.
func (u portalUser) unconfirmed(now time.Time) bool { return u.confirmedFrom.After(now) }

// ConfirmAddress records that actor checked with a portal user that a version of their e-mail
// address is theirs. Links to set a password then go to it at once. The event names actor. If the
// address is confirmed already, it publishes no event. It fails with [ErrNoPortalUser],
// [ErrInactive], or [ErrOtherAddress].
func (g *Gate) ConfirmAddress(ctx context.Context, actor, portalUserID string, version int) error {
	u, err := g.portalUserByID(ctx, portalUserID)
	switch {
	case err != nil:
		return err
	case u.version != version:
		return ErrOtherAddress
	case !u.unconfirmed(g.cfg.Facts.Now()):
		return nil
	}
	return g.recordFacts(ctx, actor, events.AddressConfirmed{Change: uuid.New(), PortalUserID: u.id, PortalUserNo: u.no, AddressVersion: version})
}

// WithAddressChanges calls do if changes of addresses are to be recorded, or notices are due, while
// no other process does so. If another does, its error wraps [store.ErrLeaseTaken]. Before each
// effect, do must call held, which returns an error if this process hung and another took over.
func (g *Gate) WithAddressChanges(ctx context.Context, do func(held func(context.Context) error) error) error {
	var any bool
	err := g.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM app.address_changes WHERE recorded_at IS NULL)
		OR EXISTS (SELECT FROM app.address_changes WHERE notice = 'waiting' AND due_at <= $1)`, g.cfg.Facts.Now()).Scan(&any)
	if err != nil {
		return fmt.Errorf("looking for changed addresses: %w", err)
	}
	if !any {
		return nil
	}
	return store.TryAlone(ctx, g.pool, store.LeaseAddresses, func(_ *pgxpool.Conn, held func(context.Context) error) error { return do(held) })
}

// recordedTogether is how many changes of addresses are published as one batch.
const recordedTogether = 100

// RecordAddressChanges publishes the changes of addresses that are not on the record yet, and
// reports whether there may be more. A crash between the publish and the update publishes them
// again, as the same events.
func (g *Gate) RecordAddressChanges(ctx context.Context) (more bool, err error) {
	rows, err := g.pool.Query(ctx, `
		SELECT c.change_id, c.changed_by, c.changed_at, u.portal_user_id FROM app.address_changes c JOIN app.portal_users u USING (portal_user_no)
		WHERE c.recorded_at IS NULL ORDER BY c.changed_at, c.change_id LIMIT $1`, recordedTogether)
	if err != nil {
		return false, fmt.Errorf("reading changed addresses: %w", err)
	}
	type change struct {
		ID           uuid.UUID
		By           string
		At           time.Time
		PortalUserID string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[change])
	if err != nil {
		return false, fmt.Errorf("reading changed addresses: %w", err)
	}
	batch, ids := make([]events.Event, len(all)), make([]uuid.UUID, len(all))
	for i, c := range all {
		if batch[i], err = g.cfg.Facts.Event(ctx, c.By, c.At, events.AddressChanged{Change: c.ID, PortalUserID: c.PortalUserID}); err != nil {
			return false, err
		}
		ids[i] = c.ID
	}
	if len(batch) == 0 {
		return false, nil
	}
	if _, err := g.cfg.Facts.Send(ctx, batch...); err != nil {
		return false, fmt.Errorf("recording changed addresses: %w", err)
	}
	if _, err := g.pool.Exec(ctx, `UPDATE app.address_changes SET recorded_at = $2 WHERE change_id = ANY($1)`, ids, g.cfg.Facts.Now()); err != nil {
		return false, fmt.Errorf("noting that changed addresses are recorded: %w", err)
	}
	return len(batch) == recordedTogether, nil
}

// A Notice is a former address of an account, which is to be told of the change.
type Notice struct {
	Change       uuid.UUID
	PortalUserID string
	Former       string
	Tries        int
	changedAt    time.Time
}

// noticeLifetime is how long a former address is tried. After that it is of no use: links go to
// the new address since two days.
const noticeLifetime = 3 * 24 * time.Hour

// DueNotices returns notices that are due, at most most of them, the oldest first. Only one
// process may send them at a time.
func (g *Gate) DueNotices(ctx context.Context, most int) ([]Notice, error) {
	rows, err := g.pool.Query(ctx, `
		SELECT c.change_id, u.portal_user_id, c.former, c.tries, c.changed_at FROM app.address_changes c JOIN app.portal_users u USING (portal_user_no)
		WHERE c.notice = 'waiting' AND c.due_at <= $1 ORDER BY c.due_at LIMIT $2`, g.cfg.Facts.Now(), most)
	if err != nil {
		return nil, fmt.Errorf("reading notices of changed addresses: %w", err)
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n Notice, err error) {
		return n, row.Scan(&n.Change, &n.PortalUserID, &n.Former, &n.Tries, &n.changedAt)
	})
	if err != nil {
		return nil, fmt.Errorf("reading notices of changed addresses: %w", err)
	}
	return due, nil
}

// NoticeSent stores that the e-mail service accepted a notice. A crash before it sends the notice
// again.
func (g *Gate) NoticeSent(ctx context.Context, n Notice) error {
	return g.endNotice(ctx, n, "sent")
}

// NoticeFailed stores that a notice was not accepted, and is tried again after at least pause. It
// reports whether the notice is given up instead, because it is too old.
func (g *Gate) NoticeFailed(ctx context.Context, n Notice, pause time.Duration) (givenUp bool, err error) {
	if due := g.cfg.Facts.Now().Add(pause); due.Before(n.changedAt.Add(noticeLifetime)) {
		_, err := g.pool.Exec(ctx, `UPDATE app.address_changes SET tries = tries + 1, due_at = $2 WHERE change_id = $1 AND notice = 'waiting'`, n.Change, due)
		if err != nil {
			return false, fmt.Errorf("putting a notice off: %w", err)
		}
		return false, nil
	}
	return true, g.endNotice(ctx, n, "given_up")
}

func (g *Gate) endNotice(ctx context.Context, n Notice, state string) error {
	_, err := g.pool.Exec(ctx, `UPDATE app.address_changes SET notice = $2, former = '' WHERE change_id = $1 AND notice = 'waiting'`, n.Change, state)
	if err != nil {
		return fmt.Errorf("ending a notice: %w", err)
	}
	return nil
}
