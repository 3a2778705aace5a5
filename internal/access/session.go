package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"postern/internal/access/policy"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	idleTimeout = 30 * time.Minute
	// How long a browser is remembered as one that has signed in before.
	browserLifetime = 180 * 24 * time.Hour
	// What a session holds: the subject's id, and how they signed in.
	subjectKey = "subject"
	methodKey  = "method"
	// Or whose password was right, and until when their code is waited for.
	halfwayKey      = "halfway"
	halfwayUntilKey = "halfway_until"
)

// newSessions keeps the sessions of a realm, which end after half an hour without
// a request, at the latest after lifetime, and when the browser is closed.
//
// scs.New leaves a goroutine of its default store running, which does nothing.
func newSessions(cfg Config, realm policy.Realm, cookie string, lifetime time.Duration) *scs.SessionManager {
	s := scs.New()
	s.Lifetime = lifetime
	s.IdleTimeout = idleTimeout
	s.Store = sessionStore{cfg.Pool, string(realm)}
	s.HashTokenInStore = true
	s.Codec = jsonCodec{}
	s.ErrorFunc = cfg.Fail
	s.Cookie.Name = cookie
	s.Cookie.HttpOnly = true
	// Lax and not Strict: who follows the link of an alert comes from elsewhere
	// and is to find themselves signed in.
	s.Cookie.SameSite = http.SameSiteLaxMode
	s.Cookie.Secure = cfg.Secure
	s.Cookie.Persist = false
	return s
}

// newBrowserSessions remembers in which browsers an address has signed in before.
func newBrowserSessions(cfg Config) *scs.SessionManager {
	s := newSessions(cfg, "browser", "postern_browser", browserLifetime)
	s.IdleTimeout = 0
	s.Cookie.Persist = true
	return s
}

// Begin starts a session of a subject who has just signed in, under a new token.
// The request must have come through the middleware of the subject's realm,
// which sets the cookie.
func (g *Gate) Begin(ctx context.Context, subject policy.Subject) error {
	sessions := g.doorOf(subject.Realm).sessions
	if err := sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("beginning a session: %w", err)
	}
	if err := sessions.Clear(ctx); err != nil {
		return fmt.Errorf("beginning a session: %w", err)
	}
	sessions.Put(ctx, subjectKey, subject.ID)
	sessions.Put(ctx, methodKey, string(subject.Method))
	return nil
}

// SessionLeft is how long the session of the request goes on if nothing more is
// asked for, and at most: 0 where there is none, as for a request with an API token.
// The request must have come through the middleware of that realm.
func (g *Gate) SessionLeft(ctx context.Context, realm policy.Realm) (idle, most time.Duration) {
	sessions := g.doorOf(realm).sessions
	if sessions.GetString(ctx, subjectKey) == "" {
		return 0, 0
	}
	most = max(0, time.Until(sessions.Deadline(ctx)))
	return min(idleTimeout, most), most
}

// HadSession says whether a request brings the cookie of a session that has ended. It
// must have come through the middleware of that realm.
func (g *Gate) HadSession(r *http.Request, realm policy.Realm) bool {
	sessions := g.doorOf(realm).sessions
	_, err := r.Cookie(sessions.Cookie.Name)
	return err == nil && len(sessions.Keys(r.Context())) == 0
}

// Secure says whether cookies are kept off plain HTTP.
func (g *Gate) Secure() bool { return g.cfg.Secure }

// SignOut ends the session of the request, if it has one. The request must have
// come through the middleware of that realm, which clears the cookie.
func (g *Gate) SignOut(ctx context.Context, realm policy.Realm) error {
	if err := g.doorOf(realm).sessions.Destroy(ctx); err != nil {
		return fmt.Errorf("ending the session: %w", err)
	}
	return nil
}

// SignOutEverywhere ends all sessions of a subject. API tokens stay: see
// [Gate.RevokeTokens].
func (g *Gate) SignOutEverywhere(ctx context.Context, subject policy.Subject) error {
	if err := endSessions(ctx, g.pool, subject.Realm, subject.ID); err != nil {
		return fmt.Errorf("ending all sessions: %w", err)
	}
	return nil
}

func endSessions(ctx context.Context, q interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, realm policy.Realm, id string) error {
	_, err := q.Exec(ctx, `UPDATE app.sessions SET ended_at = now() WHERE realm = $1 AND subject = $2 AND ended_at IS NULL`, string(realm), id)
	return err
}

// sessionStore keeps the sessions of one realm in app.sessions. It is given the
// hash of a token, never the token. It implements [scs.CtxStore].
type sessionStore struct {
	pool  *pgxpool.Pool
	realm string
}

var errNoSession = errors.New("no such session")

func (s sessionStore) FindCtx(ctx context.Context, hash string) ([]byte, bool, error) {
	data, err := one(ctx, s.pool, errNoSession, pgx.RowTo[[]byte], `
		SELECT convert_to(data::text, 'UTF8') FROM app.sessions
		WHERE token_hash = $1 AND realm = $2 AND ended_at IS NULL AND expires_at > now()`, hash, s.realm)
	if errors.Is(err, errNoSession) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the session: %w", err)
	}
	return data, true, nil
}

// Unattended is the header of a request that a page made by itself, as to see what is
// new, and nobody caused. It does not put the end of the session off: a page that is
// left open keeps nobody signed in. See static/session.js.
const Unattended = "Postern-Unattended"

// CommitCtx saves a session, as scs does after each request. It writes only what
// is news: other data, or an expiry later by a minute. A session that has ended
// since the request began stays ended, because its row is still there and nothing
// takes ended_at back. An unattended request saves nothing.
func (s sessionStore) CommitCtx(ctx context.Context, hash string, data []byte, expiry time.Time) error {
	if ctx.Value(unattendedContext) != nil {
		return nil
	}
	_, err := s.pool.Exec(ctx, `
		INSERT INTO app.sessions AS s (token_hash, realm, data, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (token_hash) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at
		WHERE s.data <> excluded.data OR excluded.expires_at > s.expires_at + interval '1 minute'`, hash, s.realm, data, expiry)
	if err != nil {
		return fmt.Errorf("saving the session: %w", err)
	}
	return nil
}

func (s sessionStore) DeleteCtx(ctx context.Context, hash string) error {
	_, err := s.pool.Exec(ctx, `UPDATE app.sessions SET ended_at = now() WHERE token_hash = $1 AND realm = $2 AND ended_at IS NULL`, hash, s.realm)
	if err != nil {
		return fmt.Errorf("ending the session: %w", err)
	}
	return nil
}

// scs calls the three above; these make the type an [scs.Store].

func (s sessionStore) Find(hash string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), hash)
}

func (s sessionStore) Commit(hash string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), hash, data, expiry)
}

func (s sessionStore) Delete(hash string) error { return s.DeleteCtx(context.Background(), hash) }

// jsonCodec writes sessions so that Postgres can read whose they are.
type jsonCodec struct{}

type sessionData struct {
	Deadline time.Time      `json:"deadline"`
	Values   map[string]any `json:"values"`
}

func (jsonCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	return json.Marshal(sessionData{deadline, values})
}

func (jsonCodec) Decode(b []byte) (time.Time, map[string]any, error) {
	var d sessionData
	err := json.Unmarshal(b, &d)
	return d.Deadline, d.Values, err
}
