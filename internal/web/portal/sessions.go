package portal

import (
	"errors"
	"net/http"

	"postern/internal/access/session"
	"postern/internal/inbox"
	"postern/internal/web/page"

	"github.com/google/uuid"
)

const sessions = "/portal/account/sessions"

func (p *Pages) sessions(w http.ResponseWriter, r *http.Request) error {
	mine, err := p.Account.Sessions(r.Context(), page.Subject(r))
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "sessions.html", Title: "Where you are signed in", Section: "account", Data: mine})
}

func (p *Pages) endSession(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return inbox.ErrNotFound
	}
	err = p.Account.EndSession(r.Context(), page.Subject(r), id)
	if errors.Is(err, session.ErrNotFound) { // it has ended since the page was opened
		return p.Redirect(w, r, sessions, "That device was signed out already.")
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, sessions, "The device is signed out.")
}

func (p *Pages) endOthers(w http.ResponseWriter, r *http.Request) error {
	if err := p.Account.EndOtherSessions(r.Context(), page.Subject(r)); err != nil {
		return err
	}
	return p.Redirect(w, r, sessions, "All your other devices are signed out.")
}
