package access

import (
	"context"
	"errors"
	"fmt"

	"postern/internal/access/policy"
	"postern/internal/access/session"
	"postern/internal/events"
	"postern/internal/inbound"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// shownNetwork is how much of the address of a session people see.
var shownNetwork = inbound.Coarse{IPv4: 24, IPv6: 48}

// openSessions is the SQL condition for the sessions of subject $2 of realm $1 that have not
// ended. Sessions that await a code have no id, and are not among them.
const openSessions = `realm = $1 AND subject = $2 AND id IS NOT NULL AND ended_at IS NULL AND expires_at > now()`

// Sessions returns the open sessions of a subject, the last used first. The request must have
// come through the middleware of the subject's realm.
func (g *Gate) Sessions(ctx context.Context, who policy.Subject) ([]session.Session, error) {
	rows, err := g.pool.Query(ctx, `
		SELECT id, begun_at, seen_at, method, coalesce(agent, ''), coalesce(network, ''), id::text = $3 FROM app.sessions
		WHERE `+openSessions+` ORDER BY seen_at DESC, id`, string(who.Realm), who.ID, g.currentSession(ctx, who.Realm))
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	sessions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[session.Session])
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	return sessions, nil
}

// currentSession returns the id of the session of the request, "" without one.
func (g *Gate) currentSession(ctx context.Context, realm policy.Realm) string {
	return g.ofRealm(realm).sessions.GetString(ctx, idKey)
}

// OpenSessions returns the number of open sessions of an account.
func (g *Gate) OpenSessions(ctx context.Context, realm policy.Realm, id string) (int, error) {
	n, err := one(ctx, g.pool, session.ErrNotFound, pgx.RowTo[int], `SELECT count(*) FROM app.sessions WHERE `+openSessions, string(realm), id)
	if err != nil {
		return 0, fmt.Errorf("counting sessions: %w", err)
	}
	return n, nil
}

// EndSession ends one of a subject's own sessions. That of the request is signed out. It fails
// with [session.ErrNotFound]. The request must have come through the middleware of the subject's realm.
func (g *Gate) EndSession(ctx context.Context, who policy.Subject, id uuid.UUID) error {
	if id.String() == g.currentSession(ctx, who.Realm) {
		return g.SignOut(ctx, who.Realm)
	}
	tag, err := g.pool.Exec(ctx, `UPDATE app.sessions SET ended_at = now() WHERE `+openSessions+` AND id = $3`, string(who.Realm), who.ID, id)
	if err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return session.ErrNotFound
	}
	return nil
}

// EndOtherSessions ends all of a subject's own sessions except that of the request. The request
// must have come through the middleware of the subject's realm.
func (g *Gate) EndOtherSessions(ctx context.Context, who policy.Subject) error {
	_, err := g.pool.Exec(ctx, `UPDATE app.sessions SET ended_at = now() WHERE realm = $1 AND subject = $2 AND ended_at IS NULL
		AND id::text IS DISTINCT FROM $3`, string(who.Realm), who.ID, g.currentSession(ctx, who.Realm))
	if err != nil {
		return fmt.Errorf("ending other sessions: %w", err)
	}
	return nil
}

// EndStaffSessions ends all sessions of a staff member for another person, whom the event names
// as actor. Without a session to end it publishes no event. It fails with [ErrNoStaff].
func (g *Gate) EndStaffSessions(ctx context.Context, actor, staffID string) error {
	if _, err := g.StaffByID(ctx, staffID); err != nil {
		return err
	}
	return g.endSessionsOf(ctx, actor, policy.RealmStaff, staffID)
}

// EndPortalSessions is [Gate.EndStaffSessions] for a portal user, active or not. It fails with
// [ErrNoPortalUser].
func (g *Gate) EndPortalSessions(ctx context.Context, actor, portalUserID string) error {
	if _, err := g.PortalAccount(ctx, portalUserID); err != nil {
		return err
	}
	return g.endSessionsOf(ctx, actor, policy.RealmPortalUser, portalUserID)
}

func (g *Gate) endSessionsOf(ctx context.Context, actor string, realm policy.Realm, id string) error {
	open, err := g.OpenSessions(ctx, realm, id)
	if err != nil || open == 0 {
		return err
	}
	if err := g.recordFacts(ctx, actor, events.SessionsEnded{Change: uuid.New(), Account: string(realm), ID: id}); err != nil {
		return err
	}
	// A crash here leaves the sessions open. The caller has no answer, and a repeat ends them:
	// it is recorded too.
	if err := endSessions(ctx, g.pool, realm, id); err != nil {
		return errors.Join(errors.New("the sessions are still open: try again"), err)
	}
	return nil
}
