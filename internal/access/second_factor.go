package access

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/access/factor"
	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"postern/internal/events"
)

// A second factor is an authenticator app, which shares a secret with Postern, or a passkey
// (passkey.go). The app computes a code of six digits from the secret and the time: RFC 6238
// with its defaults, SHA-1 and a step of half a minute.
//
// The record says which second factors an account has (record.second_factors), and names the
// secret or the passkey. A secret is kept here (app.second_factors), sealed with a key that the
// key-encryption key of all content wraps; a passkey is in app.passkeys, which has no secret. If
// the record requires a factor whose secret is lost, every code is refused.
//
// Staff and portal users have them alike. A [policy.Subject] is named here by its realm and id.

const (
	stepLength = 30 * time.Second
	codeLength = otp.DigitsSix
	// halfwayLifetime is the most time between the password and the code.
	halfwayLifetime = 10 * time.Minute
)

// CodeNeeded says that the password is right, and that the second factor is needed too. Give a
// code in [Credentials], or, for a sign-in in two steps, call [Gate.AwaitCode] and then
// [Gate.SignInWithCode] or [Gate.SignInWithPasskey].
type CodeNeeded struct {
	realm policy.Realm
	id    string
}

func (CodeNeeded) Error() string {
	return "your second factor is needed too: give the password and the code that your app shows, or a recovery code; a passkey works in a browser"
}

// Problem is the API's answer to such a sign-in.
func (e CodeNeeded) Problem() *problem.Error { return problem.SecondFactorRequired.Problem(e.Error()) }

var (
	// ErrWrongCode says that a code is not the current one, or was used before.
	ErrWrongCode = problem.WrongCode.New("the code is wrong, or was used before: type the one that your app shows now, and check that your phone's clock is right")
	// ErrNotHalfway says that no password was accepted in this session recently.
	ErrNotHalfway = errors.New("it took too long: sign in again, from the beginning")

	errNoFactor = errors.New("there is no second factor")
)

// app is an authenticator app as the record names it. If its secret is lost, wrapped and
// sealed are nil.
type app struct {
	change          uuid.UUID
	wrapped, sealed []byte
}

// kindsInForce returns the kinds of the second factors of an account, none if it has no second
// factor in force. Every question whether an account has one asks this view.
const kindsInForce = `coalesce((SELECT k.kinds FROM record.accounts_with_second_factor k WHERE k.realm = %s AND k.subject = %s), '{}')`

// SecondFactors returns the kinds of the second factors that an account has in force. It has none
// if the list is empty.
func (g *Gate) SecondFactors(ctx context.Context, realm policy.Realm, id string) ([]factor.Kind, error) {
	kinds, err := one(ctx, g.pool, errNoFactor, pgx.RowTo[[]factor.Kind], `SELECT `+fmt.Sprintf(kindsInForce, "$1", "$2"), string(realm), id)
	if err != nil {
		return nil, fmt.Errorf("reading the second factors of an account: %w", err)
	}
	return kinds, nil
}

// appOf returns the authenticator app of a person. It fails with errNoFactor.
func (g *Gate) appOf(ctx context.Context, who policy.Subject) (app, error) {
	f, err := one(ctx, g.pool, errNoFactor, func(row pgx.CollectableRow) (f app, err error) {
		return f, row.Scan(&f.change, &f.wrapped, &f.sealed)
	}, `SELECT r.change_id, f.wrapped_key, f.secret
		FROM record.second_factors r LEFT JOIN app.second_factors f USING (change_id)
		WHERE r.realm = $1 AND r.subject = $2 AND r.kind = 'totp'`, string(who.Realm), who.ID)
	if err != nil && !errors.Is(err, errNoFactor) {
		err = fmt.Errorf("reading an authenticator app: %w", err)
	}
	return f, err
}

