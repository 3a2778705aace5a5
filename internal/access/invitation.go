package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/access/policy"
	"postern/internal/store"

	"github.com/jackc/pgx/v5"
)

var (
	// ErrInvitation says that a link can't be used: it never existed, has been used, was
	// replaced by a newer one, has expired, or was made for an address that the directory
	// has since changed, or for an account that is not active.
	ErrInvitation = errors.New("this link is not valid any more: ask the clinic for a new one")
	// ErrNoAddress says that a portal user has no e-mail address.
	ErrNoAddress = errors.New("this portal user has no e-mail address, and signing in needs one: add it in the source system and import again")
	// ErrDeadAddress says that e-mail to a portal user's address was returned.
	ErrDeadAddress = errors.New("the e-mail address of this account does not work: e-mail to it came back. Correct it in the source system and import again")
)

// How long a link that sets a password is valid. The e-mails that carry a link say so.
const (
	inviteLifetime = 7 * 24 * time.Hour
	resetLifetime  = 24 * time.Hour
)

// askedAlready is how long a requested link is not replaced by another request: pressing
// the button twice sends one e-mail, whose link works.
const askedAlready = 2 * time.Minute

// Invitation is a single-use link with which a portal user sets a password.
type Invitation struct {
	Token string
	Email string // where to send it
	First bool   // there is no password yet
}

// Invited is the portal user for whom a link was made.
type Invited struct {
	Name, Email string
	First       bool
}

// Invite makes the token of a single-use link with which a portal user sets a password.
// The link is valid for seven days for a first password, and for one day for a new one.
// It replaces an earlier link. If the portal user could not sign in with a password,
// Invite fails with [ErrNoPortalUser], [ErrInactive], [ErrNoAddress] or [ErrCrowded].
func (g *Gate) Invite(ctx context.Context, portalUserID string) (string, error) {
	u, err := g.signsIn(ctx, portalUserID)
	if err != nil {
		return "", err
	}
	made, err := g.invite(ctx, u, g.anyTime())
	return made.Token, err
}

