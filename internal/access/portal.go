package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/text/language"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

var (
	// ErrNoPortalUser says that there is no such portal user, or not an active one.
	ErrNoPortalUser = problem.NotFound.New("no portal user has this id: `postern portal-user list` shows all of them")
	// ErrInactive says that the account of a portal user is not active. It is
	// [ErrNoPortalUser] too.
	ErrInactive error = inactiveError{}
	// ErrCrowded says that the most accounts that may sign in by one e-mail address
	// already do.
	ErrCrowded = fmt.Errorf("%d other accounts sign in by the e-mail address of this one, and no more can: "+
		"give the person an address of their own in the source system and import again", mostSharing)
)

type inactiveError struct{}

func (inactiveError) Error() string {
	return "the account of this portal user is not active, so they can't sign in: correct it in the source system and import again"
}

func (inactiveError) Is(target error) bool { return target == ErrNoPortalUser }

// portalUser is the data of a portal user that setting a password needs.
type portalUser struct {
	no              int32
	id, name, email string
	userName        string // "": they have none
	version         int    // of the e-mail address: how often the directory changed it
	active          bool
	hasAccount      bool
	dead            bool // the e-mail address does not work
	// language is the one that they chose; "" for none.
	language language.Language
	// confirmedFrom is when the address counts as confirmed; zero: it always did.
	confirmedFrom time.Time
}

// deadAddress is the SQL condition that e-mail to the address of u was returned.
const deadAddress = `EXISTS (SELECT FROM record.dead_addresses x
	WHERE x.portal_user_no = u.portal_user_no AND x.address_version = u.email_version)`

const selectPortalUser = `
	SELECT u.portal_user_no, u.portal_user_id, u.name, u.email, coalesce(n.user_name, ''), u.email_version, u.active, a.portal_user_no IS NOT NULL, ` + deadAddress + `,
		app.unconfirmed_until(u.portal_user_no, u.email_version), coalesce(a.language, '')
	FROM app.portal_users u LEFT JOIN app.portal_accounts a USING (portal_user_no) LEFT JOIN app.user_names n USING (portal_user_no)`

// signsInBy returns the e-mail address with which a portal user signs in, or the user name, in
// groups, of one without an address; "" if there is neither.
func (u portalUser) signsInBy() string { return cmp.Or(u.email, inGroups(u.userName)) }

func (u portalUser) linkOwner() linkOwner {
	return linkOwner{u.id, u.email, u.version, u.hasAccount, u.language}
}

func readPortalUser(row pgx.CollectableRow) (u portalUser, err error) {
	var from *time.Time
	err = row.Scan(&u.no, &u.id, &u.name, &u.email, &u.userName, &u.version, &u.active, &u.hasAccount, &u.dead, &from, &u.language)
	if from != nil {
		u.confirmedFrom = *from
	}
	return u, err
}

func (g *Gate) portalUserByID(ctx context.Context, id string) (portalUser, error) {
	u, err := one(ctx, g.pool, ErrNoPortalUser, readPortalUser, selectPortalUser+` WHERE u.portal_user_id = $1`, id)
	switch {
	case err != nil && !errors.Is(err, ErrNoPortalUser):
		err = fmt.Errorf("reading a portal user: %w", err)
	case err == nil && !u.active:
		err = ErrInactive
	}
	return u, err
}

// signsIn returns a portal user who can sign in once they have a password. It fails with
// [ErrNoPortalUser], [ErrInactive], [ErrNoAddress] or [ErrCrowded].
func (g *Gate) signsIn(ctx context.Context, id string) (portalUser, error) {
	u, err := g.portalUserByID(ctx, id)
	if err != nil {
		return u, err
	}
	if u.signsInBy() == "" {
		return u, ErrNoAddress
	}
	sharing, err := g.sharing(ctx, u)
	if err == nil && sharing >= mostSharing {
		err = ErrCrowded
	}
	return u, err
}

// sharing returns the number of other accounts that sign in by the same address.
func (g *Gate) sharing(ctx context.Context, u portalUser) (n int, err error) {
	err = g.pool.QueryRow(ctx, `SELECT count(*) FROM app.portal_users u JOIN app.portal_accounts USING (portal_user_no)
		WHERE lower(u.email) = lower($1) AND u.email <> '' AND u.active AND u.portal_user_no <> $2`, u.email, u.no).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("looking for accounts of the same address: %w", err)
	}
	return n, nil
}

// Sharing returns the number of other accounts that sign in by the e-mail address of a
// portal user. The password selects the account. It fails with [ErrNoPortalUser].
func (g *Gate) Sharing(ctx context.Context, portalUserID string) (int, error) {
	u, err := g.portalUserByID(ctx, portalUserID)
	if err != nil {
		return 0, err
	}
	return g.sharing(ctx, u)
}

