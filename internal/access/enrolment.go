package access

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"postern/internal/access/factor"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"postern/internal/events"
)

const (
	secretLength    = 20 // bytes: RFC 4226, section 4, R6
	enrolmentMost   = "1 hour"
	enrolmentIssuer = "Postern"
	sealedSecret    = "second factor"
)

// ErrNoEnrolment says that no second factor is being set up, or that the setup expired.
var ErrNoEnrolment = errors.New("the setup of your second factor has expired: start it again")

// Enrolment is an authenticator app that is being set up.
type Enrolment struct {
	Secret string // to type, base32
	URL    string // otpauth://totp/…, for a QR code
}

// Enrol begins the setup of an authenticator app and replaces an unfinished setup. It has no
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
		if err := dropApps(ctx, tx, who); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO app.second_factors (change_id, realm, subject, wrapped_key, secret, made_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			change, string(who.Realm), who.ID, wrapped, sealed, g.cfg.Facts.Now())
		return err
	})
}

// dropApps deletes the secrets of a person that the record does not name.
func dropApps(ctx context.Context, tx pgx.Tx, who policy.Subject) error {
	_, err := tx.Exec(ctx, `DELETE FROM app.second_factors f WHERE realm = $1 AND subject = $2
		AND NOT EXISTS (SELECT FROM record.second_factors r WHERE r.change_id = f.change_id)`, string(who.Realm), who.ID)
	return err
}

// Enrolling returns the authenticator app that is being set up, or fails with
// [ErrNoEnrolment].
func (g *Gate) Enrolling(ctx context.Context, who policy.Subject) (Enrolment, error) {
	f, err := g.enrolling(ctx, who)
	if err != nil {
		return Enrolment{}, err
	}
	email, err := g.addressOf(ctx, who)
	if err != nil {
		return Enrolment{}, err
	}
	key, err := g.keyOf(f, email)
	if err != nil {
		return Enrolment{}, err
	}
	return Enrolment{Secret: key.Secret(), URL: key.URL()}, nil
}

func (g *Gate) enrolling(ctx context.Context, who policy.Subject) (app, error) {
	f, err := one(ctx, g.pool, ErrNoEnrolment, func(row pgx.CollectableRow) (f app, err error) {
		return f, row.Scan(&f.change, &f.wrapped, &f.sealed)
	}, `SELECT change_id, wrapped_key, secret FROM app.second_factors f WHERE realm = $1 AND subject = $2
		AND made_at > $3::timestamptz - interval '`+enrolmentMost+`'
		AND NOT EXISTS (SELECT FROM record.second_factors r WHERE r.change_id = f.change_id)
		ORDER BY made_at DESC LIMIT 1`, string(who.Realm), who.ID, g.cfg.Facts.Now())
	if err != nil && !errors.Is(err, ErrNoEnrolment) {
		err = fmt.Errorf("reading the authenticator app that is being set up: %w", err)
	}
	return f, err
}

// keyOf opens the secret of an app.
func (g *Gate) keyOf(f app, account string) (*otp.Key, error) {
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

func (g *Gate) secretOf(f app) (string, error) {
	key, err := g.keyOf(f, "-")
	if err != nil {
		return "", err
	}
	return key.Secret(), nil
}

// AddFactor finishes the setup that [Gate.Enrol] began and replaces any earlier app. The person
// must give their password and a code of the new app. AddFactor returns recovery codes, which can't
// be shown again, if the person had none, and ends all their sessions: [Gate.Begin] begins a new
// one. It fails with [ErrNoEnrolment], with [TooSoon], or with [passwords.ErrCurrent] and
// [ErrWrongCode], joined where both are wrong.
func (g *Gate) AddFactor(ctx context.Context, who policy.Subject, password, code string) (recovery []string, err error) {
	f, err := g.enrolling(ctx, who)
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
	// A crash before the publish leaves a secret that no event names.
	return g.recordAdded(ctx, who, events.SecondFactor{What: events.FactorAdded, Change: f.change, Kind: factor.App})
}
