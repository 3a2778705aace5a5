package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"postern/internal/access/policy"
	"postern/internal/text/agent"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// realmSessions holds the sessions of one realm and the function that authenticates its
// requests.
type realmSessions struct {
	sessions     *scs.SessionManager
	authenticate func(*http.Request) (policy.Subject, error)
}

func (g *Gate) ofRealm(realm policy.Realm) *realmSessions {
	if realm == policy.RealmStaff {
		return g.staff
	}
	return g.portal
}

type contextKey int

const (
	browserContext contextKey = iota
	unattendedContext
	agentContext
)

// withoutValues is a context without its values, so without the session that scs loaded
// for the request.
type withoutValues struct{ context.Context }

func (withoutValues) Value(any) any { return nil }

// reauthenticate returns a function that authenticates the request again, from the
// current state of the session or token.
func (d *realmSessions) reauthenticate(r *http.Request) func(context.Context) (policy.Subject, error) {
	return func(ctx context.Context) (policy.Subject, error) {
		var token string
		if cookie, err := r.Cookie(d.sessions.Cookie.Name); err == nil {
			token = cookie.Value
		}
		ctx, err := d.sessions.Load(withoutValues{ctx}, token)
		if err != nil {
			return policy.Subject{}, fmt.Errorf("reading the session: %w", err)
		}
		return d.authenticate(r.WithContext(ctx))
	}
}

// Staff is middleware for the pages and operations of staff. It loads and saves the
// session, authenticates the request by `Authorization: Bearer` or else by the session
// cookie, and puts the subject into the context for [policy.SubjectFrom]. It refuses no
// request: next does.
func (g *Gate) Staff(next http.Handler) http.Handler { return g.wrap(g.staff, next) }

// Portal is [Gate.Staff] for portal users: it authenticates by the session cookie alone.
func (g *Gate) Portal(next http.Handler) http.Handler { return g.wrap(g.portal, next) }

func (g *Gate) wrap(d *realmSessions, next http.Handler) http.Handler {
	identified := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject, err := d.authenticate(r)
		next.ServeHTTP(w, r.WithContext(policy.WithSubject(r.Context(), subject, err, d.reauthenticate(r))))
	})
	plain := d.sessions.LoadAndSave(identified)
	signingIn := g.browsers.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), browserContext, true)))
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), agentContext, r.UserAgent()))
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

// agentOf names the browser that sent the request, "" if it is not known.
func agentOf(ctx context.Context) string {
	header, _ := ctx.Value(agentContext).(string)
	return agent.Name(header)
}

func browserLoaded(ctx context.Context) bool { return ctx.Value(browserContext) != nil }

// authenticateStaff uses the Authorization header whenever there is one: a client whose
// token is wrong must not succeed by the cookie of another person.
func (g *Gate) authenticateStaff(r *http.Request) (policy.Subject, error) {
	header, ok := r.Header["Authorization"]
	if !ok {
		subject, err := fromSession(r.Context(), g.staff.sessions, g.loadStaff)
		if subject.Method == events.ByOrganisation {
			subject.FactorDue = false // the organisation's provider asks for a second factor
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

// fromSession returns the subject of the session. It ends the session if the subject's
// account is disabled, inactive or gone.
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
	subject.FactorDue = g.cfg.FactorRequired && len(staff.SecondFactors) == 0
	return subject, err
}

func (g *Gate) loadPortalUser(ctx context.Context, id string) (policy.Subject, error) {
	subject, err := one(ctx, g.pool, policy.ErrUnauthenticated, func(row pgx.CollectableRow) (policy.Subject, error) {
		s := policy.Subject{Realm: policy.RealmPortalUser, ID: id}
		return s, row.Scan(&s.No, &s.Name, &s.Language)
	}, `SELECT u.portal_user_no, u.name, coalesce(a.language, '') FROM app.portal_users u JOIN app.portal_accounts a USING (portal_user_no)
		WHERE u.portal_user_id = $1 AND u.active`, id)
	if err != nil && !errors.Is(err, policy.ErrUnauthenticated) {
		err = fmt.Errorf("loading a portal user: %w", err)
	}
	return subject, err
}
