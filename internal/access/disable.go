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
	// ErrDisableSelf says that nobody disables themselves.
	ErrDisableSelf = problem.OwnAccount.New("you can't disable yourself: ask another who manages staff")
	// ErrDisabled says that a staff member may not come in.
	ErrDisabled = problem.StaffDisabled.New("this staff member is disabled: enable them first")
)

// Disable keeps a staff member out from now on, on the word of actor: no session, no
// API token and no password of theirs opens anything. What they have sent and what
// they may do stays as it is. Who is disabled already is no news. It fails with
// [ErrNoStaff], [ErrDisableSelf] or, for the last who may manage staff,
// [ErrLastAdministrator].
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
			if err := g.recordFacts(ctx, actor, events.StaffSwitched{Disabled: true, Change: uuid.New(), StaffID: staffID}); err != nil {
				return err
			}
		}
		// A crash here leaves sessions and tokens that open nothing; Enable ends them.
		return g.shutOut(ctx, staffID)
	})
}

// Enable lets a staff member in again, on the word of actor, by their password and
// with the permissions that they had. The sessions and API tokens from before stay
// ended. Who is not disabled is no news. It fails with [ErrNoStaff].
func (g *Gate) Enable(ctx context.Context, actor, staffID string) error {
	return g.alone(ctx, func(q querier, held func(context.Context) error) error {
		staff, err := staffByID(ctx, q, staffID)
		if err != nil || staff.DisabledAt == nil {
			return err
		}
		if err := g.shutOut(ctx, staffID); err != nil {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		return g.recordFacts(ctx, actor, events.StaffSwitched{Change: uuid.New(), StaffID: staffID})
	})
}

// recordFacts puts facts on the record, all or none, and returns once they can be read.
// A crash before the publish leaves all as it was; after it, they stand.
func (g *Gate) recordFacts(ctx context.Context, actor string, facts ...events.Body) error {
	seq, err := g.publish(ctx, actor, facts...)
	if err != nil {
		return fmt.Errorf("recording %s: %w", facts[0].EventType(), err)
	}
	return g.cfg.Facts.Wait(ctx, seq)
}

// shutOut ends every session and API token of a staff member.
func (g *Gate) shutOut(ctx context.Context, staffID string) error {
	return g.inTx(ctx, "ending sessions and tokens", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM app.staff_tokens WHERE staff_id = $1`, staffID); err != nil {
			return err
		}
		return endSessions(ctx, tx, policy.RealmStaff, staffID)
	})
}

// Enabled leaves out who may not come in.
func Enabled(all []Staff) []Staff {
	return slices.DeleteFunc(slices.Clone(all), func(s Staff) bool { return s.DisabledAt != nil })
}
