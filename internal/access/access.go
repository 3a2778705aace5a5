package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"postern/internal/access/passkey"
	"postern/internal/access/policy"
	"postern/internal/eventlog/facts"
	"postern/internal/store"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/events"
	"postern/internal/inbound"
)

// Config has the dependencies and settings of a [Gate]. Pool and Facts are required.
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Facts records what is done, and waits until it can be read.
	Facts facts.Publisher
	// Content seals the secrets of authenticator apps. Without it, their codes can't be checked
	// at this process.
	Content *content.Store
	// Organisation says what the clinic's own identity provider decides besides who a person
	// is. The zero value: nothing.
	Organisation Organisation
	// Passkeys makes and checks passkeys; nil: there are none at this address.
	Passkeys *passkey.Party
	// FactorRequired requires a second factor of all staff who sign in with a password: see
	// [policy.Subject].FactorDue.
	FactorRequired bool
	// TwoPersonAge is how old an account must be to count as another person: see package
	// twopeople.
	TwoPersonAge time.Duration
	// PasswordCost is the cost of hashing a password. Zero means [ShippedCost].
	PasswordCost Cost
	// Clinic returns the clinic's name, which is no password; "" if it has none. It may be nil.
	Clinic func(context.Context) string
	// Source says how much of a client's address is recorded where a sign-in fails.
	Source inbound.Coarse
	// Secure keeps cookies off plain HTTP: set it when PUBLIC_URL is https.
	Secure bool
	// Fail answers a request whose session could not be read or saved. By
	// default it answers 503 without a reason.
	Fail func(http.ResponseWriter, *http.Request, error)
}

// A Gate authenticates staff and portal users and manages their accounts and sessions.
// It is safe for concurrent use.
type Gate struct {
	cfg       Config
	pool      *pgxpool.Pool
	passwords hasher
	staff     *realmSessions
	portal    *realmSessions
	browsers  *scs.SessionManager // in which an address has signed in before
	tries     tries
	lastUses  lastUses
	counts    *counts
}

// New makes a Gate. It costs one password hash and no I/O.
func New(cfg Config) (*Gate, error) {
	if cfg.Fail == nil {
		cfg.Fail = func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		}
	}
	passwords, err := newHasher(cfg.PasswordCost, cfg.Facts.Now)
	if err != nil {
		return nil, err
	}
	g := &Gate{cfg: cfg, pool: cfg.Pool, passwords: passwords, lastUses: lastUses{pool: cfg.Pool}, counts: newCounts()}
	g.staff = &realmSessions{newSessions(cfg, policy.RealmStaff, "postern_staff", 12*time.Hour), g.authenticateStaff}
	g.portal = &realmSessions{newSessions(cfg, policy.RealmPortalUser, "postern_portal", 8*time.Hour), g.authenticatePortal}
	g.browsers = newBrowserSessions(cfg)
	return g, nil
}

// publish publishes the events as one batch and returns the sequence of the last.
func (g *Gate) publish(ctx context.Context, actor string, bodies ...events.Body) (uint64, error) {
	return g.cfg.Facts.Publish(ctx, actor, g.cfg.Facts.Now(), bodies...)
}

// Sweep deletes expired rows: sessions, API tokens, links, changes of addresses that were told,
// invitations, second factors and recovery codes whose setup was never finished, identities
// that are not linked, and counts of failed sign-ins. It deletes at most a few thousand rows
// a call. Call it every few minutes; any number of processes may call it at once.
func (g *Gate) Sweep(ctx context.Context) error {
	now := g.cfg.Facts.Now()
	for what, sweep := range map[string]struct {
		sql    string
		before time.Time
	}{
		"sessions": {`DELETE FROM app.sessions WHERE token_hash IN
			(SELECT token_hash FROM app.sessions WHERE expires_at < $1 LIMIT 1000 FOR UPDATE SKIP LOCKED)`, now.Add(-time.Hour)},
		"API tokens": {`DELETE FROM app.staff_tokens WHERE token_id IN
			(SELECT token_id FROM app.staff_tokens t LEFT JOIN record.tokens r USING (token_id)
			 WHERE coalesce(least(r.expires_at, r.revoked_at), t.earlier_until, t.made_at) < $1 LIMIT 1000)`, now.Add(-tokensListed)},
		"links": {`DELETE FROM app.password_links WHERE token_hash IN
			(SELECT token_hash FROM app.password_links WHERE expires_at < $1 LIMIT 1000 FOR UPDATE SKIP LOCKED)`, now.AddDate(0, 0, -30)},
		"changed addresses": {`DELETE FROM app.address_changes WHERE changed_at < $1 AND notice <> 'waiting' AND recorded_at IS NOT NULL`, now.AddDate(0, 0, -30)},
		"invitations of unknown runs": {`DELETE FROM app.invitations i WHERE changed_at < $1
			AND NOT EXISTS (SELECT FROM record.invitation_runs r WHERE r.run_id = i.run_id)`, now.AddDate(0, 0, -1)},
		"invitations": {`DELETE FROM app.invitations WHERE run_id IN
			(SELECT run_id FROM record.invitation_runs WHERE status <> 'running' AND ended_at < $1)`, now.AddDate(0, 0, -30)},
		"second factors": {`DELETE FROM app.second_factors f WHERE made_at < $1
			AND NOT EXISTS (SELECT FROM record.second_factors r WHERE r.change_id = f.change_id)`, now.AddDate(0, 0, -1)},
		"identities": {`DELETE FROM app.identities i WHERE made_at < $1
			AND NOT EXISTS (SELECT FROM record.identities r WHERE r.identity_id = i.identity_id)`, now.AddDate(0, 0, -1)},
		"passkeys": {`DELETE FROM app.passkeys f WHERE made_at < $1
			AND NOT EXISTS (SELECT FROM record.second_factors r WHERE r.change_id = f.change_id)`, now.AddDate(0, 0, -1)},
		"recovery codes": {`DELETE FROM app.recovery_codes c WHERE made_at < $1
			AND NOT EXISTS (SELECT FROM record.recovery_codes r WHERE r.set_id = c.set_id)`, now.AddDate(0, 0, -1)},
		"failed sign-ins": {`DELETE FROM app.sign_in_tries WHERE lane IN
			(SELECT lane FROM app.sign_in_tries WHERE tried_at < $1 LIMIT 1000 FOR UPDATE SKIP LOCKED)`, now.AddDate(0, 0, -1)},
	} {
		if _, err := g.pool.Exec(ctx, sweep.sql, sweep.before); err != nil {
			return fmt.Errorf("sweeping %s: %w", what, err)
		}
	}
	return nil
}

// one reads a single row. It returns the error none where there is no such row.
func one[T any](ctx context.Context, q querier, none error, to pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return *new(T), err
	}
	row, err := pgx.CollectExactlyOneRow(rows, to)
	if errors.Is(err, pgx.ErrNoRows) || store.Code(err) == store.CharacterNotInRepertoire {
		return row, none
	}
	return row, err
}

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}
