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
	// ErrLastAdministrator says that a change would leave no staff member who may manage
	// staff.
	ErrLastAdministrator = problem.LastAdministrator.New("this is the last staff member with manage_staff: give it to another staff member first")
	// ErrPermissionsChanged says that another staff member changed the permissions since
	// they were read.
	ErrPermissionsChanged = errors.New("someone else has changed these permissions since you opened the page: check them and try again")
)

// Permit gives a staff member permissions and returns once the events can be read. The
// events name actor. Permissions that the staff member already has publish no event. Those
// that take two people are requested if the actor is a staff member, and given by
// [Gate.ApproveGrant]; an operator gives them at once.
func (g *Gate) Permit(ctx context.Context, actor, staffID string, permissions ...policy.Permission) error {
	return g.changePermissions(ctx, actor, staffID, func(held []policy.Permission) ([]policy.Permission, error) {
		return slices.Concat(held, permissions), nil
	})
}

// Forbid takes permissions from a staff member, as [Gate.Permit] gives them. It fails with
// [ErrLastAdministrator] rather than take manage_staff from the last who has it.
func (g *Gate) Forbid(ctx context.Context, actor, staffID string, permissions ...policy.Permission) error {
	return g.changePermissions(ctx, actor, staffID, func(held []policy.Permission) ([]policy.Permission, error) {
		return without(held, permissions), nil
	})
}

// SetPermissions replaces the permissions of a staff member. The events of all given and
// taken permissions are published as one batch. See [Gate.Permit] and [Gate.Forbid].
func (g *Gate) SetPermissions(ctx context.Context, actor, staffID string, permissions ...policy.Permission) error {
	return g.changePermissions(ctx, actor, staffID, func([]policy.Permission) ([]policy.Permission, error) {
		return permissions, nil
	})
}

// SetPermissionsIfUnchanged is [Gate.SetPermissions] for an actor whose form showed the permissions seen.
// If the staff member no longer holds exactly those, it changes nothing and fails with
// [ErrPermissionsChanged]: a form that was open for a long time does not undo a newer
// change.
func (g *Gate) SetPermissionsIfUnchanged(ctx context.Context, actor, staffID string, seen, permissions []policy.Permission) error {
	return g.changePermissions(ctx, actor, staffID, func(held []policy.Permission) ([]policy.Permission, error) {
		if len(without(held, seen))+len(without(seen, held)) > 0 {
			return nil, ErrPermissionsChanged
		}
		return permissions, nil
	})
}

// changePermissions replaces the permissions of a staff member with the result of change,
// which gets the current ones, and publishes the difference as one batch.
func (g *Gate) changePermissions(ctx context.Context, actor, staffID string, change func(current []policy.Permission) ([]policy.Permission, error)) error {
	return g.alone(ctx, func(q querier, held func(context.Context) error) error {
		staff, err := staffByID(ctx, q, staffID)
		if err != nil {
			return err
		}
		next, err := change(staff.Permissions)
		if err != nil {
			return err
		}
		granted, revoked := without(next, staff.Permissions), without(staff.Permissions, next)
		for _, p := range granted {
			if _, err := policy.ParsePermission(string(p)); err != nil {
				return err
			}
		}
		if err := keepAnAdministrator(ctx, q, staffID, revoked); err != nil {
			return err
		}
		requested := slices.Clone(granted)
		requested = slices.DeleteFunc(requested, func(p policy.Permission) bool { return alonePermits(actor, p) })
		open, err := g.openGrantsOf(ctx, q, staffID)
		if err != nil {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		change := uuid.New()
		return g.recordChange(ctx, actor, change, staffID, without(granted, requested), revoked,
			g.requestsOf(open, change, staffID, events.BecauseAsked, requested))
	})
}

// recordChange publishes the granted, the revoked and the requested permissions as one batch.
func (g *Gate) recordChange(ctx context.Context, actor string, change uuid.UUID, staffID string, granted, revoked []policy.Permission, requests []events.Body) error {
	var bodies []events.Body
	for _, p := range granted {
		bodies = append(bodies, events.PermissionChanged{Granted: true, Change: change, StaffID: staffID, Permission: string(p)})
	}
	for _, p := range revoked {
		bodies = append(bodies, events.PermissionChanged{Granted: false, Change: change, StaffID: staffID, Permission: string(p)})
	}
	if bodies = append(bodies, requests...); len(bodies) == 0 {
		return nil
	}
	return g.recordFacts(ctx, actor, bodies...)
}

// keepAnAdministrator refuses to take manage_staff from the last enabled staff member who
// has it.
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

// alone runs do under a lease, so that no other process changes permissions or disables
// staff at the same time. Without it, two administrators could take each other's
// manage_staff at once, because each check still sees the other administrator.
//
// do must call held before it publishes: nil means that the lease still holds.
func (g *Gate) alone(ctx context.Context, do func(q querier, held func(context.Context) error) error) error {
	return store.Alone(ctx, g.pool, store.LeasePermissions, func(conn *pgxpool.Conn, held func(context.Context) error) error { return do(conn, held) })
}

// without returns the permissions in all that are not in some, sorted, each once.
func without(all, some []policy.Permission) []policy.Permission {
	left := slices.Clone(all)
	slices.Sort(left)
	return slices.DeleteFunc(slices.Compact(left), func(p policy.Permission) bool { return slices.Contains(some, p) })
}
