package account

import (
	"errors"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/access/session"
	"postern/internal/web/page"

	"github.com/google/uuid"
)

const sessions = home + "/sessions"

func (p *Pages) sessionRoutes() []page.Route {
	route := func(pattern string, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: page.May(policy.SecureAccount), Handle: handle}
	}
	return []page.Route{
		route("GET "+sessions, p.sessions),
		route("POST "+sessions+"/end-others", p.endOthers),
		route("POST "+sessions+"/{id}/end", p.endSession),
	}
}

func (p *Pages) sessions(w http.ResponseWriter, r *http.Request) error {
	mine, err := p.Gate.Sessions(r.Context(), page.Subject(r))
	if err != nil {
		return err
	}
	return p.render(w, r, page.View{Template: "sessions.html", Title: "Where you are signed in", Data: mine})
}

func (p *Pages) endSession(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	err = p.Gate.EndSession(r.Context(), page.Subject(r), id)
	if errors.Is(err, session.ErrNotFound) { // it has ended since the page was opened
		return p.Redirect(w, r, sessions, "That device was signed out already.")
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, sessions, "The device is signed out.")
}

func (p *Pages) endOthers(w http.ResponseWriter, r *http.Request) error {
	if err := p.Gate.EndOtherSessions(r.Context(), page.Subject(r)); err != nil {
		return err
	}
	return p.Redirect(w, r, sessions, "All other devices are signed out.")
}
