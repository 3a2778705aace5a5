package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/text/language"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// An API token is recorded: record.tokens says what it permits, until when, and whether it was
// revoked. app.staff_tokens keeps its hash under the same id. A token works only if both have
// it.

// DefaultTokenLifetime is how long a new token is valid if its maker does not say.
const DefaultTokenLifetime = 90 * 24 * time.Hour

const (
	// longestToken is how long a new token can be valid.
	longestToken = time.Duration(limits.TokenLifetime) * 24 * time.Hour
	// tokensListed is how long a token is listed after it stopped working.
	tokensListed = 30 * 24 * time.Hour
	// lastUseEvery is the least time between two writes of a token's last use.
	lastUseEvery = time.Minute
	// lastUseTimeout is how long such a write may take. No request waits for it.
	lastUseTimeout = 5 * time.Second
)

var (
	// ErrNoToken says that a staff member has no API token with that id.
	ErrNoToken = problem.NotFound.New("no such API token: the list of tokens shows all of them")
	// ErrTokenName, ErrTokenPermissions and ErrTokenExpiry say what is wrong with a new token.
	ErrTokenName        = wrongToken("body.name", language.Message{ID: "The name of a token has 1 to {limit} characters, all of them visible.", Args: []any{"limit", int(limits.TokenName)}})
	ErrTokenPermissions = wrongToken("body.permissions", language.Message{ID: "A token needs at least one permission, and only its owner's: choose from those, or leave the list out for all of them."})
	ErrTokenExpiry      = wrongToken("body.expires_at", language.Message{ID: "A token expires at a time from now on, within {limit} days: choose such a time.", Args: []any{"limit", int(limits.TokenLifetime)}})
	// ErrTooManyTokens says that a staff member has as many tokens that work as they can have.
	ErrTooManyTokens = problem.TooManyTokens.Says(language.NewError(language.Message{ID: "A staff member can have {limit} tokens that work: revoke one first.", Args: []any{"limit", int(limits.Tokens)}}))
)

// wrongToken makes the error of a field of a new token.
func wrongToken(location string, m language.Message) error {
	text := language.NewError(m)
	wrong := problem.InvalidRequest.Wrap(text, text.Error())
	wrong.Faults = []problem.Fault{{Location: location, Message: wrong.Detail}}
	return wrong
}

// TokenState is whether an API token works.
type TokenState string

// The states of tokens. An expired or revoked token is refused like an unknown one.
const (
	TokenActive  TokenState = "active"
	TokenExpired TokenState = "expired"
	TokenRevoked TokenState = "revoked"
)

// Token is an API token of a staff member, without the token itself.
type Token struct {
	ID      uuid.UUID
	StaffID string // its owner
	Name    string
	Scope   events.TokenScope
	// Permissions are those of the scope listed. The token permits those of them that its
	// owner has at the time.
	Permissions []policy.Permission
	MadeAt      time.Time
	ExpiresAt   time.Time
	LastUsedAt  *time.Time // to the minute; nil: never
	State       TokenState
	RevokedWhy  events.TokenRevoke // "" unless it was revoked
}

// Permits returns what the token permits while its owner has these permissions.
func (t Token) Permits(owner []policy.Permission) []policy.Permission {
	return permits(t.Scope, t.Permissions, owner)
}

func permits(scope events.TokenScope, listed, owner []policy.Permission) []policy.Permission {
	if scope == events.ScopeOwner {
		return owner
	}
	return slices.DeleteFunc(slices.Clone(owner), func(p policy.Permission) bool { return !slices.Contains(listed, p) })
}

// Names returns the names of the listed permissions.
func (t Token) Names() []string { return policy.Names(t.Permissions) }

// NewToken is the data of an API token to be created.
type NewToken struct {
	Name string
	// Permissions are what the token permits. nil: everything that its owner may do at the
	// time.
	Permissions []policy.Permission
	ExpiresAt   *time.Time // nil: after [DefaultTokenLifetime]
}

