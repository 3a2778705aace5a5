package access

import (
	"context"
	"errors"
	"fmt"

	"postern/internal/access/policy"

	"github.com/google/uuid"

	"postern/internal/events"
)

// ErrUnknownAtOrganisation says that an organisation vouched for an address that no
// staff member has who may come in.
var ErrUnknownAtOrganisation = errors.New("no staff member has the e-mail address that your organisation gave: ask somebody who manages staff to add you with it")

// attemptKey is what a session holds of an attempt to sign in elsewhere, for one answer.
const attemptKey = "attempt"

// KeepAttempt keeps for this browser what it has asked of an organisation, instead of
// what it asked before. The request must have come through [Gate.Staff].
func (g *Gate) KeepAttempt(ctx context.Context, attempt string) {
	g.staff.sessions.Put(ctx, attemptKey, attempt)
}

// TakeAttempt gives what this browser has asked, "" for nothing, and forgets it: an
// answer counts once.
func (g *Gate) TakeAttempt(ctx context.Context) string {
	return g.staff.sessions.PopString(ctx, attemptKey)
}

// SignInByOrganisation is [Gate.SignInStaff] for whom the clinic's own identity
// provider vouches, by an e-mail address that it has verified. No code of a second
// factor is asked for: that is the provider's. It fails with
// [ErrUnknownAtOrganisation], alike for nobody and for who is disabled.
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
	if err := g.recordSignIn(ctx, policy.RealmStaff, staff.ID, events.ByOrganisation, reason); err != nil {
		return policy.Subject{}, err
	}
	if reason != "" {
		return policy.Subject{}, ErrUnknownAtOrganisation
	}
	subject := staff.subject()
	subject.Method = events.ByOrganisation
	return subject, nil
}

// RecordRefusal puts on the record that an organisation did not sign somebody in.
func (g *Gate) RecordRefusal(ctx context.Context, reason string) error {
	fact := events.SignIn{Failed: true, Attempt: uuid.New(), Account: string(policy.RealmStaff), Method: events.ByOrganisation, Reason: reason}
	if _, err := g.publish(ctx, g.cfg.Facts.Process(), fact); err != nil {
		return fmt.Errorf("recording a sign-in: %w", err)
	}
	return nil
}
