package access

import (
	"context"
	"errors"
	"fmt"

	"postern/internal/access/policy"

	"postern/internal/events"
)

// ErrUnknownAtOrganisation says that no enabled staff member has the address that the
// organisation's identity provider gave.
var ErrUnknownAtOrganisation = errors.New("no staff member has the e-mail address that your organisation gave: ask an administrator to add you with it")

// attemptKey is the session key of an attempt to sign in at the organisation. An attempt
// is good for one answer.
const attemptKey = "attempt"

// KeepAttempt stores this browser's attempt to sign in at an organisation, and replaces
// an earlier one. The request must have come through [Gate.Staff].
func (g *Gate) KeepAttempt(ctx context.Context, attempt string) {
	g.staff.sessions.Put(ctx, attemptKey, attempt)
}

// TakeAttempt returns and deletes this browser's attempt, so that an answer is used once.
// It returns "" if there is none.
func (g *Gate) TakeAttempt(ctx context.Context) string {
	return g.staff.sessions.PopString(ctx, attemptKey)
}

// SignInByOrganisation is [Gate.SignInStaff] for a staff member whom the clinic's own
// identity provider has authenticated, by an e-mail address that it has verified. It asks
// for no second factor: the provider does. It fails with [ErrUnknownAtOrganisation], both
// for an unknown address and for a disabled staff member.
func (g *Gate) SignInByOrganisation(ctx context.Context, email string) (policy.Subject, error) {
	staff, err := g.StaffByEmail(ctx, email)
	reason := ""
	switch {
	case errors.Is(err, ErrNoStaff):
		reason = "no_account"
	case err != nil:
		return policy.Subject{}, err
	case staff.DisabledAt != nil:
		reason = "inactive"
	}
	if reason != "" {
		if err := g.recordOrganisationFailure(ctx, staff.ID, reason); err != nil {
			return policy.Subject{}, err
		}
		return policy.Subject{}, ErrUnknownAtOrganisation
	}
	if err := g.recordSignIn(ctx, policy.RealmStaff, staff.ID, events.ByOrganisation); err != nil {
		return policy.Subject{}, err
	}
	if staff.Invited {
		// They need no password: the invitation has served its purpose.
		if _, err := g.pool.Exec(ctx, `UPDATE app.staff_accounts SET setup = 'complete' WHERE staff_id = $1`, staff.ID); err != nil {
			return policy.Subject{}, fmt.Errorf("completing an account: %w", err)
		}
	}
	subject := staff.subject()
	subject.Method = events.ByOrganisation
	return subject, nil
}

// RecordRefusal records that an organisation refused a sign-in.
func (g *Gate) RecordRefusal(ctx context.Context, reason string) error {
	return g.recordOrganisationFailure(ctx, "", reason)
}

func (g *Gate) recordOrganisationFailure(ctx context.Context, staffID, reason string) error {
	return g.recordFailure(ctx, events.SignIn{Account: string(policy.RealmStaff), ID: staffID, Method: events.ByOrganisation, Reason: reason}, false)
}
