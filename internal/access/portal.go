package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	// ErrNoPortalUser says that there is no such portal user, or not an active one.
	ErrNoPortalUser = errors.New("no active portal user has this id: `postern portal-user list` shows all of them")
	// ErrInvitation says that a link opens nothing: never did, has been used, was
	// replaced by a newer one or has expired.
	ErrInvitation = errors.New("this link is not valid any more: ask the clinic for a new one")
)

// How long a link that sets a password may be used.
const (
	inviteLifetime = 7 * 24 * time.Hour
	resetLifetime  = 24 * time.Hour
)

// portalUser is what setting a password needs to know.
type portalUser struct {
	no         int32
	id, email  string
	hasAccount bool
}

const selectPortalUser = `
	SELECT u.portal_user_no, u.portal_user_id, u.email, a.portal_user_no IS NOT NULL
	FROM app.portal_users u LEFT JOIN app.portal_accounts a USING (portal_user_no)`

func readPortalUser(row pgx.CollectableRow) (u portalUser, err error) {
	return u, row.Scan(&u.no, &u.id, &u.email, &u.hasAccount)
}

func (g *Gate) portalUserByID(ctx context.Context, id string) (portalUser, error) {
	u, err := one(ctx, g.pool, ErrNoPortalUser, readPortalUser, selectPortalUser+` WHERE u.portal_user_id = $1 AND u.active`, id)
	if err != nil && !errors.Is(err, ErrNoPortalUser) {
		err = fmt.Errorf("reading a portal user: %w", err)
	}
	return u, err
}

// Invite makes the token of a single-use link with which a portal user sets a
// password: the first within seven days, a new one within one. It replaces any
// that the portal user had. It fails with [ErrNoPortalUser].
func (g *Gate) Invite(ctx context.Context, portalUserID string) (string, error) {
	u, err := g.portalUserByID(ctx, portalUserID)
	if err != nil {
		return "", err
	}
	purpose, lifetime := "invite", inviteLifetime
	if u.hasAccount {
		purpose, lifetime = "reset", resetLifetime
	}
	token, digest := newToken(linkTokenPrefix)
	_, err = g.pool.Exec(ctx, `
		INSERT INTO app.portal_invitations (token_hash, portal_user_no, purpose, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (portal_user_no) WHERE used_at IS NULL DO UPDATE
		SET token_hash = excluded.token_hash, purpose = excluded.purpose, expires_at = excluded.expires_at`,
		digest, u.no, purpose, g.cfg.Now().Add(lifetime))
	if err != nil {
		return "", fmt.Errorf("keeping the invitation: %w", err)
	}
	return token, nil
}

// AcceptInvitation sets the password of the portal user whose link it is, ends
// their sessions and uses the link up. It fails with [ErrInvitation], or with
// [ErrPassword], after which the link can still be used. Two at once: one wins.
func (g *Gate) AcceptInvitation(ctx context.Context, token, password string) error {
	digest, ok := parseToken(linkTokenPrefix, token)
	if !ok {
		return ErrInvitation
	}
	const open = ` WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2`
	u, err := one(ctx, g.pool, ErrInvitation, readPortalUser,
		selectPortalUser+` JOIN app.portal_invitations i ON i.portal_user_no = u.portal_user_no`+open+` AND u.active`, digest, g.cfg.Now())
	if errors.Is(err, ErrInvitation) {
		return err
	}
	if err != nil {
		return fmt.Errorf("looking up an invitation: %w", err)
	}
	return g.setPortalPassword(ctx, u, password, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE app.portal_invitations SET used_at = $2`+open, digest, g.cfg.Now())
		if err == nil && tag.RowsAffected() != 1 {
			err = ErrInvitation
		}
		return err
	})
}

// SetPortalPassword sets the password of an active portal user, who need not
// have been invited, and ends their sessions. It fails with [ErrNoPortalUser]
// or [ErrPassword].
func (g *Gate) SetPortalPassword(ctx context.Context, portalUserID, password string) error {
	u, err := g.portalUserByID(ctx, portalUserID)
	if err != nil {
		return err
	}
	return g.setPortalPassword(ctx, u, password, func(pgx.Tx) error { return nil })
}

// setPortalPassword sets the password in the transaction of whatever entitles
// somebody to it.
func (g *Gate) setPortalPassword(ctx context.Context, u portalUser, password string, entitled func(pgx.Tx) error) error {
	if err := checkPassword(password, minPortalPassword); err != nil {
		return err
	}
	if err := g.tellApart(ctx, u, password); err != nil {
		return err
	}
	hash, err := g.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	err = g.inTx(ctx, "setting a password", func(tx pgx.Tx) error {
		if err := entitled(tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO app.portal_accounts (portal_user_no, password_hash, changed_at) VALUES ($1, $2, $3)
			ON CONFLICT (portal_user_no) DO UPDATE SET password_hash = excluded.password_hash, changed_at = excluded.changed_at`,
			u.no, hash, g.cfg.Now())
		if err != nil {
			return err
		}
		return endSessions(ctx, tx, RealmPortalUser, u.id)
	})
	if err != nil {
		return err
	}
	// Whoever comes by a new password need not wait for the guesses at the old.
	return g.forgive(ctx, g.laneOf(ctx, RealmPortalUser, u.email))
}

// tellApart refuses a password that somebody with the same address has: the
// password is all that tells them apart when they sign in.
func (g *Gate) tellApart(ctx context.Context, u portalUser, password string) error {
	others, err := g.check(ctx, portalAccounts, Credentials{Email: u.email, Password: password})
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.match && other.id != u.id {
			return fmt.Errorf("%w: another account with your e-mail address has this one", ErrPassword)
		}
	}
	return nil
}
