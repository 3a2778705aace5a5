package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"postern/internal/events"
)

const (
	secretLength    = 20 // bytes: RFC 4226, section 4, R6
	recoveryCodes   = 8
	recoveryLength  = 16 // letters: 80 bits, so that their hashes need no salt
	enrolmentMost   = "1 hour"
	enrolmentIssuer = "Postern"
	sealedSecret    = "second factor"
)

// ErrNoEnrolment says that no second factor is being set up, or that the setup expired.
var ErrNoEnrolment = errors.New("the setup of your second factor has expired: start it again")

// ErrOwnFactor says that staff can't reset their own second factor: at an unlocked desk, or with
// a stolen API token, a stranger could then do with the password alone.
var ErrOwnFactor = problem.OwnAccount.New("you can't reset your own second factor: remove it at Account, with your password, or ask another administrator")

// ErrFactorRequired says that the clinic requires a second factor of all staff.
var ErrFactorRequired = errors.New("your clinic asks for a second factor: set up another instead")

// Enrolment is a second factor that is being set up.
type Enrolment struct {
	Secret string // to type, base32
	URL    string // otpauth://totp/…, for a QR code
}

// Enrol begins the setup of a second factor and replaces an unfinished setup. It has no
// effect on signing in until [Gate.AddFactor] checks a first code.
func (g *Gate) Enrol(ctx context.Context, who policy.Subject) error {
	change, secret := uuid.New(), make([]byte, secretLength)
	_, _ = rand.Read(secret) // never fails, see crypto/rand
	key, wrapped, err := g.cfg.Content.NewKey(change)
	if err != nil {
		return err
	}
	sealed, err := key.Seal(sealedSecret, secret)
	if err != nil {
		return err
	}
	return g.inTx(ctx, "keeping a second factor", func(tx pgx.Tx) error {
		if err := dropFactors(ctx, tx, who.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO app.second_factors (change_id, staff_id, wrapped_key, secret, made_at) VALUES ($1, $2, $3, $4, $5)`,
			change, who.ID, wrapped, sealed, g.cfg.Facts.Now())
		return err
	})
}

// dropFactors deletes the secrets of a staff member that the record does not name.
func dropFactors(ctx context.Context, tx pgx.Tx, staffID string) error {
	_, err := tx.Exec(ctx, `DELETE FROM app.second_factors f WHERE staff_id = $1
		AND NOT EXISTS (SELECT FROM record.second_factors r WHERE r.change_id = f.change_id)`, staffID)
	return err
}

// Enrolling returns the second factor that is being set up, or fails with
// [ErrNoEnrolment].
func (g *Gate) Enrolling(ctx context.Context, who policy.Subject) (Enrolment, error) {
	f, err := g.enrolling(ctx, who.ID)
	if err != nil {
		return Enrolment{}, err
	}
	staff, err := g.StaffByID(ctx, who.ID)
	if err != nil {
		return Enrolment{}, err
	}
	key, err := g.keyOf(f, staff.Email)
	if err != nil {
		return Enrolment{}, err
	}
	return Enrolment{Secret: key.Secret(), URL: key.URL()}, nil
}

func (g *Gate) enrolling(ctx context.Context, staffID string) (factor, error) {
	f, err := one(ctx, g.pool, ErrNoEnrolment, func(row pgx.CollectableRow) (f factor, err error) {
		return f, row.Scan(&f.change, &f.wrapped, &f.sealed)
	}, `SELECT change_id, wrapped_key, secret FROM app.second_factors f WHERE staff_id = $1
		AND made_at > $2::timestamptz - interval '`+enrolmentMost+`'
		AND NOT EXISTS (SELECT FROM record.second_factors r WHERE r.change_id = f.change_id)
		ORDER BY made_at DESC LIMIT 1`, staffID, g.cfg.Facts.Now())
	if err != nil && !errors.Is(err, ErrNoEnrolment) {
		err = fmt.Errorf("reading the second factor that is being set up: %w", err)
	}
	return f, err
}

// keyOf opens the secret of a factor.
func (g *Gate) keyOf(f factor, account string) (*otp.Key, error) {
	if g.cfg.Content == nil {
		return nil, errors.New("access: this process has no keys of content")
	}
	opened, err := g.cfg.Content.Unwrap(f.change, f.wrapped)
	if err != nil {
		return nil, err
	}
	secret, err := opened.Open(sealedSecret, f.sealed)
	if err != nil {
		return nil, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: enrolmentIssuer, AccountName: account, Secret: secret})
	if err != nil {
		return nil, fmt.Errorf("reading a second factor: %w", err)
	}
	return key, nil
}

func (g *Gate) secretOf(f factor) (string, error) {
	key, err := g.keyOf(f, "-")
	if err != nil {
		return "", err
	}
	return key.Secret(), nil
}

// AddFactor finishes the setup that [Gate.Enrol] began and replaces any earlier second
// factor. The staff member must give their password and a code of the new factor.
// AddFactor returns the recovery codes, which can't be shown again, and ends all their
// sessions: [Gate.Begin] begins a new one. It fails with [ErrNoEnrolment], with
// [TooSoon], or with [passwords.ErrCurrent] and [ErrWrongCode], joined where both are
// wrong.
func (g *Gate) AddFactor(ctx context.Context, who policy.Subject, password, code string) (recovery []string, err error) {
	f, err := g.enrolling(ctx, who.ID)
	if err != nil {
		return nil, err
	}
	secret, err := g.secretOf(f)
	if err != nil {
		return nil, err
	}
	_, err = g.provePassword(ctx, who, password)
	if errors.Is(err, passwords.ErrCurrent) {
		if steps, wrong := g.stepsOf(secret, code); wrong == nil && len(steps) == 0 {
			err = errors.Join(err, ErrWrongCode)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := g.useCode(ctx, f.change, secret, code); err != nil {
		return nil, err
	}
	recovery, hashes := newRecoveryCodes()
	if _, err := g.pool.Exec(ctx, `INSERT INTO app.recovery_codes (change_id, code_hash) SELECT $1, unnest($2::bytea[])`, f.change, hashes); err != nil {
		return nil, fmt.Errorf("keeping recovery codes: %w", err)
	}
	// A crash before the publish leaves a secret that no event names. After it, the
	// factor is required; a staff member who has not seen the recovery codes sets up
	// another factor.
	if err := g.recordFacts(ctx, who.Actor(), events.SecondFactor{What: events.FactorAdded, Change: f.change, StaffID: who.ID}); err != nil {
		return nil, err
	}
	return recovery, g.afterFactor(ctx, who.ID)
}

// afterFactor deletes secrets that are no longer used and ends the earlier sessions.
func (g *Gate) afterFactor(ctx context.Context, staffID string) error {
	return g.inTx(ctx, "ending earlier sessions", func(tx pgx.Tx) error {
		if err := dropFactors(ctx, tx, staffID); err != nil {
			return err
		}
		return endSessions(ctx, tx, policy.RealmStaff, staffID)
	})
}

// newRecoveryCodes makes codes of four times four letters and digits, and their hashes.
func newRecoveryCodes() (codes []string, hashes [][]byte) {
	for range recoveryCodes {
		var raw [recoveryLength * 5 / 8]byte
		_, _ = rand.Read(raw[:]) // never fails, see crypto/rand
		code := letters.EncodeToString(raw[:])
		sum := sha256.Sum256([]byte(code))
		codes = append(codes, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
		hashes = append(hashes, sum[:])
	}
	return codes, hashes
}

// RemoveFactor removes a staff member's own second factor. They must give their password,
// and sign in with it alone from then on. It ends all their sessions. It fails with
// [ErrFactorRequired], [passwords.ErrCurrent] or [TooSoon].
func (g *Gate) RemoveFactor(ctx context.Context, who policy.Subject, password string) error {
	if g.cfg.FactorRequired {
		return ErrFactorRequired
	}
	if _, err := g.provePassword(ctx, who, password); err != nil {
		return err
	}
	return g.dropFactor(ctx, who.Actor(), who.ID, events.FactorRemoved)
}

// ResetFactor removes the second factor of a staff member who has lost it, and ends their
// sessions. The event names actor. Without a second factor it publishes no event. The
// permissions that take two people are requested again if the actor is a staff member. It
// fails with [ErrNoStaff] or [ErrOwnFactor].
func (g *Gate) ResetFactor(ctx context.Context, actor, staffID string) error {
	if actor == (policy.Subject{Realm: policy.RealmStaff, ID: staffID}).Actor() {
		return ErrOwnFactor
	}
	staff, err := g.StaffByID(ctx, staffID)
	if err != nil {
		return err
	}
	if staff.SecondFactor {
		if err := g.requestAgain(ctx, actor, staffID); err != nil {
			return err
		}
	}
	return g.dropFactor(ctx, actor, staffID, events.FactorReset)
}

func (g *Gate) dropFactor(ctx context.Context, actor, staffID string, what events.SecondFactorChange) error {
	_, err := g.factorOf(ctx, staffID)
	if errors.Is(err, errNoFactor) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := g.recordFacts(ctx, actor, events.SecondFactor{What: what, Change: uuid.New(), StaffID: staffID}); err != nil {
		return err
	}
	return g.afterFactor(ctx, staffID)
}

// RecoveryCodesLeft returns the number of unused recovery codes of a staff member.
func (g *Gate) RecoveryCodesLeft(ctx context.Context, who policy.Subject) (int, error) {
	n, err := one(ctx, g.pool, errNoFactor, pgx.RowTo[int], `
		SELECT count(*) FROM app.recovery_codes JOIN record.second_factors USING (change_id) WHERE staff_id = $1`, who.ID)
	if err != nil {
		return 0, fmt.Errorf("counting recovery codes: %w", err)
	}
	return n, nil
}

// FactorRequired reports whether the clinic requires a second factor of all staff.
func (g *Gate) FactorRequired() bool { return g.cfg.FactorRequired }