// fact returns the event of the new token, or the errors in its data, joined.
func (n NewToken) fact(id uuid.UUID, owner Staff, now time.Time) (events.TokenCreated, error) {
	fact := events.TokenCreated{Token: id, StaffID: owner.ID, Scope: events.ScopeOwner, Permissions: []string{}, ExpiresAt: now.Add(DefaultTokenLifetime)}
	var wrong []error
	var err error
	if fact.Name, err = cleanName(n.Name, limits.TokenName, ErrTokenName); err != nil {
		wrong = append(wrong, err)
	}
	if n.Permissions != nil {
		fact.Scope = events.ScopeListed
		if len(n.Permissions) == 0 || len(without(n.Permissions, owner.Permissions)) > 0 {
			wrong = append(wrong, ErrTokenPermissions)
		}
		for _, p := range without(n.Permissions, nil) {
			fact.Permissions = append(fact.Permissions, string(p))
		}
	}
	if n.ExpiresAt != nil {
		fact.ExpiresAt = *n.ExpiresAt
	}
	fact.ExpiresAt = fact.ExpiresAt.UTC().Truncate(time.Second)
	if !fact.ExpiresAt.After(now) || fact.ExpiresAt.After(now.Add(longestToken)) {
		wrong = append(wrong, ErrTokenExpiry)
	}
	return fact, errors.Join(wrong...)
}

// CreateToken makes an API token for a staff member and returns it once it works. The token
// can't be shown again. The event names actor. It fails with [ErrNoStaff], [ErrDisabled],
// [ErrTooManyTokens], or with [ErrTokenName], [ErrTokenPermissions] and [ErrTokenExpiry],
// joined.
func (g *Gate) CreateToken(ctx context.Context, actor, staffID string, n NewToken) (Token, string, error) {
	owner, err := g.StaffByID(ctx, staffID)
	if err != nil {
		return Token{}, "", err
	}
	if owner.DisabledAt != nil {
		return Token{}, "", ErrDisabled
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Token{}, "", fmt.Errorf("making the id of a token: %w", err)
	}
	now := g.cfg.Facts.Time()
	fact, err := n.fact(id, owner, now)
	if err != nil {
		return Token{}, "", err
	}
	working, err := g.workingTokens(ctx, g.pool, owner.ID)
	if err != nil {
		return Token{}, "", err
	}
	if len(working) >= int(limits.Tokens) {
		return Token{}, "", ErrTooManyTokens
	}
	token, digest := newToken(staffTokenPrefix)
	if _, err := g.pool.Exec(ctx, `INSERT INTO app.staff_tokens (token_id, token_hash, staff_id, made_at) VALUES ($1, $2, $3, $4)`, id, digest, owner.ID, now); err != nil {
		return Token{}, "", fmt.Errorf("keeping the token: %w", err)
	}
	// A crash before the publish leaves a hash that no event names: it opens nothing, and
	// is deleted later. A crash after it leaves a token that no one has seen: it is listed
	// until it expires or is revoked.
	if err := g.recordFacts(ctx, actor, fact); err != nil {
		return Token{}, "", err
	}
	made, err := g.Token(ctx, id)
	if errors.Is(err, ErrNoToken) {
		return Token{}, "", ErrDisabled // since it was checked; see tokenCreated in package project
	}
	return made, token, err
}

// selectListed lists tokens at the time $1.
const selectListed = `
	SELECT token_id, r.staff_id, r.name, r.scope, r.permissions, t.made_at, r.expires_at, t.last_used_at,
	       CASE WHEN r.revoked_at IS NOT NULL THEN 'revoked' WHEN r.expires_at <= $1 THEN 'expired' ELSE 'active' END,
	       coalesce(r.revoked_why, '')
	FROM record.tokens r JOIN app.staff_tokens t USING (token_id)`

