package access

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/store"
)

var (
	// ErrLastAdministrator says that a change would leave nobody who may manage staff.
	ErrLastAdministrator = problem.LastAdministrator.New("this is the last staff member with manage_staff: give it to somebody else first")
	// ErrPermissionsChanged says that somebody else changed them meanwhile.
	ErrPermissionsChanged = errors.New("somebody else has changed these permissions meanwhile: look at them again")
)

// Permit gives a staff member permissions, on the word of actor, and returns
// once the record says so. Those that they hold already are no news.
func (g *Gate) Permit(ctx context.Context, actor, staffID string, permissions ...policy.Permission) error {
	return g.changePermissions(ctx, actor, staffID, func(held []policy.Permission) ([]policy.Permission, error) {
		return slices.Concat(held, permissions), nil
	})
}

// Forbid takes permissions from a staff member, likewise. The last who may
// manage staff keeps that: [ErrLastAdministrator].
func (g *Gate) Forbid(ctx context.Context, actor, staffID string, permissions ...policy.Permission) error {
	return g.changePermissions(ctx, actor, staffID, func(held []policy.Permission) ([]policy.Permission, error) {
		return without(held, permissions), nil
	})
}

// SetPermissions makes permissions the ones that a staff member holds, likewise.
// What is given and what is taken goes on the record together.
func (g *Gate) SetPermissions(ctx context.Context, actor, staffID string, permissions ...policy.Permission) error {
	return g.changePermissions(ctx, actor, staffID, func([]policy.Permission) ([]policy.Permission, error) {
		return permissions, nil
	})
}

// Reconsider is [Gate.SetPermissions] on the word of somebody who saw the staff
// member hold seen. Where that is so no more, it changes nothing and fails with
// [ErrPermissionsChanged]: a form that was open for long undoes nothing unseen.
func (g *Gate) Reconsider(ctx context.Context, actor, staffID string, seen, permissions []policy.Permission) error {
	return g.changePermissions(ctx, actor, staffID, func(held []policy.Permission) ([]policy.Permission, error) {
		if len(without(held, seen))+len(without(seen, held)) > 0 {
			return nil, ErrPermissionsChanged
		}
		return permissions, nil
	})
}

// changePermissions makes the permissions of a staff member what want makes of
// those held, and publishes the difference as one batch.
func (g *Gate) changePermissions(ctx context.Context, actor, staffID string, want func(held []policy.Permission) ([]policy.Permission, error)) error {
	return g.alone(ctx, func(q querier, held func(context.Context) error) error {
		staff, err := staffByID(ctx, q, staffID)
		if err != nil {
			return err
		}
		wanted, err := want(staff.Permissions)
		if err != nil {
			return err
		}
		granted, revoked := without(wanted, staff.Permissions), without(staff.Permissions, wanted)
		for _, p := range granted {
			if _, err := policy.ParsePermission(string(p)); err != nil {
				return err
			}
		}
		if err := keepAnAdministrator(ctx, q, staffID, revoked); err != nil {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		return g.recordChange(ctx, actor, staffID, granted, revoked)
	})
}

// recordChange puts what is given and what is taken on the record together.
func (g *Gate) recordChange(ctx context.Context, actor, staffID string, granted, revoked []policy.Permission) error {
	change := uuid.New()
	var bodies []events.Body
	for _, p := range granted {
		bodies = append(bodies, events.PermissionChanged{Granted: true, Change: change, StaffID: staffID, Permission: string(p)})
	}
	for _, p := range revoked {
		bodies = append(bodies, events.PermissionChanged{Granted: false, Change: change, StaffID: staffID, Permission: string(p)})
	}
	if len(bodies) == 0 {
		return nil
	}
	return g.recordFacts(ctx, actor, bodies...)
}

// keepAnAdministrator refuses to take manage_staff from the last who has it and may
// come in.
func keepAnAdministrator(ctx context.Context, q querier, staffID string, revoked []policy.Permission) error {
	if !slices.Contains(revoked, policy.ManageStaff) {
		return nil
	}
	_, err := one(ctx, q, ErrLastAdministrator, pgx.RowTo[int], `
		SELECT 1 FROM record.staff_permissions p JOIN app.staff_accounts a USING (staff_id) JOIN record.staff s USING (staff_id)
		WHERE p.permission = $1 AND p.staff_id <> $2 AND s.disabled_at IS NULL LIMIT 1`, string(policy.ManageStaff), staffID)
	if err != nil && !errors.Is(err, ErrLastAdministrator) {
		err = fmt.Errorf("looking for another administrator: %w", err)
	}
	return err
}

// alone does something while nobody else, in any process, changes permissions or
// disables staff: two administrators who take each other's at once would both still
// see the other.
//
// Before it publishes, do calls held: nil says that the lease still holds.
func (g *Gate) alone(ctx context.Context, do func(q querier, held func(context.Context) error) error) error {
	return store.Alone(ctx, g.pool, store.LeasePermissions, func(conn *pgxpool.Conn, held func(context.Context) error) error { return do(conn, held) })
}

// without returns what is in all but not in some, each once.
func without(all, some []policy.Permission) []policy.Permission {
	left := slices.Clone(all)
	slices.Sort(left)
	return slices.DeleteFunc(slices.Compact(left), func(p policy.Permission) bool { return slices.Contains(some, p) })
}
