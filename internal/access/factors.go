package access

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"postern/internal/access/factor"
	"postern/internal/access/policy"
	"postern/internal/problem"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

const (
	recoveryCodes  = 8
	recoveryLength = 24 // letters: 120 bits, so that their hashes need no salt (ASVS 5.0.0, 6.5.2)
	formerRecovery = 16 // letters of a code of version 0.2, which still works
)

// ErrOwnFactor says that staff can't reset their own second factor: at an unlocked desk, or with
// a stolen API token, a stranger could then do with the password alone.
var ErrOwnFactor = problem.OwnAccount.New("you can't reset your own second factor: remove it at Account, with your password, or ask another administrator")

var (
	// ErrFactorRequired says that the clinic requires a second factor of all staff, and that this
	// is the last one.
	ErrFactorRequired = errors.New("your clinic requires a second factor: set up another one first")
	// ErrNoSuchFactor says that a second factor is gone already, or is another person's.
	ErrNoSuchFactor = errors.New("you don't have this second factor any more")
	// ErrNoFactor says that a person has no second factor, and so needs no recovery codes.
	ErrNoFactor = errors.New("you have no second factor: set one up first")
)

// FactorsOf returns a person's second factors, for a page at this host.
func (g *Gate) FactorsOf(ctx context.Context, who policy.Subject, host string) (factor.Factors, error) {
	all, err := g.factorsOf(ctx, g.pool, who)
	if err != nil {
		return factor.Factors{}, err
	}
	left, err := one(ctx, g.pool, errNoFactor, pgx.RowTo[int], `SELECT count(*) FROM app.recovery_codes c JOIN record.recovery_codes r USING (set_id)
		WHERE r.realm = $1 AND r.subject = $2`, string(who.Realm), who.ID)
	if err != nil {
		return factor.Factors{}, fmt.Errorf("counting recovery codes: %w", err)
	}
	return factor.Factors{All: all, Recovery: left, Required: g.requires(who), Passkeys: g.PasskeysAt(host)}, nil
}

// requires reports whether an account must have a second factor.
func (g *Gate) requires(who policy.Subject) bool {
	return g.cfg.FactorRequired && who.Realm == policy.RealmStaff
}

