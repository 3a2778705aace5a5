package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"postern/internal/events"
)

// A second factor is a secret that a staff member's phone shares with Postern. A code of
// six digits is computed from the secret and the time: RFC 6238 with its defaults, SHA-1
// and a step of half a minute.
//
// The record says which staff have a second factor (record.second_factors) and names the
// secret. The secret is kept here (app.second_factors), sealed with a key that the
// key-encryption key of all content wraps. If the record requires a factor whose secret
// is lost, every code is refused.

const (
	stepLength = 30 * time.Second
	codeLength = otp.DigitsSix
	// halfwayLifetime is the most time between the password and the code.
	halfwayLifetime = 10 * time.Minute
)

// CodeNeeded says that the password is right, and that a code of the second factor is
// needed too. Give the code in [Credentials], or, for a sign-in in two steps, call
// [Gate.AwaitCode] and then [Gate.SignInWithCode].
type CodeNeeded struct{ staffID string }

func (CodeNeeded) Error() string {
	return "a code of your second factor is needed: sign in with the password and the code that your app shows"
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

// factor is a second factor as the record names it. If its secret is lost, wrapped and
// sealed are nil.
type factor struct {
	change          uuid.UUID
	wrapped, sealed []byte
}

// factorOf returns a staff member's second factor. It fails with errNoFactor.
func (g *Gate) factorOf(ctx context.Context, staffID string) (factor, error) {
	f, err := one(ctx, g.pool, errNoFactor, func(row pgx.CollectableRow) (f factor, err error) {
		return f, row.Scan(&f.change, &f.wrapped, &f.sealed)
	}, `SELECT r.change_id, f.wrapped_key, f.secret
		FROM record.second_factors r LEFT JOIN app.second_factors f USING (change_id) WHERE r.staff_id = $1`, staffID)
	if err != nil && !errors.Is(err, errNoFactor) {
		err = fmt.Errorf("reading a second factor: %w", err)
	}
	return f, err
}

// verifyCode checks a code of a staff member's second factor and marks it as used. It
// fails with errNoFactor, [CodeNeeded] for "", [TooSoon] or [ErrWrongCode].
func (g *Gate) verifyCode(ctx context.Context, lane lane, staffID, code string) (events.SignInMethod, error) {
	f, err := g.factorOf(ctx, staffID)
	if err != nil {
		return events.ByPassword, err
	}
	code = strings.ToLower(strings.Join(strings.FieldsFunc(code, func(r rune) bool { return r == ' ' || r == '-' }), ""))
	if code == "" {
		return events.ByPassword, CodeNeeded{staffID}
	}
	if !bytes.Equal(lane.all, lane.key) { // if they are equal, the try is counted already
		if err := g.countTry(ctx, lane.all); err != nil {
			return events.ByPasswordAndCode, err
		}
	}
	switch {
	case len(code) == recoveryLength:
		return events.ByPasswordAndRecoveryCode, g.useRecoveryCode(ctx, f.change, code)
	case f.sealed == nil:
		return events.ByPasswordAndCode, ErrWrongCode
	}
	secret, err := g.secretOf(f)
	if err != nil {
		return events.ByPasswordAndCode, err
	}
	return events.ByPasswordAndCode, g.useCode(ctx, f.change, secret, code)
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

// useRecoveryCode accepts a recovery code and deletes it.
func (g *Gate) useRecoveryCode(ctx context.Context, change uuid.UUID, code string) error {
	sum := sha256.Sum256([]byte(code))
	tag, err := g.pool.Exec(ctx, `DELETE FROM app.recovery_codes WHERE change_id = $1 AND code_hash = $2`, change, sum[:])
	if err != nil {
		return fmt.Errorf("marking a recovery code as used: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return ErrWrongCode
	}
	return nil
}

// AwaitCode stores in the session of the request that a staff member's password was right.
// The session is not yet authenticated. The request must have come through [Gate.Staff].
func (g *Gate) AwaitCode(ctx context.Context, needed CodeNeeded) error {
	sessions := g.staff.sessions
	if err := sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("remembering the password: %w", err)
	}
	if err := sessions.Clear(ctx); err != nil {
		return fmt.Errorf("remembering the password: %w", err)
	}
	sessions.Put(ctx, halfwayKey, needed.staffID)
	sessions.Put(ctx, halfwayUntilKey, g.cfg.Facts.Now().Add(halfwayLifetime).Format(time.RFC3339))
	return nil
}

// AwaitsCode reports whether the session's password was accepted and its code is due.
func (g *Gate) AwaitsCode(ctx context.Context) bool {
	until, err := time.Parse(time.RFC3339, g.staff.sessions.GetString(ctx, halfwayUntilKey))
	return err == nil && g.cfg.Facts.Now().Before(until)
}

// SignInWithCode is the second step of [Gate.SignInStaff], after [Gate.AwaitCode]. It fails
// with [ErrNotHalfway], [ErrWrongCode] or [TooSoon]: a wrong code counts like a wrong
// password, and the right password does not reset the count.
func (g *Gate) SignInWithCode(ctx context.Context, code string) (policy.Subject, error) {
	if !g.AwaitsCode(ctx) {
		return policy.Subject{}, ErrNotHalfway
	}
	staff, err := g.StaffByID(ctx, g.staff.sessions.GetString(ctx, halfwayKey))
	if errors.Is(err, ErrNoStaff) || err == nil && staff.DisabledAt != nil {
		return policy.Subject{}, ErrNotHalfway
	}
	if err != nil {
		return policy.Subject{}, err
	}
	lane := g.laneOf(ctx, policy.RealmStaff, staff.Email)
	if err := g.countTry(ctx, lane.key); err != nil {
		return policy.Subject{}, err
	}
	method, err := g.verifyCode(ctx, lane, staff.ID, code)
	if errors.Is(err, errNoFactor) {
		return policy.Subject{}, ErrNotHalfway // the factor was reset since the password
	}
	if err := g.conclude(ctx, lane, policy.RealmStaff, staff.ID, method, err); err != nil {
		return policy.Subject{}, err
	}
	subject, err := g.loadStaff(ctx, staff.ID)
	subject.Method = method
	return subject, err
}

// conclude records the result of a sign-in whose password was right. After a success it clears
// the count of failed tries.
func (g *Gate) conclude(ctx context.Context, lane lane, realm policy.Realm, id string, method events.SignInMethod, failure error) error {
	if errors.Is(failure, ErrWrongCode) {
		// Always an event: there are few, and the person who typed it knows the password.
		if err := g.recordFailure(ctx, events.SignIn{Account: string(realm), ID: id, Method: method, Reason: "wrong_code"}, true); err != nil {
			return err
		}
	}
	if failure != nil {
		return failure
	}
	if err := g.recordSignIn(ctx, realm, id, method); err != nil {
		return err
	}
	return g.clearFailures(ctx, lane)
}
