package access

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/access/twopeople"
	"postern/internal/events"
	"postern/internal/problem"
)

// A permission that takes two people (see [policy.Grant]) is given in two steps: an
// administrator requests it, and a second one approves. An operator at the command line gives
// it at once, and counts as the second person of a request.

// grantLifetime is how long a request can be approved.
const grantLifetime = 30 * 24 * time.Hour

var (
	// ErrNoGrant says that a request for a permission does not exist.
	ErrNoGrant = problem.NotFound.New("there is no such request for a permission")
	// ErrGrantSettled says that a request can't be approved or withdrawn any more.
	ErrGrantSettled = problem.GrantSettled.New("this request was settled before, or has expired: if the permission is needed, request it again")
)

// A GrantRequest is a request to give a staff member a permission.
type GrantRequest struct {
	ID          uuid.UUID
	Seq         uint64 // of the event with the request
	StaffID     string
	StaffName   string
	Permission  policy.Permission
	Because     events.GrantBecause
	State       GrantState
	RequestedBy string // actors, as events name them
	RequestedAt time.Time
	ExpiresAt   time.Time
	SettledBy   *string
	SettledAt   *time.Time
}

// GrantState is the state of a request for a permission.
type GrantState string

// The states. GrantExpired is a request that no one settled in time: the table has it as
// requested. A request ends with the account of the person whom it is for, or who made it.
const (
	GrantRequested       GrantState = "requested"
	GrantApproved        GrantState = "approved"
	GrantWithdrawn       GrantState = "withdrawn"
	GrantExpired         GrantState = "expired"
	GrantAccountDisabled GrantState = "account_disabled"
)

// selectGrants reads requests. $1 is the present.
const selectGrants = `
	SELECT g.request_id, g.seq, g.staff_id, s.name, g.permission, g.because,
	       CASE WHEN g.state = 'requested' AND g.expires_at <= $1 THEN 'expired' ELSE g.state END,
	       g.requested_by, g.requested_at, g.expires_at, g.settled_by, g.settled_at
	FROM record.grants g JOIN record.staff s USING (staff_id) `

func (g *Gate) grants(ctx context.Context, q querier, where string, args ...any) ([]GrantRequest, error) {
	rows, err := q.Query(ctx, selectGrants+where, append([]any{g.cfg.Facts.Now()}, args...)...)
	if err == nil {
		var found []GrantRequest
		if found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[GrantRequest]); err == nil {
			return found, nil
		}
	}
	return nil, fmt.Errorf("reading requests for permissions: %w", err)
}

// ListGrants returns up to limit requests that were made before the event with the sequence
// before, the newest first; 0 means from the newest.
func (g *Gate) ListGrants(ctx context.Context, before uint64, limit int) ([]GrantRequest, error) {
	return g.grants(ctx, g.pool, `WHERE $2::bigint = 0 OR g.seq < $2 ORDER BY g.seq DESC LIMIT $3`, int64(before), limit) // #nosec G115 -- a sequence
}

// openGrant is the condition of a request that can be approved.
const openGrant = `g.state = 'requested' AND g.expires_at > $1`

// OpenGrants returns the requests that wait for a second person, the oldest first.
func (g *Gate) OpenGrants(ctx context.Context) ([]GrantRequest, error) {
	return g.grants(ctx, g.pool, `WHERE `+openGrant+` ORDER BY g.seq`)
}

// OpenGrantsOf is [Gate.OpenGrants] for one staff member.
func (g *Gate) OpenGrantsOf(ctx context.Context, staffID string) ([]GrantRequest, error) {
	return g.openGrantsOf(ctx, g.pool, staffID)
}

func (g *Gate) openGrantsOf(ctx context.Context, q querier, staffID string) ([]GrantRequest, error) {
	return g.grants(ctx, q, `WHERE `+openGrant+` AND g.staff_id = $2 ORDER BY g.seq`, staffID)
}

// GrantByID returns one request, or [ErrNoGrant].
func (g *Gate) GrantByID(ctx context.Context, id uuid.UUID) (GrantRequest, error) {
	return g.grantByID(ctx, g.pool, id)
}

func (g *Gate) grantByID(ctx context.Context, q querier, id uuid.UUID) (GrantRequest, error) {
	found, err := g.grants(ctx, q, `WHERE g.request_id = $2`, id)
	if err == nil && len(found) == 0 {
		err = ErrNoGrant
	}
	if err != nil {
		return GrantRequest{}, err
	}
	return found[0], nil
}

