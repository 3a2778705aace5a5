package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"postern/internal/access/policy"
	"postern/internal/inbound"

	"github.com/alexedwards/scs/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	idleTimeout = 30 * time.Minute
	// browserLifetime is how long a browser counts as one that has signed in before.
	browserLifetime = 180 * 24 * time.Hour
	// A session holds its own id, the subject's id, when it began (in seconds since 1970), and
	// how and from where the subject signed in. Columns of app.sessions are made of these.
	idKey      = "id"
	subjectKey = "subject"
	begunKey   = "begun"
	methodKey  = "method"
	agentKey   = "agent"
	networkKey = "network"
	// Before the sign-in is complete it holds the person whose password was right and the deadline for their second factor.
	halfwayKey      = "halfway"
	halfwayUntilKey = "halfway_until"
	// What waits for the answer of a passkey, as JSON. It is good for one answer.
	ceremonyKey = "passkey"
	// Whether a portal user is offered a second factor in this session.
	offerKey = "offer"
)

// newSessions returns the session manager of a realm. Sessions end after half an hour
// without a request, at the latest after lifetime, and when the browser is closed.
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
	s.Cookie.Name = inbound.CookieName(cookie, cfg.Secure)
	s.Cookie.HttpOnly = true
	// Lax and not Strict: a person who follows the link in an alert comes from another
	// site, and must still be signed in.
	s.Cookie.SameSite = http.SameSiteLaxMode
	s.Cookie.Secure = cfg.Secure
	s.Cookie.Persist = false
	return s
}

// newBrowserSessions returns the manager that remembers in which browsers an e-mail
// address has signed in before.
func newBrowserSessions(cfg Config) *scs.SessionManager {
	s := newSessions(cfg, "browser", "postern_browser", browserLifetime)
	s.IdleTimeout = 0
	s.Cookie.Persist = true
	return s
}

// Begin starts a session, with a new token, for a subject who has just signed in.
// The request must have come through the middleware of the subject's realm,
// which sets the cookie.
func (g *Gate) Begin(ctx context.Context, subject policy.Subject) error {
	sessions := g.ofRealm(subject.Realm).sessions
	if err := sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("beginning a session: %w", err)
	}
	if err := sessions.Clear(ctx); err != nil {
		return fmt.Errorf("beginning a session: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("beginning a session: %w", err)
	}
	sessions.Put(ctx, idKey, id.String())
	sessions.Put(ctx, subjectKey, subject.ID)
	sessions.Put(ctx, begunKey, strconv.FormatInt(time.Now().Unix(), 10))
	sessions.Put(ctx, methodKey, string(subject.Method))
	if name := agentOf(ctx); name != "" {
		sessions.Put(ctx, agentKey, name)
	}
	if network := shownNetwork.Of(inbound.Client(ctx).Unmap()); network != "" {
		sessions.Put(ctx, networkKey, network)
	}
	if subject.Realm == policy.RealmPortalUser {
		offers, err := g.offersFactor(ctx, subject.ID)
		if err != nil {
			return err
		}
		if offers {
			sessions.Put(ctx, offerKey, true)
		}
	}
	return nil
}

// SessionLeft returns how long the session of the request lasts without a further
// request, and at most. Both are 0 without a session, as for a request with an API token.
// The request must have come through the middleware of that realm.
func (g *Gate) SessionLeft(ctx context.Context, realm policy.Realm) (idle, most time.Duration) {
	sessions := g.ofRealm(realm).sessions
	if sessions.GetString(ctx, subjectKey) == "" {
		return 0, 0
	}
	most = max(0, time.Until(sessions.Deadline(ctx)))
	return min(idleTimeout, most), most
}

// HadSession reports whether a request has the cookie of a session that has ended. The
// request must have come through the middleware of that realm.
func (g *Gate) HadSession(r *http.Request, realm policy.Realm) bool {
	sessions := g.ofRealm(realm).sessions
	_, err := r.Cookie(sessions.Cookie.Name)
	return err == nil && len(sessions.Keys(r.Context())) == 0
}

// Secure reports whether cookies are sent over HTTPS only.
func (g *Gate) Secure() bool { return g.cfg.Secure }

// SignOut ends the session of the request, if it has one. The request must have
// come through the middleware of that realm, which clears the cookie.
func (g *Gate) SignOut(ctx context.Context, realm policy.Realm) error {
	if err := g.ofRealm(realm).sessions.Destroy(ctx); err != nil {
		return fmt.Errorf("ending the session: %w", err)
	}
	return nil
}

// SignOutEverywhere ends all sessions of a subject. API tokens stay: see
// [Gate.RevokeToken].
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

// sessionStore keeps the sessions of one realm in app.sessions. It gets the hash of a
// token, never the token. It implements [scs.CtxStore].
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

// Unattended is the header of a request that a page makes by itself, for example to look
// for new entries, without an action of the user. It does not extend the session: a page
// that is left open does not keep its user signed in. See static/session.js.
const Unattended = "Postern-Unattended"

// CommitCtx saves a session; scs calls it after each request. It writes only if the data
// changed, or the session was last seen more than a minute ago; otherwise it also locks no row, which
// would be a commit that waits for the disk, one request of the session after the other. A
// session that has ended since the request began stays ended, because its row still exists and
// nothing resets ended_at. An unattended request saves nothing.
func (s sessionStore) CommitCtx(ctx context.Context, hash string, data []byte, expiry time.Time) error {
	if ctx.Value(unattendedContext) != nil {
		return nil
	}
	_, err := s.pool.Exec(ctx, `
		INSERT INTO app.sessions AS s (token_hash, realm, data, expires_at, seen_at) SELECT $1, $2, $3::jsonb, $4::timestamptz, now()
		WHERE NOT EXISTS (SELECT FROM app.sessions WHERE token_hash = $1 AND data = $3 AND expires_at >= $4::timestamptz - interval '1 minute'
			AND seen_at >= now() - interval '1 minute')
		ON CONFLICT (token_hash) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at, seen_at = excluded.seen_at
		WHERE s.data <> excluded.data OR excluded.expires_at > s.expires_at + interval '1 minute'
			OR s.seen_at IS NULL OR excluded.seen_at > s.seen_at + interval '1 minute'`, hash, s.realm, data, expiry)
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

// scs calls the three methods above. These three make the type an [scs.Store].

func (s sessionStore) Find(hash string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), hash)
}

func (s sessionStore) Commit(hash string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), hash, data, expiry)
}

func (s sessionStore) Delete(hash string) error { return s.DeleteCtx(context.Background(), hash) }

// jsonCodec writes sessions as JSON, so that Postgres can read the subject of each.
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
