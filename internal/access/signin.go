package access

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"postern/internal/access/policy"
	"postern/internal/access/turn"
	"postern/internal/problem"
	"postern/internal/store"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/inbound"
)

// Credentials are the values typed into a sign-in form.
type Credentials struct {
	// Email is the e-mail address, or the user name of a portal user.
	Email    string
	Password string
	// TOTP is the code of an authenticator app, or a recovery code.
	TOTP string
}

// ErrWrongCredentials is the only answer to a failed sign-in. The recorded event has the
// reason.
var ErrWrongCredentials = problem.WrongCredentials.New("the e-mail address or the password is wrong")

// SignInStaff returns the staff member who has these credentials. It returns after the
// event of the success or failure is stored, or the failure is counted (see
// [Gate.PublishCounts]), and fails if it can't be. It fails with
// [ErrWrongCredentials] or [TooSoon], and takes the same time, whether or not the account
// exists. With the right password, a person who has a second factor gets
// [CodeNeeded] without a code, which counts as neither success nor failure, and
// [ErrWrongCode] with a wrong code.
//
// The session begins with [Gate.Begin].
func (g *Gate) SignInStaff(ctx context.Context, c Credentials) (policy.Subject, error) {
	return g.signIn(ctx, staffAccounts, c)
}

// SignInPortal is [Gate.SignInStaff] for portal users. Families share an e-mail address:
// the password selects one of the accounts that have it, and with it the second factor.
func (g *Gate) SignInPortal(ctx context.Context, c Credentials) (policy.Subject, error) {
	return g.signIn(ctx, portalAccounts, c)
}

// accounts describes where the passwords of a realm are stored.
type accounts struct {
	realm   policy.Realm
	purpose Purpose
	// find lists the accounts of an address: id, whether active, password hash.
	find string
	// byName is find for a user name; "" where there are none.
	byName string
	// rehash replaces the hash $2 of account $1 with $3, if it is still $2.
	rehash string
	// round is the least number of password checks. More are done in multiples of it, so
	// that the time does not show how many accounts share an address.
	round int
}

var staffAccounts = accounts{
	realm:   policy.RealmStaff,
	purpose: SigningInStaff,
	find: `SELECT a.staff_id, s.disabled_at IS NULL, coalesce(a.password_hash, '')
		FROM app.staff_accounts a JOIN record.staff s USING (staff_id) WHERE ` + hasAddress("a.email"),
	rehash: `UPDATE app.staff_accounts SET password_hash = $3 WHERE staff_id = $1 AND password_hash = $2`,
	round:  1,
}

// mostSharing is the most accounts that can sign in by one address.
const mostSharing = 12

var portalAccounts = accounts{
	realm:   policy.RealmPortalUser,
	purpose: SigningInPortal,
	find: `SELECT u.portal_user_id, u.active, a.password_hash
		FROM app.portal_users u JOIN app.portal_accounts a USING (portal_user_no)
		WHERE ` + hasAddress("u.email") + ` AND u.email <> ''
		ORDER BY u.active DESC, u.portal_user_no LIMIT ` + strconv.Itoa(mostSharing),
	byName: `SELECT u.portal_user_id, u.active, a.password_hash
		FROM app.user_names n JOIN app.portal_users u USING (portal_user_no) JOIN app.portal_accounts a USING (portal_user_no)
		WHERE n.user_name = $1`,
	rehash: `UPDATE app.portal_accounts SET password_hash = $3
		WHERE portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = $1) AND password_hash = $2`,
	round: 4,
}

// An account is an account that has the typed address or user name.
type account struct {
	id     string
	active bool
	hash   string // "": has no password
	match  bool   // the typed password is right
	stale  bool   // the hash was made with earlier parameters
}

func (g *Gate) signIn(ctx context.Context, in accounts, c Credentials) (policy.Subject, error) {
	if in.byName != "" {
		c.Email, _ = signInName(c.Email)
	}
	lane := g.laneOf(ctx, in.realm, c.Email)
	known := g.knownBrowser(ctx, lane)
	if err := g.throttleSignIn(ctx, in.purpose, lane); err != nil {
		return policy.Subject{}, err
	}
	// A client that finds too many others waiting is told so before its try is counted.
	ctx, leave, err := g.enter(ctx, lane, known)
	if err != nil {
		return policy.Subject{}, err
	}
	defer leave()
	// The try is counted as a failure before the password is checked: concurrent tries
	// can't all pass, and a crash here leaves the try counted.
	if err := g.countTry(ctx, lane.key); err != nil {
		return policy.Subject{}, err
	}
	found, err := g.check(ctx, in, c)
	if errors.As(err, new(TooSoon)) { // it had no turn
		err = errors.Join(err, g.uncountTry(ctx, lane.key))
	}
	if err != nil {
		return policy.Subject{}, err
	}
	who, reason := choose(found)
	if reason != "" {
		if err := g.recordFailure(ctx, events.SignIn{Account: string(in.realm), ID: who.id, Method: events.ByPassword, Reason: reason}, known); err != nil {
			return policy.Subject{}, err
		}
		return policy.Subject{}, ErrWrongCredentials
	}
	signing := policy.Subject{Realm: in.realm, ID: who.id}
	method, err := g.verifyCode(ctx, lane, signing, c.TOTP)
	if errors.Is(err, errNoFactor) {
		err = nil
	}
	if err := g.conclude(ctx, lane, signing, method, err); err != nil {
		return policy.Subject{}, err
	}
	if who.stale {
		if err := g.rehash(ctx, in, who, c.Password); err != nil {
			return policy.Subject{}, err
		}
	}
	return g.signedIn(ctx, signing, method)
}