// Tokens returns the API tokens of a staff member, or with "" those of all, newest first. It
// includes those that stopped working in the last month.
func (g *Gate) Tokens(ctx context.Context, staffID string) ([]Token, error) {
	rows, err := g.pool.Query(ctx, selectListed+` WHERE $2 IN ('', r.staff_id) AND least(r.expires_at, r.revoked_at) > $3
		ORDER BY t.made_at DESC, token_id DESC`, g.cfg.Facts.Now(), staffID, g.cfg.Facts.Now().Add(-tokensListed))
	if err != nil {
		return nil, fmt.Errorf("listing API tokens: %w", err)
	}
	tokens, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Token])
	if err != nil {
		return nil, fmt.Errorf("listing API tokens: %w", err)
	}
	return tokens, nil
}

// Token returns the API token with that id, or [ErrNoToken].
func (g *Gate) Token(ctx context.Context, id uuid.UUID) (Token, error) {
	token, err := one(ctx, g.pool, ErrNoToken, pgx.RowToStructByPos[Token], selectListed+` WHERE token_id = $2`, g.cfg.Facts.Now(), id)
	if err != nil && !errors.Is(err, ErrNoToken) {
		err = fmt.Errorf("reading an API token: %w", err)
	}
	return token, err
}

// RevokeToken revokes an API token of a staff member, and returns once it no longer works. The
// event names actor. A token that does not work any more publishes no event. It fails with
// [ErrNoToken].
func (g *Gate) RevokeToken(ctx context.Context, actor, staffID string, id uuid.UUID, why events.TokenRevoke) error {
	token, err := g.Token(ctx, id)
	if err != nil {
		return err
	}
	if token.StaffID != staffID {
		return ErrNoToken
	}
	if token.State != TokenActive {
		return nil
	}
	// Two revocations at once are one fact, with one id. The token no longer works once the
	// recorder has read the first.
	return g.recordFacts(ctx, actor, events.TokenRevoked{Token: id, StaffID: staffID, Why: why})
}