// ApproveGrant gives the permission that was requested, and returns once the event can be read.
// The event names the actor and who made the request. It fails with [ErrNoGrant],
// [ErrGrantSettled], or a [twopeople.NotTwo] if the actor and that person don't count as two,
// or the permission is for the actor.
func (g *Gate) ApproveGrant(ctx context.Context, actor string, id uuid.UUID) (request GrantRequest, err error) {
	err = g.settleGrant(ctx, actor, id, GrantApproved, func(q querier, r GrantRequest) (events.Body, error) {
		act := twopeople.Act{Permission: policy.ManageStaff, First: r.RequestedBy, Second: actor, For: r.StaffID}
		// Approvals by two people are two events: the first that counts gives the permission.
		return events.PermissionChanged{Granted: true, Change: uuid.NewSHA1(r.ID, []byte(actor)), StaffID: r.StaffID, Permission: string(r.Permission),
			Request: &r.ID, RequestedBy: r.RequestedBy}, g.TwoPeople().Check(ctx, q, g.cfg.Facts.Now(), act)
	})
	if err != nil {
		return GrantRequest{}, err
	}
	return g.GrantByID(ctx, id)
}

// WithdrawGrant withdraws a request, or rejects that of another person. It fails with
// [ErrNoGrant] or [ErrGrantSettled].
func (g *Gate) WithdrawGrant(ctx context.Context, actor string, id uuid.UUID) (request GrantRequest, err error) {
	err = g.settleGrant(ctx, actor, id, GrantWithdrawn, func(_ querier, r GrantRequest) (events.Body, error) {
		return events.GrantWithdrawn{Request: r.ID, StaffID: r.StaffID, Permission: string(r.Permission)}, nil
	})
	if err != nil {
		return GrantRequest{}, err
	}
	return g.GrantByID(ctx, id)
}

// settleGrant publishes the event that settles a request. A crash before the publish leaves the
// request open; after it, the request is settled.
func (g *Gate) settleGrant(ctx context.Context, actor string, id uuid.UUID, to GrantState, settle func(querier, GrantRequest) (events.Body, error)) error {
	return g.alone(ctx, func(q querier, held func(context.Context) error) error {
		r, err := g.grantByID(ctx, q, id)
		if err != nil {
			return err
		}
		if r.State != GrantRequested {
			return ErrGrantSettled
		}
		fact, err := settle(q, r)
		if err != nil {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		if err := g.recordFacts(ctx, actor, fact); err != nil {
			return err
		}
		// What the record says counts, also where another event came first.
		if r, err = g.grantByID(ctx, q, id); err == nil && (r.State != to || *r.SettledBy != actor) {
			err = ErrGrantSettled
		}
		return err
	})
}

// TwoPeople is the rule by which two staff members of the clinic count as two people.
func (g *Gate) TwoPeople() twopeople.Rule {
	return twopeople.Rule{Age: g.cfg.TwoPersonAge, Factor: g.cfg.FactorRequired}
}

// alonePermits reports whether the actor alone can give a permission.
func alonePermits(actor string, p policy.Permission) bool {
	return !p.TwoPeople() || !strings.HasPrefix(actor, string(policy.RealmStaff)+":")
}

// requestsOf returns the events that request those of the permissions for which no request is
// open. change tells this change from the next.
func (g *Gate) requestsOf(open []GrantRequest, change uuid.UUID, staffID string, because events.GrantBecause, permissions []policy.Permission) (bodies []events.Body) {
	for _, p := range permissions {
		if slices.ContainsFunc(open, func(r GrantRequest) bool { return r.Permission == p }) {
			continue
		}
		bodies = append(bodies, events.GrantRequested{Request: uuid.NewSHA1(change, []byte(p)), StaffID: staffID, Permission: string(p),
			Because: because, ExpiresAt: g.cfg.Facts.Time().Add(grantLifetime)})
	}
	return bodies
}

// requestedAgain returns the events that take the permissions that take two people from a staff
// member, and request them again: an administrator who changes how an account signs in may be
// able to sign in as its owner, and must not read or erase by that alone. It returns none for
// an operator.
func (g *Gate) requestedAgain(ctx context.Context, q querier, actor string, staff Staff, because events.GrantBecause) (bodies []events.Body, err error) {
	var taken []policy.Permission
	change := uuid.New()
	for _, p := range staff.Permissions {
		if !alonePermits(actor, p) {
			taken = append(taken, p)
			bodies = append(bodies, events.PermissionChanged{Change: change, StaffID: staff.ID, Permission: string(p)})
		}
	}
	if len(taken) == 0 {
		return nil, nil
	}
	open, err := g.openGrantsOf(ctx, q, staff.ID)
	return append(bodies, g.requestsOf(open, change, staff.ID, because, taken)...), err
}

// requestAgain records [Gate.requestedAgain] before the second factor of a staff member is
// reset. A crash after it leaves the permissions requested again, and the factor as it is.
func (g *Gate) requestAgain(ctx context.Context, actor, staffID string) error {
	return g.alone(ctx, func(q querier, held func(context.Context) error) error {
		staff, err := staffByID(ctx, q, staffID)
		if err != nil {
			return err
		}
		bodies, err := g.requestedAgain(ctx, q, actor, staff, events.BecauseFactorReset)
		if err != nil || len(bodies) == 0 {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		return g.recordFacts(ctx, actor, bodies...)
	})
}
