package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/access/policy"
	"postern/internal/text/language"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// ErrInvitation says that a link can't be used: it never existed, has been used, was
// replaced by a newer one, has expired, or was made for an address that has changed since,
// or for an account that is not active.
var ErrInvitation = errors.New("this link is not valid any more: ask the clinic for a new one")

// How long a link that sets a password is valid. The e-mails that carry a link say so.
const (
	inviteLifetime    = 7 * 24 * time.Hour
	resetLifetime     = 24 * time.Hour
	staffLinkLifetime = 72 * time.Hour
)

// askedAlready is how long a requested link is not replaced by another request: pressing
// the button twice sends one e-mail, whose link works.
const askedAlready = 2 * time.Minute

var errAskedAlready = errors.New("a link was made a moment ago")

// Invitation is a single-use link with which a person sets a password.
type Invitation struct {
	Realm policy.Realm
	Token string
	Email string // where to send it
	First bool   // there is no password yet
	// Language is the one that the person chose; "" for none.
	Language language.Language
}

// Invited is the person for whom a link or a letter was made. Email is the e-mail address or the user
// name with which they sign in.
type Invited struct {
	Name, Email string
	First       bool
}

// links describes the links of a realm.
type links struct {
	realm        policy.Realm
	prefix       string        // of their tokens
	first, reset time.Duration // how long they are valid
	// owners are the tables in which usable finds the owner of a link.
	owners string
	// usable is the SQL condition that the link l with the digest $1 can be used at $2.
	usable string
}

const unusedLink = `l.token_hash = $1 AND l.used_at IS NULL AND l.expires_at > $2 AND `

var (
	portalLinks = links{policy.RealmPortalUser, portalLinkPrefix, inviteLifetime, resetLifetime,
		`app.portal_users u`,
		unusedLink + `l.realm = 'portal_user' AND u.portal_user_id = l.subject AND u.email_version = l.address_version AND u.active`}
	staffLinks = links{policy.RealmStaff, staffLinkPrefix, staffLinkLifetime, staffLinkLifetime,
		`record.staff s JOIN app.staff_accounts a USING (staff_id)`,
		unusedLink + `l.realm = 'staff' AND a.staff_id = l.subject AND a.email_version = l.address_version AND s.disabled_at IS NULL`}
)

// linkOwner is the person for whom a link is made.
type linkOwner struct {
	id, email   string
	version     int // of the e-mail address
	hasPassword bool
	language    language.Language // "": none chosen
}

// issueLink makes a link and replaces an existing one that was made at until or before. It
// returns after the event is stored. It fails with errAskedAlready if the existing one is
// newer.
func (g *Gate) issueLink(ctx context.Context, in links, actor string, to linkOwner, by events.LinkBy, until time.Time) (Invitation, error) {
	purpose, lifetime := events.LinkFirst, in.first
	if to.hasPassword {
		purpose, lifetime = events.LinkReset, in.reset
	}
	token, digest := newToken(in.prefix)
	now := g.cfg.Facts.Time()
	fact := events.LinkIssued{Link: linkID(digest), Account: string(in.realm), ID: to.id, Purpose: purpose, By: by, ExpiresAt: now.Add(lifetime)}
	tag, err := g.pool.Exec(ctx, `
		INSERT INTO app.password_links AS l (token_hash, realm, subject, purpose, address_version, made_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (realm, subject) WHERE used_at IS NULL DO UPDATE
		SET token_hash = excluded.token_hash, purpose = excluded.purpose, expires_at = excluded.expires_at, made_at = excluded.made_at,
			address_version = excluded.address_version, way = 'link', code_hash = NULL, print_id = NULL
		WHERE l.made_at <= $8 OR l.address_version <> excluded.address_version`,
		digest, string(in.realm), to.id, string(purpose), to.version, now, fact.ExpiresAt, until)
	if err != nil {
		return Invitation{}, fmt.Errorf("keeping a link: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return Invitation{}, errAskedAlready
	}
	// A crash from here on leaves a link whose token no one has: this call alone returns it,
	// once the link is recorded.
	if _, err := g.publish(ctx, actor, fact); err != nil {
		g.forgetLink(ctx, digest)
		return Invitation{}, fmt.Errorf("recording a link: %w", err)
	}
	return Invitation{in.realm, token, to.email, !to.hasPassword, to.language}, nil
}

// forgetLink deletes a link that could not be recorded, so that the next request makes
// another at once. If it fails, the next request has to wait.
func (g *Gate) forgetLink(ctx context.Context, digest []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, _ = g.pool.Exec(ctx, `DELETE FROM app.password_links WHERE token_hash = $1`, digest)
}

// linkIDs is the namespace of the ids of links.
var linkIDs = uuid.MustParse("5d0f4a7e-92c6-4c1b-8e3a-7a1be0c6d2f4")

// linkID is the id by which events name a link. It is derived from the digest of 32 random
// bytes, which can't be found from it.
func linkID(digest []byte) uuid.UUID { return uuid.NewSHA1(linkIDs, digest) }

// anyTime is later than the creation of any link, even with clock skew.
func (g *Gate) anyTime() time.Time { return g.cfg.Facts.Now().AddDate(1, 0, 0) }

// findLink returns the digest of a token and the owner of its link, without using it. It
// fails with [ErrInvitation].
func findLink[T any](ctx context.Context, g *Gate, in links, token, selectOwner string, to pgx.RowToFunc[T]) (owner T, digest []byte, err error) {
	digest, ok := parseToken(in.prefix, token)
	if !ok {
		return owner, nil, ErrInvitation
	}
	if err := g.Throttle(ctx, UsingLink); err != nil {
		return owner, nil, err
	}
	owner, err = one(ctx, g.pool, ErrInvitation, to, selectOwner+`, app.password_links l WHERE `+in.usable, digest, g.cfg.Facts.Now())
	if err != nil && !errors.Is(err, ErrInvitation) {
		err = fmt.Errorf("looking up a link: %w", err)
	}
	return owner, digest, err
}

// useLink marks a link as used in tx. It fails with [ErrInvitation] if the link can't be
// used any more. Of two concurrent transactions one succeeds.
func (g *Gate) useLink(ctx context.Context, tx pgx.Tx, in links, digest []byte) error {
	tag, err := tx.Exec(ctx, `UPDATE app.password_links l SET used_at = $2 FROM `+in.owners+` WHERE `+in.usable, digest, g.cfg.Facts.Now())
	if err == nil && tag.RowsAffected() != 1 {
		err = ErrInvitation
	}
	return err
}

// WhoIsInvited returns the person to whom a link belongs, without using the link. It fails
// with [ErrInvitation].
func (g *Gate) WhoIsInvited(ctx context.Context, realm policy.Realm, token string) (Invited, error) {
	if realm == policy.RealmStaff {
		s, _, err := g.invitedStaff(ctx, token)
		return Invited{Name: s.Name, Email: s.Email, First: !s.HasPassword}, err
	}
	u, _, err := g.invitedPortalUser(ctx, token)
	return Invited{Name: u.name, Email: u.signsInBy(), First: !u.hasAccount}, err
}

// AcceptInvitation sets the password of the person to whom the link belongs, ends their
// sessions and marks the link as used. A second factor stays. It fails with
// [ErrInvitation], or with [passwords.ErrRefused], after which the link can still be used.
// Of two concurrent calls one succeeds.
func (g *Gate) AcceptInvitation(ctx context.Context, realm policy.Realm, token, password string) error {
	if realm == policy.RealmStaff {
		return g.acceptStaffLink(ctx, token, password)
	}
	return g.acceptPortalLink(ctx, token, password)
}