// SetPortalPassword sets the password of an active portal user, who need not
// have been invited, and ends their sessions. It is for the command line: the event names
// actor. It fails with [passwords.ErrRefused], and with [ErrNoPortalUser], [ErrInactive],
// [ErrNoAddress] or [ErrCrowded] where the portal user could not sign in with it: they have
// neither an e-mail address nor a user name, or share the address with too many.
func (g *Gate) SetPortalPassword(ctx context.Context, actor, portalUserID, password string) error {
	u, err := g.signsIn(ctx, portalUserID)
	if err != nil {
		return err
	}
	return g.setPortalPassword(ctx, actor, u, password, events.PasswordSet{Change: uuid.New(), How: events.ByCommandLine}, func(pgx.Tx) error { return nil })
}

// setPortalPassword records the change, and then calls entitled and sets the password in
// one transaction. An error of entitled leaves the password as it is.
func (g *Gate) setPortalPassword(ctx context.Context, actor string, u portalUser, password string, change events.PasswordSet, entitled func(pgx.Tx) error) error {
	if err := g.checkPassword(ctx, password, limits.PortalPassword, u.name, u.signsInBy()); err != nil {
		return err
	}
	if err := g.requireDistinct(ctx, u, password); err != nil {
		return err
	}
	hash, err := g.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	change.Account, change.ID = string(policy.RealmPortalUser), u.id
	err = g.recordPassword(ctx, actor, change, func(tx pgx.Tx) error {
		// An import that changes the address waits for this transaction and then finds the
		// account, or this waits for the import, and a link of the former address is refused.
		if _, err := tx.Exec(ctx, `SELECT FROM app.portal_users WHERE portal_user_no = $1 FOR SHARE`, u.no); err != nil {
			return err
		}
		if err := entitled(tx); err != nil {
			return err
		}
		// A letter that lies somewhere does not replace a password that was set since.
		_, err := tx.Exec(ctx, `DELETE FROM app.password_links WHERE realm = 'portal_user' AND subject = $1 AND way = 'letter' AND used_at IS NULL`, u.id)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO app.portal_accounts (portal_user_no, password_hash, changed_at) VALUES ($1, $2, $3)
			ON CONFLICT (portal_user_no) DO UPDATE SET password_hash = excluded.password_hash, changed_at = excluded.changed_at, next_change = excluded.next_change`,
			u.no, hash, g.cfg.Facts.Now())
		if err != nil {
			return err
		}
		return endSessions(ctx, tx, policy.RealmPortalUser, u.id)
	})
	if err != nil {
		return err
	}
	// Failed tries at the old password do not delay a sign-in with the new one.
	for _, name := range []string{u.email, u.userName} {
		if name == "" {
			continue
		}
		if err := g.clearFailures(ctx, g.laneOf(ctx, policy.RealmPortalUser, name)); err != nil {
			return err
		}
	}
	return nil
}

// requireDistinct refuses a password that another account with the same e-mail address
// has: at sign-in, only the password tells the accounts apart.
func (g *Gate) requireDistinct(ctx context.Context, u portalUser, password string) error {
	others, err := g.check(ctx, portalAccounts, Credentials{Email: u.email, Password: password})
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.match && other.id != u.id {
			return passwords.Refuse("Choose another password: another account with your e-mail address has this one.")
		}
	}
	return nil
}

// ChangePortalPassword replaces the password of a portal user, who must give the current
// one. It ends their sessions, including that of the request: [Gate.Begin] begins a new
// one. It fails with [passwords.ErrCurrent] and [passwords.ErrRefused], joined where both
// are wrong, or with [TooSoon] as signing in does: guessing on an unlocked phone is no
// faster.
func (g *Gate) ChangePortalPassword(ctx context.Context, who policy.Subject, current, password string) error {
	u, err := g.portalUserByID(ctx, who.ID)
	if err != nil {
		return err
	}
	change, err := g.provePassword(ctx, who, current)
	if errors.Is(err, passwords.ErrCurrent) {
		return errors.Join(err, g.checkPassword(ctx, password, limits.PortalPassword, u.name, u.email))
	}
	if err != nil {
		return err
	}
	return g.setPortalPassword(ctx, who.Actor(), u, password, events.PasswordSet{Change: change, How: events.ByCurrentPassword}, func(tx pgx.Tx) error {
		return unchanged(ctx, tx, `SELECT FROM app.portal_accounts WHERE portal_user_no = $1 AND next_change = $2 FOR UPDATE`, u.no, change)
	})
}
