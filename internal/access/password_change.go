package access

import (
	"context"
	"errors"
	"fmt"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/limits"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// ownPassword is the SQL, by realm, that reads the password hash of the subject $1, "" for
// none, and the id of the next change of the password.
var ownPassword = map[policy.Realm]string{
	policy.RealmStaff: `SELECT coalesce(password_hash, ''), next_change FROM app.staff_accounts WHERE staff_id = $1`,
	policy.RealmPortalUser: `SELECT password_hash, next_change FROM app.portal_accounts JOIN app.portal_users USING (portal_user_no)
		WHERE portal_user_id = $1`,
}

// provePassword checks the current password, and returns the id of the next change of the
// password. It fails with [passwords.ErrCurrent], or with [TooSoon] as signing in does:
// guessing at an unlocked desk is no faster.
func (g *Gate) provePassword(ctx context.Context, who policy.Subject, password string) (nextChange uuid.UUID, err error) {
	lane := ownLane(who)
	if err := g.countTry(ctx, lane.key); err != nil {
		return uuid.Nil, err
	}
	hash, err := one(ctx, g.pool, passwords.ErrCurrent, func(row pgx.CollectableRow) (hash string, err error) {
		err = row.Scan(&hash, &nextChange)
		return hash, err
	}, ownPassword[who.Realm], who.ID)
	if err != nil && !errors.Is(err, passwords.ErrCurrent) {
		return uuid.Nil, fmt.Errorf("reading a password's hash: %w", err)
	}
	match, _, err := g.passwords.matches(ctx, password, hash)
	if err != nil {
		return uuid.Nil, err
	}
	if !match {
		return uuid.Nil, passwords.ErrCurrent
	}
	return nextChange, g.clearFailures(ctx, lane)
}

// recordPassword publishes the change of a password, and then calls write in a
// transaction.
//
// A crash before the publish changes nothing. A crash after it leaves an event of a change
// that has not taken effect: the person's next try, with the same link or the same current
// password, publishes the same event and takes effect. No password works that is not
// recorded.
func (g *Gate) recordPassword(ctx context.Context, actor string, change events.PasswordSet, write func(pgx.Tx) error) error {
	if _, err := g.publish(ctx, actor, change); err != nil {
		return fmt.Errorf("recording a password: %w", err)
	}
	return g.inTx(ctx, "setting a password", write)
}

// unchanged fails with [passwords.ErrCurrent] unless the query, which locks the account,
// finds it: of two concurrent changes the second fails, because its current password is
// outdated.
func unchanged(ctx context.Context, tx pgx.Tx, query string, args ...any) error {
	tag, err := tx.Exec(ctx, query, args...)
	if err == nil && tag.RowsAffected() != 1 {
		err = passwords.ErrCurrent
	}
	return err
}

// ChangeStaffPassword is [Gate.ChangePortalPassword] for a staff member. It asks for no
// code of a second factor.
func (g *Gate) ChangeStaffPassword(ctx context.Context, who policy.Subject, current, password string) error {
	staff, err := g.StaffByID(ctx, who.ID)
	if err != nil {
		return err
	}
	change, err := g.provePassword(ctx, who, current)
	if errors.Is(err, passwords.ErrCurrent) {
		return errors.Join(err, g.checkPassword(ctx, password, limits.StaffPassword, staff.Name, staff.Email))
	}
	if err != nil {
		return err
	}
	return g.setStaffPassword(ctx, staff, password, events.PasswordSet{Change: change, How: events.ByCurrentPassword}, func(tx pgx.Tx) error {
		return unchanged(ctx, tx, `SELECT FROM app.staff_accounts WHERE staff_id = $1 AND next_change = $2 FOR UPDATE`, staff.ID, change)
	})
}

// setStaffPassword is setPortalPassword for a staff member, who is the actor.
func (g *Gate) setStaffPassword(ctx context.Context, staff Staff, password string, change events.PasswordSet, entitled func(pgx.Tx) error) error {
	if err := g.checkPassword(ctx, password, limits.StaffPassword, staff.Name, staff.Email); err != nil {
		return err
	}
	hash, err := g.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	change.Account, change.ID = string(policy.RealmStaff), staff.ID
	actor := policy.Subject{Realm: policy.RealmStaff, ID: staff.ID}.Actor()
	err = g.recordPassword(ctx, actor, change, func(tx pgx.Tx) error {
		if err := entitled(tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE app.staff_accounts SET password_hash = $2, setup = 'complete', next_change = gen_random_uuid() WHERE staff_id = $1`, staff.ID, hash)
		if err != nil {
			return err
		}
		return endSessions(ctx, tx, policy.RealmStaff, staff.ID)
	})
	if err != nil {
		return err
	}
	return g.clearFailures(ctx, g.laneOf(ctx, policy.RealmStaff, staff.Email))
}