// verifyCode checks a code of a person's authenticator app, or a recovery code, and marks it as
// used. It fails with errNoFactor for a person without a second factor, [CodeNeeded] for "",
// [TooSoon] or [ErrWrongCode].
func (g *Gate) verifyCode(ctx context.Context, lane lane, who policy.Subject, code string) (events.SignInMethod, error) {
	kinds, err := g.SecondFactors(ctx, who.Realm, who.ID)
	if err == nil && len(kinds) == 0 {
		err = errNoFactor
	}
	if err != nil {
		return events.ByPassword, err
	}
	code = strings.ToLower(strings.Join(strings.FieldsFunc(code, func(r rune) bool { return r == ' ' || r == '-' }), ""))
	if code == "" {
		return events.ByPassword, CodeNeeded{who.Realm, who.ID}
	}
	if err := g.countSecond(ctx, lane); err != nil {
		return events.ByPasswordAndCode, err
	}
	if len(code) == recoveryLength || len(code) == formerRecovery {
		return events.ByPasswordAndRecoveryCode, g.useRecoveryCode(ctx, who, code)
	}
	f, err := g.appOf(ctx, who)
	if errors.Is(err, errNoFactor) || err == nil && f.sealed == nil {
		return events.ByPasswordAndCode, ErrWrongCode
	}
	if err != nil {
		return events.ByPasswordAndCode, err
	}
	secret, err := g.secretOf(f)
	if err != nil {
		return events.ByPasswordAndCode, err
	}
	return events.ByPasswordAndCode, g.useCode(ctx, f.change, secret, code)
}

// countSecond counts a try of a second factor by all networks together. It fails with [TooSoon].
func (g *Gate) countSecond(ctx context.Context, lane lane) error {
	if bytes.Equal(lane.all, lane.key) { // the try is counted already
		return nil
	}
	return g.countTry(ctx, lane.all)
}

// useCode accepts a code of the current step, the one before or the one after. It accepts
// each code once, and no code of a step before that of an accepted code (RFC 6238,
// section 5.2).
func (g *Gate) useCode(ctx context.Context, change uuid.UUID, secret, code string) error {
	steps, err := g.stepsOf(secret, code)
	if err != nil {
		return err
	}
	for _, step := range steps {
		tag, err := g.pool.Exec(ctx, `UPDATE app.second_factors SET last_step = $2 WHERE change_id = $1 AND last_step < $2`, change, step)
		if err != nil {
			return fmt.Errorf("marking a code as used: %w", err)
		}
		if tag.RowsAffected() == 1 {
			return nil
		}
	}
	return ErrWrongCode
}

// stepsOf returns the steps for which the code is right, out of the current step, the one
// before and the one after.
func (g *Gate) stepsOf(secret, code string) (steps []int64, err error) {
	now := g.cfg.Facts.Now().Unix() / int64(stepLength/time.Second)
	for step := now - 1; step <= now+1; step++ {
		ok, err := hotp.ValidateCustom(code, uint64(step), secret, hotp.ValidateOpts{Digits: codeLength, Algorithm: otp.AlgorithmSHA1}) // #nosec G115 -- after 1970
		if errors.Is(err, otp.ErrValidateInputInvalidLength) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("checking a code: %w", err)
		}
		if ok {
			steps = append(steps, step)
		}
	}
	return steps, nil
}

// AwaitCode stores in the session of the request that a person's password was right. The
// session is not yet authenticated. The request must have come through the middleware of the
// person's realm.
func (g *Gate) AwaitCode(ctx context.Context, needed CodeNeeded) error {
	sessions := g.ofRealm(needed.realm).sessions
	if err := sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("remembering the password: %w", err)
	}
	if err := sessions.Clear(ctx); err != nil {
		return fmt.Errorf("remembering the password: %w", err)
	}
	sessions.Put(ctx, halfwayKey, needed.id)
	sessions.Put(ctx, halfwayUntilKey, g.cfg.Facts.Now().Add(halfwayLifetime).Format(time.RFC3339))
	return nil
}

// AwaitsCode reports whether the session's password was accepted and its second factor is due.
// The request must have come through the middleware of the realm, as for all steps below.
func (g *Gate) AwaitsCode(ctx context.Context, realm policy.Realm) bool {
	until, err := time.Parse(time.RFC3339, g.ofRealm(realm).sessions.GetString(ctx, halfwayUntilKey))
	return err == nil && g.cfg.Facts.Now().Before(until)
}

