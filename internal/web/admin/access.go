package admin

import (
	"context"
	"errors"
	"net/http"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/text/language"
	"postern/internal/web/page"

	"github.com/google/uuid"
)

// staffAccess is the part of Staff Info about how a staff member gets in: their sessions and
// API tokens.
type staffAccess struct {
	Sessions int // number of open sessions
	Tokens   []access.Token
}

func (p *Pages) staffAccess(ctx context.Context, staffID string) (a staffAccess, err error) {
	if a.Sessions, err = p.Gate.OpenSessions(ctx, policy.RealmStaff, staffID); err != nil {
		return a, err
	}
	a.Tokens, err = p.Gate.Tokens(ctx, staffID)
	return a, err
}

// accessRoutes are the addresses at which administrators end sessions and revoke tokens.
func (p *Pages) accessRoutes() []page.Route {
	return []page.Route{
		{Pattern: "POST /administration/staff/{id}/end-sessions", Realm: policy.RealmStaff, Actions: page.May(policy.ChangeStaff),
			Handle: p.changeAccount(p.Gate.EndStaffSessions, language.Mark("They are signed out everywhere. This is recorded with your name."))},
		{Pattern: "POST /administration/staff/{id}/tokens/{token}/revoke", Realm: policy.RealmStaff, Actions: page.May(policy.ChangeStaff), Handle: p.revokeToken},
		{Pattern: "POST /directory/portal-users/{id}/end-sessions", Realm: policy.RealmStaff, Actions: page.May(policy.Invite), Handle: p.endPortalSessions},
		{Pattern: "POST /directory/portal-users/{id}/reset-second-factor", Realm: policy.RealmStaff, Actions: page.May(policy.Invite), Handle: p.resetPortalFactor},
	}
}

func (p *Pages) revokeToken(w http.ResponseWriter, r *http.Request) error {
	token, err := uuid.Parse(r.PathValue("token"))
	if err != nil {
		return p.NotFound(w, r)
	}
	id := r.PathValue("id")
	err = p.Gate.RevokeToken(r.Context(), page.Subject(r).Actor(), id, token, events.RevokedByAdministrator)
	if errors.Is(err, access.ErrNoToken) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, "/administration/staff/"+id, "The API token is revoked. This is recorded with your name.")
}

func (p *Pages) endPortalSessions(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	err := p.Gate.EndPortalSessions(r.Context(), page.Subject(r).Actor(), id)
	if errors.Is(err, access.ErrNoPortalUser) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, "/directory/portal-users/"+id, "They are signed out on all their devices. This is recorded with your name.")
}

func (p *Pages) resetPortalFactor(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	err := p.Gate.ResetPortalFactor(r.Context(), page.Subject(r).Actor(), id)
	if errors.Is(err, access.ErrNoPortalUser) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, "/directory/portal-users/"+id, "Second factor reset. They sign in with their password alone until they set up a new one. This is recorded with your name.")
}