// AcceptInvitation sets the password of the portal user to whom the link belongs, ends
// their sessions and marks the link as used. It fails with [ErrInvitation], or with
// [passwords.ErrRefused], after which the link can still be used. Of two concurrent calls
// one succeeds.
func (g *Gate) AcceptInvitation(ctx context.Context, token, password string) error {
	u, digest, err := g.invited(ctx, token)
	if err != nil {
		return err
	}
	return g.setPortalPassword(ctx, u, password, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE app.portal_invitations i SET used_at = $2 FROM app.portal_users u`+openInvitation, digest, g.cfg.Facts.Now())
		if err == nil && tag.RowsAffected() != 1 {
			err = ErrInvitation
		}
		return err
	})
}

// InviteByMail is [Gate.Invite] for a link that is sent by e-mail. It also fails with
// [ErrDeadAddress]. After an error, an earlier link still works.
func (g *Gate) InviteByMail(ctx context.Context, portalUserID string) (Invitation, error) {
	u, err := g.signsIn(ctx, portalUserID)
	if err != nil {
		return Invitation{}, err
	}
	if u.dead {
		return Invitation{}, ErrDeadAddress
	}
	return g.invite(ctx, u, g.anyTime())
}

// anyTime is later than the creation of any link, even with clock skew.
func (g *Gate) anyTime() time.Time { return g.cfg.Facts.Now().AddDate(1, 0, 0) }

// ErrAskedElsewhere says that links for an e-mail address were requested so often, from
// several networks, that it gets no further link for now. A working link was sent to it
// in the last quarter of an hour.
var ErrAskedElsewhere = errors.New("too many links were requested for this address: look for the e-mail that was sent")

// CountLinkRequest counts a client's request for links for an e-mail address. It refuses the
// request with [TooSoon] if this client made too many, and with [ErrAskedElsewhere] if
// other clients did: strangers can't fill a mailbox. Answer ErrAskedElsewhere as a
// success, so that it reveals nothing. CountLinkRequest reads no account, so the result is the
// same for an address without an account.
func (g *Gate) CountLinkRequest(ctx context.Context, email string) error {
	if err := g.Throttle(ctx, AskingForLink); err != nil {
		return err
	}
	lane := g.laneOf(ctx, policy.Realm(AskingForLink), email)
	if err := g.countTry(ctx, lane.key); err != nil || bytes.Equal(lane.key, lane.all) {
		return err
	}
	err := g.countTry(ctx, lane.all)
	if errors.As(err, new(TooSoon)) {
		return ErrAskedElsewhere
	}
	return err
}

// InviteAddress makes a link for each active portal user with this e-mail address:
// families share one, and the address does not tell which of them asked. It leaves out
// portal users who got a link a moment ago, and those whose address is dead: they could
// not read the e-mail.
func (g *Gate) InviteAddress(ctx context.Context, email string) ([]Invitation, error) {
	rows, err := g.pool.Query(ctx, selectPortalUser+`
		WHERE `+hasAddress("u.email")+` AND u.email <> '' AND u.active AND NOT `+deadAddress+` ORDER BY u.portal_user_no LIMIT 12`, stored(email))
	if err != nil {
		return nil, fmt.Errorf("looking up an address: %w", err)
	}
	users, err := pgx.CollectRows(rows, readPortalUser)
	if err != nil && store.Code(err) != store.CharacterNotInRepertoire {
		return nil, fmt.Errorf("looking up an address: %w", err)
	}
	var made []Invitation
	for _, u := range users {
		one, err := g.invite(ctx, u, g.cfg.Facts.Now().Add(-askedAlready))
		if errors.Is(err, errAskedAlready) {
			continue
		}
		if err != nil {
			return made, err
		}
		made = append(made, one)
	}
	return made, nil
}

var errAskedAlready = errors.New("a link was made a moment ago")

// invite makes a link and replaces an existing one that was made at until or before. It
// fails with errAskedAlready if the existing one is newer.
func (g *Gate) invite(ctx context.Context, u portalUser, until time.Time) (Invitation, error) {
	purpose, lifetime := "invite", inviteLifetime
	if u.hasAccount {
		purpose, lifetime = "reset", resetLifetime
	}
	token, digest := newToken(linkTokenPrefix)
	now := g.cfg.Facts.Now()
	tag, err := g.pool.Exec(ctx, `
		INSERT INTO app.portal_invitations AS i (token_hash, portal_user_no, purpose, expires_at, made_at, address_version) VALUES ($1, $2, $3, $4, $5, $7)
		ON CONFLICT (portal_user_no) WHERE used_at IS NULL DO UPDATE
		SET token_hash = excluded.token_hash, purpose = excluded.purpose, expires_at = excluded.expires_at, made_at = excluded.made_at, address_version = excluded.address_version
		WHERE i.made_at <= $6 OR i.address_version <> excluded.address_version`,
		digest, u.no, purpose, now.Add(lifetime), now, until, u.version)
	if err != nil {
		return Invitation{}, fmt.Errorf("keeping the invitation: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return Invitation{}, errAskedAlready
	}
	return Invitation{Token: token, Email: u.email, First: !u.hasAccount}, nil
}

// openInvitation selects the link i with digest $1 of the portal user u if it can be used
// at $2: it is unused, the account is active, and the directory still has the address that
// the link was made for.
const openInvitation = ` WHERE i.token_hash = $1 AND i.used_at IS NULL AND i.expires_at > $2
	AND u.portal_user_no = i.portal_user_no AND u.email_version = i.address_version AND u.active`

// WhoIsInvited returns the portal user to whom a link belongs, without using the link. It
// fails with [ErrInvitation].
func (g *Gate) WhoIsInvited(ctx context.Context, token string) (Invited, error) {
	u, _, err := g.invited(ctx, token)
	return Invited{Name: u.name, Email: u.email, First: !u.hasAccount}, err
}

// invited returns the active portal user to whom the link belongs, and its digest.
func (g *Gate) invited(ctx context.Context, token string) (portalUser, []byte, error) {
	digest, ok := parseToken(linkTokenPrefix, token)
	if !ok {
		return portalUser{}, nil, ErrInvitation
	}
	if err := g.Throttle(ctx, UsingLink); err != nil {
		return portalUser{}, nil, err
	}
	u, err := one(ctx, g.pool, ErrInvitation, readPortalUser,
		selectPortalUser+` JOIN app.portal_invitations i ON i.portal_user_no = u.portal_user_no`+openInvitation, digest, g.cfg.Facts.Now())
	if err != nil && !errors.Is(err, ErrInvitation) {
		err = fmt.Errorf("looking up an invitation: %w", err)
	}
	return u, digest, err
}