// halfway returns the person whose password was right and whose second factor is due, with their
// lane. It fails with [ErrNotHalfway].
func (g *Gate) halfway(ctx context.Context, realm policy.Realm) (policy.Subject, lane, error) {
	if !g.AwaitsCode(ctx, realm) {
		return policy.Subject{}, lane{}, ErrNotHalfway
	}
	who := policy.Subject{Realm: realm, ID: g.ofRealm(realm).sessions.GetString(ctx, halfwayKey)}
	email, err := g.addressOf(ctx, who)
	if errors.Is(err, policy.ErrUnauthenticated) {
		err = ErrNotHalfway
	}
	return who, g.laneOf(ctx, realm, email), err
}

// addressOf returns the e-mail address, or the user name, with which a person signs in. It fails with
// [policy.ErrUnauthenticated] if the account is disabled, inactive or gone.
func (g *Gate) addressOf(ctx context.Context, who policy.Subject) (string, error) {
	if who.Realm == policy.RealmStaff {
		staff, err := g.StaffByID(ctx, who.ID)
		if errors.Is(err, ErrNoStaff) || err == nil && staff.DisabledAt != nil {
			err = policy.ErrUnauthenticated
		}
		return staff.Email, err
	}
	u, err := g.portalUserByID(ctx, who.ID)
	if errors.Is(err, ErrNoPortalUser) || err == nil && !u.hasAccount {
		err = policy.ErrUnauthenticated
	}
	return cmp.Or(u.email, u.userName), err
}

// SignInWithCode is the second step of [Gate.SignInStaff] or [Gate.SignInPortal], after
// [Gate.AwaitCode]. It fails with [ErrNotHalfway], [CodeNeeded], [ErrWrongCode] or [TooSoon]: a
// wrong code counts like a wrong password, and the right password does not reset the count.
func (g *Gate) SignInWithCode(ctx context.Context, realm policy.Realm, code string) (policy.Subject, error) {
	who, lane, err := g.halfway(ctx, realm)
	if err != nil {
		return policy.Subject{}, err
	}
	if err := g.countTry(ctx, lane.key); err != nil {
		return policy.Subject{}, err
	}
	method, err := g.verifyCode(ctx, lane, who, code)
	if errors.Is(err, errNoFactor) {
		return policy.Subject{}, ErrNotHalfway // the factor was reset since the password
	}
	if err := g.conclude(ctx, lane, who, method, err); err != nil {
		return policy.Subject{}, err
	}
	return g.signedIn(ctx, who, method)
}

// signedIn returns the subject of a sign-in that is recorded.
func (g *Gate) signedIn(ctx context.Context, who policy.Subject, method events.SignInMethod) (policy.Subject, error) {
	load := g.loadPortalUser
	if who.Realm == policy.RealmStaff {
		load = g.loadStaff
	}
	subject, err := load(ctx, who.ID)
	subject.Method = method
	return subject, err
}

// reasons are the reasons that the record gives for a second factor that was refused.
var reasons = map[error]string{ErrWrongCode: "wrong_code", ErrWrongPasskey: "wrong_passkey", ErrClonedPasskey: "cloned_passkey"}

// conclude records the result of a sign-in whose password was right, or that has a passkey. After
// a success it clears the count of failed tries.
func (g *Gate) conclude(ctx context.Context, lane lane, who policy.Subject, method events.SignInMethod, failure error) error {
	for refusal, reason := range reasons {
		if errors.Is(failure, refusal) {
			// Always an event: there are few, and the person who typed a code knows the password.
			if err := g.recordFailure(ctx, events.SignIn{Account: string(who.Realm), ID: who.ID, Method: method, Reason: reason}, true); err != nil {
				return err
			}
		}
	}
	if failure != nil {
		return failure
	}
	if err := g.recordSignIn(ctx, who.Realm, who.ID, method); err != nil {
		return err
	}
	return g.clearFailures(ctx, lane)
}
