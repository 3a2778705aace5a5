package access

import (
	"context"
	"errors"
	"fmt"

	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// ErrOwnAddress says that staff can't change the e-mail address of their own account: at
// an unlocked desk, a stranger could then take the account over.
var ErrOwnAddress = problem.OwnAccount.New("you can't change your own e-mail address: ask another administrator, or use `postern staff change`")

// StaffChange is a change of a staff account. A nil field stays as it is.
type StaffChange struct{ Name, Email *string }

// ChangeStaff changes the name or the e-mail address of a staff member and returns once
// the event can be read. The event names actor. A changed address ends their sessions and
// their unused links, and makes no first link to the organisation for a while; a link that
// there is stays. If the actor is a staff member, the permissions that take two people are
// requested again. ChangeStaff then returns the former one, which should be told (see
// package letter), and "" otherwise. Without a difference it publishes no event. It fails
// with [ErrNoStaff], [ErrOwnAddress] or [ErrStaffExists], and with [ErrName] and
// [ErrEmail], joined where both are wrong.
func (g *Gate) ChangeStaff(ctx context.Context, actor, staffID string, c StaffChange) (former string, err error) {
	err = g.alone(ctx, func(q querier, held func(context.Context) error) error {
		staff, err := staffByID(ctx, q, staffID)
		if err != nil {
			return err
		}
		next, err := c.of(staff)
		if err != nil {
			return err
		}
		fact := events.StaffChanged{Change: uuid.New(), StaffID: staff.ID, Name: next.Name,
			NameChanged: next.Name != staff.Name, AddressChanged: next.Email != staff.Email}
		if fact.AddressChanged {
			if err := mayChangeAddress(ctx, q, actor, staff, next.Email); err != nil {
				return err
			}
		}
		if !fact.NameChanged && !fact.AddressChanged {
			return nil
		}
		facts := []events.Body{fact}
		if fact.AddressChanged {
			again, err := g.requestedAgain(ctx, q, actor, staff, events.BecauseAddressChanged)
			if err != nil {
				return err
			}
			facts = append(facts, again...)
		}
		if err := held(ctx); err != nil {
			return err
		}
		if err := g.recordFacts(ctx, actor, facts...); err != nil || !fact.AddressChanged {
			return err
		}
		// A crash here leaves an event of a changed address, and the former address in use:
		// an administrator sees it and changes it again.
		former = staff.Email
		return g.inTx(ctx, "changing an e-mail address", func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE app.staff_accounts SET email = $2, email_version = email_version + 1, email_changed_at = $3 WHERE staff_id = $1`, staff.ID, next.Email, g.cfg.Facts.Now()); err != nil {
				return err
			}
			// Links of the former version no longer work.
			return endSessions(ctx, tx, policy.RealmStaff, staff.ID)
		})
	})
	if err != nil {
		return "", err
	}
	return former, nil
}

// of returns a staff member with the change.
func (c StaffChange) of(staff Staff) (Staff, error) {
	var wrong []error
	var err error
	if c.Name != nil {
		if staff.Name, err = cleanStaffName(*c.Name); err != nil {
			wrong = append(wrong, err)
		}
	}
	if c.Email != nil {
		if staff.Email, err = cleanStaffEmail(*c.Email); err != nil {
			wrong = append(wrong, err)
		}
	}
	return staff, errors.Join(wrong...)
}

// mayChangeAddress refuses one's own address, and one that another account has.
func mayChangeAddress(ctx context.Context, q querier, actor string, staff Staff, email string) error {
	if actor == staff.subject().Actor() {
		return ErrOwnAddress
	}
	errFree := errors.New("no account has the address")
	_, err := one(ctx, q, errFree, pgx.RowTo[string], `SELECT staff_id FROM app.staff_accounts WHERE lower(email) = lower($1) AND staff_id <> $2`, email, staff.ID)
	switch {
	case errors.Is(err, errFree):
		return nil
	case err != nil:
		return fmt.Errorf("looking for an account with the address: %w", err)
	}
	return ErrStaffExists
}
