package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/access/session"
)

// Session is a session of the person who asks.
type Session struct {
	ID      uuid.UUID `json:"id" format:"uuid" doc:"The id by which it is ended."`
	BegunAt time.Time `json:"begun_at" doc:"When it began."`
	SeenAt  time.Time `json:"seen_at" doc:"When it was last used, to the minute."`
	Method  string    `json:"method" enum:"password,password_and_code,password_and_passkey,passkey,password_and_recovery_code,organisation" doc:"How the person signed in."`
	Agent   string    `json:"agent" doc:"The browser, as Firefox on Linux; empty if it is not known."`
	Network string    `json:"network" doc:"The network from which the person signed in, as a /24 or a /48; empty if it is not known."`
	This    bool      `json:"this" doc:"It is the session of this request."`
}

func sessionOf(s session.Session) Session {
	return Session{s.ID, s.BegunAt.UTC(), s.SeenAt.UTC(), string(s.Method), s.Agent, s.Network, s.This}
}

// SessionPath is the path of a session.
type SessionPath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

// PortalUserPath is the path of a portal user.
type PortalUserPath struct {
	ID string `path:"id" maxLength:"64"`
}

// registerLists registers listing and ending sessions: one's own, and those of others.
func (g SessionOperations) registerLists(a *API) {
	g.makeLetter(a)
	g.ownSessions(a, "/v1/sessions", forStaff, policy.RealmStaff, policy.SeeAccess, policy.SecureAccount)
	g.ownSessions(a, "/v1/portal/sessions", forPortal, policy.RealmPortalUser, policy.ReadInbox, policy.ReadInbox)
	handle(a, operation{
		method: http.MethodDelete, path: "/v1/staff/{id}/sessions", id: "end-staff-sessions", tag: forStaff, status: http.StatusNoContent,
		summary: "End all sessions of a staff member. The operation returns after this is recorded.",
		actions: []policy.Action{policy.ChangeStaff}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *StaffPath) (*struct{}, error) {
		return nil, g.Gate.EndStaffSessions(ctx, subjectOf(ctx).Actor(), in.ID)
	})
	handle(a, operation{
		method: http.MethodDelete, path: "/v1/portal-users/{id}/sessions", id: "end-portal-sessions", tag: forStaff, status: http.StatusNoContent,
		summary: "End all sessions of a portal user. The operation returns after this is recorded.",
		actions: []policy.Action{policy.Invite}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *PortalUserPath) (*struct{}, error) {
		return nil, g.Gate.EndPortalSessions(ctx, subjectOf(ctx).Actor(), in.ID)
	})
	handle(a, operation{
		method: http.MethodDelete, path: "/v1/portal-users/{id}/second-factor", id: "reset-portal-second-factor", tag: forStaff, status: http.StatusNoContent,
		summary: "Remove all second factors of a portal user who has lost them, and end their sessions. The operation returns after this is recorded.",
		actions: []policy.Action{policy.Invite}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *PortalUserPath) (*struct{}, error) {
		return nil, g.Gate.ResetPortalFactor(ctx, subjectOf(ctx).Actor(), in.ID)
	})
}

// ownSessions registers listing one's own sessions, and ending one or all others.
func (g SessionOperations) ownSessions(a *API, path, tag string, realm policy.Realm, see, end policy.Action) {
	handle(a, operation{
		method: http.MethodGet, path: path, id: "list-sessions-" + string(realm), tag: tag, summary: "My sessions, the last used first.",
		actions: []policy.Action{see},
	}, func(ctx context.Context, in *Page) (*body[List[Session]], error) {
		all, err := g.Gate.Sessions(ctx, subjectOf(ctx))
		if err != nil {
			return nil, err
		}
		return byPosition(*in, all, sessionOf)
	})
	handle(a, operation{
		method: http.MethodDelete, path: path, id: "end-other-sessions-" + string(realm), tag: tag, status: http.StatusNoContent,
		summary: "End all my sessions except this one.", actions: []policy.Action{end},
	}, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		return nil, g.Gate.EndOtherSessions(ctx, subjectOf(ctx))
	})
	handle(a, operation{
		method: http.MethodDelete, path: path + "/{id}", id: "end-session-" + string(realm), tag: tag, status: http.StatusNoContent,
		summary: "End one of my sessions.", actions: []policy.Action{end}, problems: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *SessionPath) (*struct{}, error) {
		return nil, g.Gate.EndSession(ctx, subjectOf(ctx), in.ID)
	})
}
