package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"postern/internal/access/oidc"
	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// A staff account is linked to at most one identity at the organisation, and an identity to at
// most one account. The record says which accounts are linked (record.identities) and names
// each link by a random id. Whose identity it is, is kept here (app.identities), as a digest of
// iss and sub: comparing is all that is done with it. If the record has a link whose identity
// is lost, no one signs in by it.

// firstLinkAfter is how long an address that was changed makes no link. The former address is
// told at once; so its owner can object before another person signs in with the account, whose
// second factor, if it has one, is not asked for at the organisation.
const firstLinkAfter = 72 * time.Hour

// ErrOwnIdentity says that staff can't unlink their own account as administrators do: at an
// unlocked desk, a stranger could then do so without the password.
var ErrOwnIdentity = problem.OwnAccount.New("you can't unlink your own account here: unlink it at Account, with your password, or ask another administrator")

// subjectHash is the digest by which an identity is found.
func subjectHash(who oidc.Identity) []byte {
	sum := sha256.Sum256([]byte(who.Issuer + "\x00" + who.Subject))
	return sum[:]
}

// linkedTo returns the staff member whose account is linked to an identity, disabled or not,
// or [ErrNoStaff].
func linkedTo(ctx context.Context, q querier, who oidc.Identity) (Staff, error) {
	return readStaff(ctx, q, selectStaff+` WHERE s.staff_id = (SELECT r.staff_id
		FROM record.identities r JOIN app.identities a USING (identity_id, staff_id) WHERE a.subject_hash = $1)`, subjectHash(who))
}

// keepIdentity stores whose identity a link names, before the link is recorded.
func (g *Gate) keepIdentity(ctx context.Context, staffID string, who oidc.Identity) (events.IdentityLinked, error) {
	id := uuid.New()
	if _, err := g.pool.Exec(ctx, `INSERT INTO app.identities (identity_id, staff_id, subject_hash, made_at) VALUES ($1, $2, $3, $4)`,
		id, staffID, subjectHash(who), g.cfg.Facts.Now()); err != nil {
		return events.IdentityLinked{}, fmt.Errorf("keeping an identity: %w", err)
	}
	return events.IdentityLinked{Identity: id, StaffID: staffID, Issuer: who.Issuer}, nil
}

// linkByAddress links the account that has the verified address of an identity, and ends its
// earlier sessions. The owner is the actor. It fails with [ErrNoStaff] if no account has the
// address, and with an [OrganisationRefusal], together with the account that is meant.
//
// It runs alone: of two sign-ins at once the second finds the link of the first, and the
// address does not move to another account in between.
func (g *Gate) linkByAddress(ctx context.Context, who oidc.Identity) (staff Staff, err error) {
	err = g.alone(ctx, func(q querier, held func(context.Context) error) error {
		if staff, err = linkedTo(ctx, q, who); !errors.Is(err, ErrNoStaff) {
			return err
		}
		if staff, err = readStaff(ctx, q, selectStaff+` WHERE `+hasAddress("a.email"), stored(who.Email)); err != nil {
			return err
		}
		if staff.LinkedAt != nil {
			// Another sign-in of the same person may have created and linked the account since the
			// first read: to create an account takes no lease.
			if linked, err := linkedTo(ctx, q, who); !errors.Is(err, ErrNoStaff) {
				staff = linked
				return err
			}
		}
		if err := staff.mayLink(g.cfg.Facts.Now()); err != nil {
			return err
		}
		fact, err := g.keepIdentity(ctx, staff.ID, who)
		if err != nil {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		// A crash before the publish leaves an identity that no event names: no one signs in
		// by it, and it is deleted later. A crash after it leaves the account linked, and
		// earlier sessions open.
		if err := g.recordFacts(ctx, staff.subject().Actor(), fact); err != nil {
			return err
		}
		if err := endSessions(ctx, g.pool, policy.RealmStaff, staff.ID); err != nil {
			return fmt.Errorf("ending earlier sessions: %w", err)
		}
		return nil
	})
	return staff, err
}

// mayLink says why an account is not linked by its address, or returns nil. An account whose
// owner has never used it is linked at once: a change of its address takes nothing over.
func (s Staff) mayLink(now time.Time) error {
	switch {
	case s.DisabledAt != nil:
		return errDisabledAtOrganisation
	case s.LinkedAt != nil:
		return ErrOtherIdentity
	case !s.Invited && s.EmailChangedAt != nil && now.Before(s.EmailChangedAt.Add(firstLinkAfter)):
		return ErrAddressChanged
	}
	return nil
}

// Unlink ends the link between a staff account and an identity at the organisation, and ends
// the account's sessions. The next sign-in at the organisation with the address of the account
// links it again. The event names actor. Without a link it publishes no event. It fails with
// [ErrNoStaff] or [ErrOwnIdentity].
func (g *Gate) Unlink(ctx context.Context, actor, staffID string) error {
	if actor == (policy.Subject{Realm: policy.RealmStaff, ID: staffID}).Actor() {
		return ErrOwnIdentity
	}
	if _, err := g.StaffByID(ctx, staffID); err != nil {
		return err
	}
	return g.unlink(ctx, actor, staffID)
}

// UnlinkOwn is [Gate.Unlink] for one's own account. It needs the password, with which the
// person signs in from then on. It fails with [passwords.ErrCurrent], also for an account
// without a password, or with [TooSoon].
func (g *Gate) UnlinkOwn(ctx context.Context, who policy.Subject, password string) error {
	if _, err := g.provePassword(ctx, who, password); err != nil {
		return err
	}
	return g.unlink(ctx, who.Actor(), who.ID)
}

var errNotLinked = errors.New("the account is not linked")

// unlink runs alone, so that it does not delete the identity of a link that is being made.
func (g *Gate) unlink(ctx context.Context, actor, staffID string) error {
	return g.alone(ctx, func(q querier, held func(context.Context) error) error {
		id, err := one(ctx, q, errNotLinked, pgx.RowTo[uuid.UUID], `SELECT identity_id FROM record.identities WHERE staff_id = $1`, staffID)
		if err != nil && !errors.Is(err, errNotLinked) {
			return fmt.Errorf("looking for a link: %w", err)
		}
		if err := held(ctx); err != nil {
			return err
		}
		if id != uuid.Nil {
			if err := g.recordFacts(ctx, actor, events.IdentityUnlinked{Identity: id, StaffID: staffID}); err != nil {
				return err
			}
		}
		// A crash here leaves sessions open. The caller has no answer, and a repeat finds the
		// identity without a link and ends them.
		return g.inTx(ctx, "ending sessions after a link", func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, `DELETE FROM app.identities i WHERE staff_id = $1
				AND NOT EXISTS (SELECT FROM record.identities r WHERE r.identity_id = i.identity_id)`, staffID)
			if err != nil || tag.RowsAffected() == 0 && id == uuid.Nil {
				return err
			}
			return endSessions(ctx, tx, policy.RealmStaff, staffID)
		})
	})
}