func (g *Gate) factorsOf(ctx context.Context, q querier, who policy.Subject) ([]factor.Factor, error) {
	host := ""
	if g.cfg.Passkeys != nil {
		host = g.cfg.Passkeys.Host()
	}
	rows, err := q.Query(ctx, `
		SELECT r.change_id, r.kind, coalesce(p.name, ''), r.added_at, p.used_at, CASE WHEN p.host <> $3 THEN p.host ELSE '' END
		FROM record.second_factors r LEFT JOIN app.passkeys p USING (change_id)
		WHERE r.realm = $1 AND r.subject = $2 ORDER BY r.added_at, r.change_id`, string(who.Realm), who.ID, host)
	if err != nil {
		return nil, fmt.Errorf("reading second factors: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[factor.Factor])
	if err != nil {
		return nil, fmt.Errorf("reading second factors: %w", err)
	}
	return all, nil
}

// recoverySet returns the id of a person's recovery codes. It fails with errNoFactor if they have
// none.
func (g *Gate) recoverySet(ctx context.Context, who policy.Subject) (uuid.UUID, error) {
	set, err := one(ctx, g.pool, errNoFactor, pgx.RowTo[uuid.UUID], `SELECT set_id FROM record.recovery_codes WHERE realm = $1 AND subject = $2`, string(who.Realm), who.ID)
	if err != nil && !errors.Is(err, errNoFactor) {
		err = fmt.Errorf("reading recovery codes: %w", err)
	}
	return set, err
}

// recordAdded records a factor of which the secret or the key is stored, with recovery codes if
// the person has none, and ends their sessions.
//
// A crash before the publish leaves what no event names. After it, the factor is in force; a person
// who has not seen the recovery codes makes others.
func (g *Gate) recordAdded(ctx context.Context, who policy.Subject, added events.SecondFactor) (recovery []string, err error) {
	added.Account, added.ID = string(who.Realm), who.ID
	facts := []events.Body{added}
	_, err = g.recoverySet(ctx, who)
	if errors.Is(err, errNoFactor) {
		var made events.RecoveryCodesMade
		if recovery, made, err = g.storeRecoveryCodes(ctx, who); err == nil {
			facts = append(facts, made)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := g.recordFacts(ctx, who.Actor(), facts...); err != nil {
		return nil, err
	}
	return recovery, g.afterFactor(ctx, who, nil, uuid.Nil)
}

// afterFactor deletes what the record no longer names, of the factors and the recovery codes of
// before, and ends the earlier sessions.
func (g *Gate) afterFactor(ctx context.Context, who policy.Subject, former []factor.Factor, formerSet uuid.UUID) error {
	ids := make([]uuid.UUID, 0, len(former))
	for _, f := range former {
		ids = append(ids, f.ID)
	}
	return g.inTx(ctx, "ending earlier sessions", func(tx pgx.Tx) error {
		if err := dropApps(ctx, tx, who); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM app.passkeys p WHERE change_id = ANY ($1)
			AND NOT EXISTS (SELECT FROM record.second_factors r WHERE r.change_id = p.change_id)`, ids); err != nil {
			return err
		}
		if err := dropRecoveryCodes(ctx, tx, formerSet); err != nil {
			return err
		}
		return endSessions(ctx, tx, who.Realm, who.ID)
	})
}

func dropRecoveryCodes(ctx context.Context, tx pgx.Tx, set uuid.UUID) error {
	_, err := tx.Exec(ctx, `DELETE FROM app.recovery_codes c WHERE set_id = $1
		AND NOT EXISTS (SELECT FROM record.recovery_codes r WHERE r.set_id = c.set_id)`, set)
	return err
}

// RemoveFactor removes one of a person's own second factors. They must give their password. It
// ends all their sessions. It fails with [ErrNoSuchFactor], with [ErrFactorRequired] for the last
// one if they must have one, [passwords.ErrCurrent] or [TooSoon].
func (g *Gate) RemoveFactor(ctx context.Context, who policy.Subject, id uuid.UUID, password string) error {
	if _, err := g.removable(ctx, g.pool, who, id); err != nil {
		return err
	}
	if _, err := g.provePassword(ctx, who, password); err != nil {
		return err
	}
	set, err := g.recoverySet(ctx, who)
	if err != nil && !errors.Is(err, errNoFactor) {
		return err
	}
	// Alone, so that the last two are not removed at once.
	return g.alone(ctx, func(q querier, held func(context.Context) error) error {
		gone, err := g.removable(ctx, q, who, id)
		if err != nil {
			return err
		}
		if err := held(ctx); err != nil {
			return err
		}
		removed := events.SecondFactor{What: events.FactorRemoved, Change: uuid.New(), Account: string(who.Realm), ID: who.ID, Kind: gone.Kind, Factor: &id}
		if err := g.recordFacts(ctx, who.Actor(), removed); err != nil {
			return err
		}
		return g.afterFactor(ctx, who, []factor.Factor{gone}, set)
	})
}

// removable returns a factor that its owner may remove.
func (g *Gate) removable(ctx context.Context, q querier, who policy.Subject, id uuid.UUID) (factor.Factor, error) {
	all, err := g.factorsOf(ctx, q, who)
	if err != nil {
		return factor.Factor{}, err
	}
	for _, f := range all {
		if f.ID == id && len(all) == 1 && g.requires(who) {
			return f, ErrFactorRequired
		}
		if f.ID == id {
			return f, nil
		}
	}
	return factor.Factor{}, ErrNoSuchFactor
}

// ResetFactor removes all second factors of a staff member who has lost them, and ends their
// sessions. The event names actor. Without a second factor it publishes no event. The
// permissions that take two people are requested again if the actor is a staff member. It fails
// with [ErrNoStaff] or [ErrOwnFactor].
func (g *Gate) ResetFactor(ctx context.Context, actor, staffID string) error {
	who := policy.Subject{Realm: policy.RealmStaff, ID: staffID}
	if actor == who.Actor() {
		return ErrOwnFactor
	}
	staff, err := g.StaffByID(ctx, staffID)
	if err != nil {
		return err
	}
	if len(staff.SecondFactors) > 0 {
		if err := g.requestAgain(ctx, actor, staffID); err != nil {
			return err
		}
	}
	return g.resetFactor(ctx, actor, who)
}

// ResetPortalFactor is [Gate.ResetFactor] for a portal user, active or not. It fails with
// [ErrNoPortalUser].
func (g *Gate) ResetPortalFactor(ctx context.Context, actor, portalUserID string) error {
	if _, err := g.PortalAccount(ctx, portalUserID); err != nil {
		return err
	}
	return g.resetFactor(ctx, actor, policy.Subject{Realm: policy.RealmPortalUser, ID: portalUserID})
}

func (g *Gate) resetFactor(ctx context.Context, actor string, who policy.Subject) error {
	former, err := g.factorsOf(ctx, g.pool, who)
	if err != nil || len(former) == 0 {
		return err
	}
	set, err := g.recoverySet(ctx, who)
	if err != nil && !errors.Is(err, errNoFactor) {
		return err
	}
	if err := g.recordFacts(ctx, actor, events.SecondFactor{What: events.FactorReset, Change: uuid.New(), Account: string(who.Realm), ID: who.ID}); err != nil {
		return err
	}
	return g.afterFactor(ctx, who, former, set)
}

// NewRecoveryCodes makes new recovery codes for a person, who must give their password. They can't
// be shown again, and those of before no longer work. It fails with [ErrNoFactor],
// [passwords.ErrCurrent] or [TooSoon].
func (g *Gate) NewRecoveryCodes(ctx context.Context, who policy.Subject, password string) ([]string, error) {
	kinds, err := g.SecondFactors(ctx, who.Realm, who.ID)
	if err == nil && len(kinds) == 0 {
		err = ErrNoFactor
	}
	if err != nil {
		return nil, err
	}
	if _, err := g.provePassword(ctx, who, password); err != nil {
		return nil, err
	}
	former, err := g.recoverySet(ctx, who)
	if err != nil && !errors.Is(err, errNoFactor) {
		return nil, err
	}
	codes, made, err := g.storeRecoveryCodes(ctx, who)
	if err != nil {
		return nil, err
	}
	// A crash before the publish leaves the codes of before in force; after it, codes that no one
	// has seen: the person makes others.
	if err := g.recordFacts(ctx, who.Actor(), made); err != nil {
		return nil, err
	}
	return codes, g.inTx(ctx, "deleting former recovery codes", func(tx pgx.Tx) error { return dropRecoveryCodes(ctx, tx, former) })
}

// storeRecoveryCodes makes recovery codes and stores their hashes. They work once the returned
// event is recorded.
func (g *Gate) storeRecoveryCodes(ctx context.Context, who policy.Subject) ([]string, events.RecoveryCodesMade, error) {
	made := events.RecoveryCodesMade{Set: uuid.New(), Account: string(who.Realm), ID: who.ID}
	codes, hashes := newRecoveryCodes()
	_, err := g.pool.Exec(ctx, `INSERT INTO app.recovery_codes (set_id, realm, subject, made_at, code_hash) SELECT $1, $2, $3, $4, unnest($5::bytea[])`,
		made.Set, string(who.Realm), who.ID, g.cfg.Facts.Now(), hashes)
	if err != nil {
		return nil, made, fmt.Errorf("keeping recovery codes: %w", err)
	}
	return codes, made, nil
}

// newRecoveryCodes makes codes of six times four letters and digits, and their hashes.
func newRecoveryCodes() (codes []string, hashes [][]byte) {
	for range recoveryCodes {
		var raw [recoveryLength * 5 / 8]byte
		_, _ = rand.Read(raw[:]) // never fails, see crypto/rand
		code := letters.EncodeToString(raw[:])
		sum := sha256.Sum256([]byte(code))
		groups := slices.Collect(slices.Chunk([]byte(code), 4))
		codes = append(codes, string(bytes.Join(groups, []byte("-"))))
		hashes = append(hashes, sum[:])
	}
	return codes, hashes
}

// useRecoveryCode accepts a recovery code and deletes it.
func (g *Gate) useRecoveryCode(ctx context.Context, who policy.Subject, code string) error {
	sum := sha256.Sum256([]byte(code))
	tag, err := g.pool.Exec(ctx, `DELETE FROM app.recovery_codes c USING record.recovery_codes r
		WHERE r.realm = $1 AND r.subject = $2 AND c.set_id = r.set_id AND c.code_hash = $3`, string(who.Realm), who.ID, sum[:])
	if err != nil {
		return fmt.Errorf("marking a recovery code as used: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return ErrWrongCode
	}
	return nil
}

// offersFactor reports whether a portal user who signs in is offered a second factor: they have
// none, and have not said no.
func (g *Gate) offersFactor(ctx context.Context, id string) (bool, error) {
	offers, err := one(ctx, g.pool, errNoFactor, pgx.RowTo[bool], `
		SELECT a.factor_offer_closed_at IS NULL AND NOT EXISTS (SELECT FROM record.accounts_with_second_factor f WHERE f.realm = 'portal_user' AND f.subject = $1)
		FROM app.portal_accounts a JOIN app.portal_users u USING (portal_user_no) WHERE u.portal_user_id = $1`, id)
	if errors.Is(err, errNoFactor) { // the account is gone
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading whether a second factor is offered: %w", err)
	}
	return offers, nil
}

// FactorOffered reports whether this session of a portal user shows the offer of a second factor.
func (g *Gate) FactorOffered(ctx context.Context) bool {
	return g.portal.sessions.Exists(ctx, offerKey)
}

// CloseFactorOffer stores that a portal user wants no second factor, and is not offered one again.
func (g *Gate) CloseFactorOffer(ctx context.Context, who policy.Subject) error {
	_, err := g.pool.Exec(ctx, `UPDATE app.portal_accounts SET factor_offer_closed_at = $2
		WHERE portal_user_no = (SELECT portal_user_no FROM app.portal_users WHERE portal_user_id = $1)`, who.ID, g.cfg.Facts.Now())
	if err != nil {
		return fmt.Errorf("closing the offer of a second factor: %w", err)
	}
	g.portal.sessions.Remove(ctx, offerKey)
	return nil
}
