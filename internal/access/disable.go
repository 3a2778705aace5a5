package access

import (
	"context"
	"fmt"
	"slices"

	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

var (
	// ErrDisableSelf says that staff can't disable their own account.
	ErrDisableSelf = problem.OwnAccount.New("you can't disable yourself: ask another administrator to do it")
	// ErrDisabled says that the account of a staff member is disabled.
	ErrDisabled = problem.StaffDisabled.New("this staff member is disabled: enable them first")
)

// Disable disables the account of a staff member: their sessions, API tokens, links and
// password stop working. Their messages and permissions stay as they are. The event
// names actor. Disabling a disabled account publishes no event. It fails with
// [ErrNoStaff], with [ErrDisableSelf], or with [ErrLastAdministrator] for the last staff
// member who may manage staff.
func (g *Gate) Disable(ctx context.Context, actor, staffID string) error {
	if actor == (policy.Subject{Realm: policy.RealmStaff, ID: staffID}).Actor() {
		return ErrDisableSelf
	}
	return g.alone(ctx, func(q querier, held func(context.Context) error) error {
		staff, err := staffByID(ctx, q, staffID)
		if err != nil {
			return err
		}
		if staff.DisabledAt == nil {
			if err := keepAnAdministrator(ctx, q, staffID, staff.Permissions); err != nil {
				return err
			}
			if err := held(ctx); err != nil {
				return err
			}
			tokens, err := g.revocations(ctx, q, staffID)
			if err != nil {
				return err
			}
			disabled := events.StaffEnabledChanged{Disabled: true, Change: uuid.New(), StaffID: staffID}
			if err := g.recordFacts(ctx, actor, append([]events.Body{disabled}, tokens...)...); err != nil {
				return err
			}
		}
		// A crash here leaves sessions of a disabled account: they are refused, and Enable
		// ends them.
		return g.endAccess(ctx, staffID)
	})
}

// Enable enables the account of a staff member again, with the same password and
// permissions. Earlier sessions and API tokens stay ended. The event names actor.
// Enabling an enabled account publishes no event. It fails with [ErrNoStaff].
func (g *Gate) Enable(ctx context.Context, actor, staffID string) error {
	return g.alone(ctx, func(q querier, held func(context.Context) error) error {
		staff, err := staffByID(ctx, q, staffID)
		if err != nil || staff.DisabledAt == nil {
			return err
		}
		if err := g.endAccess(ctx, staffID); err != nil {
			return err
		}
		// A token that was created while Disable ran.
		tokens, err := g.revocations(ctx, q, staffID)
		if err != nil {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		return g.recordFacts(ctx, actor, append(tokens, events.StaffEnabledChanged{Change: uuid.New(), StaffID: staffID})...)
	})
}

// recordFacts publishes facts as one batch, all or none, and returns once they can be
// read. A crash before the publish changes nothing; after it, the facts are recorded.
func (g *Gate) recordFacts(ctx context.Context, actor string, facts ...events.Body) error {
	seq, err := g.publish(ctx, actor, facts...)
	if err != nil {
		return fmt.Errorf("recording %s: %w", facts[0].EventType(), err)
	}
	return g.cfg.Facts.Wait(ctx, seq)
}

// endAccess ends every session and unused link of a staff member, and deletes the hashes of API
// tokens that the record does not have.
func (g *Gate) endAccess(ctx context.Context, staffID string) error {
	return g.inTx(ctx, "ending sessions and tokens", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM app.staff_tokens t WHERE staff_id = $1 AND NOT EXISTS (SELECT FROM record.tokens r WHERE r.token_id = t.token_id)`, staffID); err != nil {
			return err
		}
		if err := dropStaffLinks(ctx, tx, staffID); err != nil {
			return err
		}
		return endSessions(ctx, tx, policy.RealmStaff, staffID)
	})
}

// Enabled returns the staff whose accounts are not disabled.
func Enabled(all []Staff) []Staff {
	return slices.DeleteFunc(slices.Clone(all), func(s Staff) bool { return s.DisabledAt != nil })
}