// check compares the password with that of every account of the address or the user name. Both take
// as long, and so does an unknown one.
func (g *Gate) check(ctx context.Context, in accounts, c Credentials) ([]account, error) {
	find, by := in.find, any(stored(c.Email))
	if name, is := signInName(c.Email); is && in.byName != "" {
		find, by = in.byName, name
	}
	rows, err := g.pool.Query(ctx, find, by)
	if err != nil {
		return nil, fmt.Errorf("looking up accounts: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a account, err error) {
		return a, row.Scan(&a.id, &a.active, &a.hash)
	})
	if err != nil && store.Code(err) != store.CharacterNotInRepertoire {
		return nil, fmt.Errorf("looking up accounts: %w", err)
	}
	for i := range in.checks(len(found)) {
		spare := account{}
		a := &spare
		if i < len(found) {
			a = &found[i]
		}
		if a.match, a.stale, err = g.passwords.matches(ctx, c.Password, a.hash); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// checks returns the number of password checks for n accounts.
func (in accounts) checks(n int) int {
	return max(1, (n+in.round-1)/in.round) * in.round
}

// choose returns the account that signs in. Otherwise it returns the reason to record,
// and the account only if it is certain which one was meant.
func choose(found []account) (who account, reason string) {
	var matching []account
	for _, a := range found {
		if a.match && a.active {
			matching = append(matching, a)
		} else if a.match {
			who, reason = a, "inactive"
		}
	}
	switch {
	case len(matching) == 1:
		return matching[0], ""
	case len(matching) > 1:
		// Two accounts share an address and a password, so neither is signed in. One of
		// them must be given another password.
		return account{}, "ambiguous"
	case reason != "":
		return who, reason
	case len(found) == 0:
		return account{}, "no_account"
	case len(found) == 1:
		return found[0], "wrong_password"
	default:
		return account{}, "wrong_password"
	}
}

// recordSignIn publishes a success.
func (g *Gate) recordSignIn(ctx context.Context, realm policy.Realm, id string, method events.SignInMethod) error {
	fact := events.SignIn{Attempt: uuid.New(), Account: string(realm), ID: id, Method: method}
	return g.publishSignIn(ctx, policy.Subject{Realm: realm, ID: id}.Actor(), fact)
}

// recordFailure records a failure. One in a known browser is an event at once. Of those of
// strangers, who may fail as often as they like, only the first few from a source are; see
// [Gate.PublishCounts]. The actor is the process, because the person was not authenticated.
func (g *Gate) recordFailure(ctx context.Context, fact events.SignIn, known bool) error {
	fact.Failed, fact.Attempt, fact.Source = true, uuid.New(), g.cfg.Source.Of(inbound.Client(ctx))
	if !known {
		g.passwords.failed(ctx)
		if !g.counts.single(g.cfg.Facts.Now(), fact) {
			return nil
		}
	}
	return g.publishSignIn(ctx, g.cfg.Facts.Process(), fact)
}

func (g *Gate) publishSignIn(ctx context.Context, actor string, fact events.SignIn) error {
	if _, err := g.publish(ctx, actor, fact); err != nil {
		return fmt.Errorf("recording a sign-in: %w", err)
	}
	return nil
}

// enter lines up a client that signs in. See package turn.
func (g *Gate) enter(ctx context.Context, l lane, known bool) (_ context.Context, leave func(), err error) {
	if known {
		return g.passwords.enter(ctx, turn.Known, string(l.key))
	}
	class, key := g.passwords.networkOf(ctx)
	return g.passwords.enter(ctx, class, key)
}

func (g *Gate) rehash(ctx context.Context, in accounts, who account, password string) error {
	hash, err := g.passwords.hash(ctx, password)
	if err != nil {
		return err
	}
	if _, err := g.pool.Exec(ctx, in.rehash, who.id, who.hash, hash); err != nil {
		return fmt.Errorf("renewing a password's hash: %w", err)
	}
	return nil
}
