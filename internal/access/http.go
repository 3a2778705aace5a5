package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"postern/internal/access/policy"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// A door is where one realm comes in.
type door struct {
	sessions     *scs.SessionManager
	authenticate func(*http.Request) (policy.Subject, error)
}

func (g *Gate) doorOf(realm policy.Realm) *door {
	if realm == policy.RealmStaff {
		return g.staff
	}
	return g.portal
}

type contextKey int

const (
	browserContext contextKey = iota
	unattendedContext
)

// unvalued is a context without its values: without the session that a request came with.
type unvalued struct{ context.Context }

func (unvalued) Value(any) any { return nil }

func (d *door) again(r *http.Request) func(context.Context) (policy.Subject, error) {
	return func(ctx context.Context) (policy.Subject, error) {
		var token string
		if cookie, err := r.Cookie(d.sessions.Cookie.Name); err == nil {
			token = cookie.Value
		}
		ctx, err := d.sessions.Load(unvalued{ctx}, token)
		if err != nil {
			return policy.Subject{}, fmt.Errorf("reading the session: %w", err)
		}
		return d.authenticate(r.WithContext(ctx))
	}
}

// Staff is middleware for what staff use. It loads and saves the session, finds
// out who makes the request, by `Authorization: Bearer` or else by the session
// cookie, and leaves that for [policy.SubjectFrom]. It refuses nobody: next does.
func (g *Gate) Staff(next http.Handler) http.Handler { return g.wrap(g.staff, next) }

// Portal is [Gate.Staff] for what portal users use: by the session cookie alone.
func (g *Gate) Portal(next http.Handler) http.Handler { return g.wrap(g.portal, next) }

func (g *Gate) wrap(d *door, next http.Handler) http.Handler {
	identified := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, err := d.authenticate(r)
		next.ServeHTTP(w, r.WithContext(policy.WithSubject(r.Context(), subject, err, d.again(r))))
	})
	plain := d.sessions.LoadAndSave(identified)
	signingIn := g.browsers.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), browserContext, true)))
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get(Unattended) != "" {
			r = r.WithContext(context.WithValue(r.Context(), unattendedContext, true))
		}
		// Signing in is a POST. Nothing else asks whether the browser is known.
		if r.Method == http.MethodPost {
			signingIn.ServeHTTP(w, r)
		} else {
			plain.ServeHTTP(w, r)
		}
	})
}

func browserLoaded(ctx context.Context) bool { return ctx.Value(browserContext) != nil }

// authenticateStaff goes by the Authorization header wherever there is one: a
// client whose token is wrong must not succeed by the cookie of somebody else.
func (g *Gate) authenticateStaff(r *http.Request) (policy.Subject, error) {
	header, ok := r.Header["Authorization"]
	if !ok {
		subject, err := fromSession(r.Context(), g.staff.sessions, g.loadStaff)
		if subject.Method == events.ByOrganisation {
			subject.FactorDue = false // it is the organisation's to ask for one
		}
		return subject, err
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	if len(header) != 1 || !strings.EqualFold(scheme, "Bearer") {
		return policy.Subject{}, policy.ErrUnauthenticated
	}
	return g.SubjectOfToken(r.Context(), strings.TrimSpace(token))
}

func (g *Gate) authenticatePortal(r *http.Request) (policy.Subject, error) {
	return fromSession(r.Context(), g.portal.sessions, g.loadPortalUser)
}

// fromSession ends a session at once whose subject may not come in any more.
func fromSession(ctx context.Context, sessions *scs.SessionManager, load func(context.Context, string) (policy.Subject, error)) (policy.Subject, error) {
	id := sessions.GetString(ctx, subjectKey)
	if id == "" {
		return policy.Subject{}, policy.ErrUnauthenticated
	}
	subject, err := load(ctx, id)
	if errors.Is(err, policy.ErrUnauthenticated) {
		if err := sessions.Destroy(ctx); err != nil {
			return policy.Subject{}, err
		}
	}
	subject.Method = events.SignInMethod(sessions.GetString(ctx, methodKey))
	return subject, err
}

func (g *Gate) loadStaff(ctx context.Context, id string) (policy.Subject, error) {
	staff, err := staffByID(ctx, g.pool, id)
	if errors.Is(err, ErrNoStaff) || staff.DisabledAt != nil {
		return policy.Subject{}, policy.ErrUnauthenticated
	}
	subject := staff.subject()
	subject.FactorDue = g.cfg.FactorRequired && !staff.SecondFactor
	return subject, err
}

func (g *Gate) loadPortalUser(ctx context.Context, id string) (policy.Subject, error) {
	subject, err := one(ctx, g.pool, policy.ErrUnauthenticated, func(row pgx.CollectableRow) (policy.Subject, error) {
		s := policy.Subject{Realm: policy.RealmPortalUser, ID: id}
		return s, row.Scan(&s.No, &s.Name)
	}, `SELECT u.portal_user_no, u.name FROM app.portal_users u JOIN app.portal_accounts a USING (portal_user_no)
		WHERE u.portal_user_id = $1 AND u.active`, id)
	if err != nil && !errors.Is(err, policy.ErrUnauthenticated) {
		err = fmt.Errorf("loading a portal user: %w", err)
	}
	return subject, err
}