// workingTokens returns the ids of a staff member's tokens that were not revoked and have not
// expired, whether or not the account is disabled.
func (g *Gate) workingTokens(ctx context.Context, q querier, staffID string) ([]uuid.UUID, error) {
	rows, err := q.Query(ctx, `SELECT token_id FROM record.tokens WHERE staff_id = $1 AND revoked_at IS NULL AND expires_at > $2 ORDER BY token_id`, staffID, g.cfg.Facts.Now())
	if err != nil {
		return nil, fmt.Errorf("looking for API tokens: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("looking for API tokens: %w", err)
	}
	return ids, nil
}

// revocations returns the facts that revoke all tokens of a staff member whose account is
// disabled.
func (g *Gate) revocations(ctx context.Context, q querier, staffID string) (facts []events.Body, err error) {
	ids, err := g.workingTokens(ctx, q, staffID)
	for _, id := range ids {
		facts = append(facts, events.TokenRevoked{Token: id, StaffID: staffID, Why: events.RevokedWithAccount})
	}
	return facts, err
}

// SubjectOfToken returns the staff member to whom the API token belongs, with those of their
// current permissions that the token permits. It fails with [policy.ErrUnauthenticated].
func (g *Gate) SubjectOfToken(ctx context.Context, token string) (policy.Subject, error) {
	digest, ok := parseToken(staffTokenPrefix, token)
	if !ok {
		return policy.Subject{}, policy.ErrUnauthenticated
	}
	type row struct {
		StaffID, Name string
		Held          []policy.Permission
		ID            uuid.UUID
		Scope         events.TokenScope
		Listed        []policy.Permission
		LastUsedAt    *time.Time
	}
	found, err := one(ctx, g.pool, policy.ErrUnauthenticated, pgx.RowToStructByPos[row], `
		SELECT s.staff_id, s.name, array(SELECT p.permission FROM record.staff_permissions p WHERE p.staff_id = s.staff_id ORDER BY p.permission),
		       token_id, r.scope, r.permissions, t.last_used_at
		FROM app.staff_tokens t JOIN record.tokens r USING (token_id) JOIN record.staff s ON s.staff_id = r.staff_id
		WHERE t.token_hash = $1 AND s.disabled_at IS NULL AND r.revoked_at IS NULL AND r.expires_at > $2`, digest, g.cfg.Facts.Now())
	if errors.Is(err, policy.ErrUnauthenticated) {
		return policy.Subject{}, err
	}
	if err != nil {
		return policy.Subject{}, fmt.Errorf("looking up an API token: %w", err)
	}
	if now := g.cfg.Facts.Now(); found.LastUsedAt == nil || now.Sub(*found.LastUsedAt) >= lastUseEvery {
		g.lastUses.mark(found.ID, now)
	}
	return policy.Subject{Realm: policy.RealmStaff, ID: found.StaffID, Name: found.Name, Token: found.ID.String(),
		Permissions: permits(found.Scope, found.Listed, found.Held)}, nil
}

// lastUses writes when tokens were last used, one write at a time. No request waits for it or
// fails by it: after a failed write, the next use is written.
type lastUses struct {
	pool *pgxpool.Pool

	mu      sync.Mutex
	pending map[uuid.UUID]time.Time
	writing bool
	done    sync.WaitGroup // of the goroutine that writes
}

// mark notes a use, and begins to write if no write is going on.
func (u *lastUses) mark(id uuid.UUID, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pending == nil {
		u.pending = map[uuid.UUID]time.Time{}
	}
	u.pending[id] = at
	if !u.writing {
		u.writing = true
		u.done.Go(u.write)
	}
}

// write writes what is pending until nothing is.
func (u *lastUses) write() {
	for {
		u.mu.Lock()
		batch := u.pending
		u.pending = nil
		u.writing = len(batch) > 0
		u.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		var ids []uuid.UUID
		var times []time.Time
		for id, at := range batch {
			ids, times = append(ids, id), append(times, at)
		}
		ctx, cancel := context.WithTimeout(context.Background(), lastUseTimeout)
		_, _ = u.pool.Exec(ctx, `UPDATE app.staff_tokens t SET last_used_at = u.at FROM unnest($1::uuid[], $2::timestamptz[]) u (id, at)
			WHERE t.token_id = u.id AND (t.last_used_at IS NULL OR t.last_used_at < u.at)`, ids, times)
		cancel()
	}
}

// RecordEarlierTokens records the API tokens of versions before 0.3, which are in no event.
// From then on they work again. Any number of processes may call it.
func (g *Gate) RecordEarlierTokens(ctx context.Context) error {
	rows, err := g.pool.Query(ctx, `
		SELECT t.token_id, t.staff_id, t.earlier_until FROM app.staff_tokens t JOIN record.staff s USING (staff_id)
		WHERE t.earlier_until > $1 AND s.disabled_at IS NULL AND NOT EXISTS (SELECT FROM record.tokens r WHERE r.token_id = t.token_id)`, g.cfg.Facts.Now())
	if err != nil {
		return fmt.Errorf("looking for API tokens of earlier versions: %w", err)
	}
	facts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (events.Body, error) {
		fact := events.TokenCreated{Name: "made before version 0.3", Scope: events.ScopeOwner, Permissions: []string{}}
		err := row.Scan(&fact.Token, &fact.StaffID, &fact.ExpiresAt)
		fact.ExpiresAt = fact.ExpiresAt.UTC().Truncate(time.Second)
		return fact, err
	})
	if err != nil {
		return fmt.Errorf("looking for API tokens of earlier versions: %w", err)
	}
	if len(facts) == 0 {
		return nil
	}
	return g.recordFacts(ctx, g.cfg.Facts.Process(), facts...)
}
