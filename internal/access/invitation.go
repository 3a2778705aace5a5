package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"postern/internal/access/policy"
	"postern/internal/store"

	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

var (
	// ErrNoAddress says that a portal user has no e-mail address, and no user name either.
	ErrNoAddress = errors.New("this portal user has no e-mail address: add it in the source system and import again, or make a letter, which has a user name and a code")
	// ErrDeadAddress says that e-mail to a portal user's address was returned.
	ErrDeadAddress = errors.New("the e-mail address of this account does not work: e-mail to it came back. Correct it in the source system and import again")
)

// Invite makes the token of a single-use link with which a portal user sets a password.
// The event names actor, who hands it over. The link is valid for seven days for a first
// password, and for one day for a new one. It replaces an earlier link. If the portal user
// could not sign in with a password, Invite fails with [ErrNoPortalUser], [ErrInactive],
// [ErrNoAddress] or [ErrCrowded], and an earlier link still works.
func (g *Gate) Invite(ctx context.Context, actor, portalUserID string) (string, error) {
	u, err := g.signsIn(ctx, portalUserID)
	if err != nil {
		return "", err
	}
	made, err := g.issueLink(ctx, portalLinks, actor, u.linkOwner(), events.LinkByCommandLine, g.anyTime())
	return made.Token, err
}

func (g *Gate) acceptPortalLink(ctx context.Context, token, password string) error {
	u, digest, err := g.invitedPortalUser(ctx, token)
	if err != nil {
		return err
	}
	actor := policy.Subject{Realm: policy.RealmPortalUser, ID: u.id}.Actor()
	return g.setPortalPassword(ctx, actor, u, password, events.PasswordSet{Change: linkID(digest), How: events.ByLink},
		func(tx pgx.Tx) error { return g.useLink(ctx, tx, portalLinks, digest) })
}

// InviteByMail is [Gate.Invite] for a link that is sent by e-mail. It also fails with
// [ErrDeadAddress] and [ErrUnconfirmed].
func (g *Gate) InviteByMail(ctx context.Context, actor, portalUserID string) (Invitation, error) {
	u, err := g.signsIn(ctx, portalUserID)
	if err != nil {
		return Invitation{}, err
	}
	if u.email == "" {
		return Invitation{}, ErrNoAddress
	}
	if u.dead {
		return Invitation{}, ErrDeadAddress
	}
	if u.unconfirmed(g.cfg.Facts.Now()) {
		return Invitation{}, ErrUnconfirmed
	}
	return g.issueLink(ctx, portalLinks, actor, u.linkOwner(), events.LinkByEmail, g.anyTime())
}

// ErrAskedElsewhere says that links for an e-mail address were requested so often, from
// several networks, that it gets no further link for now. A working link was sent to it
// in the last quarter of an hour.
var ErrAskedElsewhere = errors.New("too many links were requested for this address: look for the e-mail that was sent")

// CountLinkRequest counts a client's request for links of a realm for an e-mail address.
// It refuses the request with [TooSoon] if this client made too many, and with
// [ErrAskedElsewhere] if other clients did: strangers can't fill a mailbox. Answer
// ErrAskedElsewhere as a success, so that it reveals nothing. CountLinkRequest reads no
// account, so the result is the same for an address without an account.
func (g *Gate) CountLinkRequest(ctx context.Context, realm policy.Realm, email string) error {
	if err := g.Throttle(ctx, AskingForLink); err != nil {
		return err
	}
	lane := g.laneOf(ctx, policy.Realm(AskingForLink)+" of "+realm, email)
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
// portal users who got a link a moment ago, those whose address is dead, because they could
// not read the e-mail, and those whose address is unconfirmed. The events name the process, because a stranger may have asked.
func (g *Gate) InviteAddress(ctx context.Context, email string) ([]Invitation, error) {
	rows, err := g.pool.Query(ctx, selectPortalUser+`
		WHERE `+hasAddress("u.email")+` AND u.email <> '' AND u.active AND NOT `+deadAddress+`
		AND coalesce(app.unconfirmed_until(u.portal_user_no, u.email_version) <= $2, true) ORDER BY u.portal_user_no LIMIT 12`, stored(email), g.cfg.Facts.Now())
	if err != nil {
		return nil, fmt.Errorf("looking up an address: %w", err)
	}
	users, err := pgx.CollectRows(rows, readPortalUser)
	if err != nil && store.Code(err) != store.CharacterNotInRepertoire {
		return nil, fmt.Errorf("looking up an address: %w", err)
	}
	var made []Invitation
	for _, u := range users {
		one, err := g.issueLink(ctx, portalLinks, g.cfg.Facts.Process(), u.linkOwner(), events.LinkByEmail, g.cfg.Facts.Now().Add(-askedAlready))
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

// invitedPortalUser returns the active portal user to whom the link belongs, and its
// digest. It fails with [ErrInvitation].
func (g *Gate) invitedPortalUser(ctx context.Context, token string) (portalUser, []byte, error) {
	return findLink(ctx, g, portalLinks, token, selectPortalUser, readPortalUser)
}
