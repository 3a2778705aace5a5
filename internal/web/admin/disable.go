package admin

import (
	"context"
	"errors"
	"net/http"

	"postern/internal/access"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// changeAccount returns the handler that changes a staff member's account, such as to disable it.
func (p *Pages) changeAccount(change func(ctx context.Context, actor, staffID string) error, done string) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		id := r.PathValue("id")
		err := change(r.Context(), page.Subject(r).Actor(), id)
		switch {
		case err == nil:
			return p.Redirect(w, r, "/administration/staff/"+id, done)
		case errors.Is(err, access.ErrNoStaff):
			return p.NotFound(w, r)
		case errors.Is(err, access.ErrDisableSelf), errors.Is(err, access.ErrOwnFactor), errors.Is(err, access.ErrOwnIdentity), errors.Is(err, access.ErrLastAdministrator):
			return p.refuseSignIn(w, r, id, "sign-in", sentence(r, err))
		}
		return err
	}
}

// cancelScheduled cancels the scheduled messages of a disabled staff member. This is a
// decision of the clinic, so it does not happen automatically.
func (p *Pages) cancelScheduled(w http.ResponseWriter, r *http.Request) error {
	staff, err := p.Gate.StaffByID(r.Context(), r.PathValue("id"))
	if errors.Is(err, access.ErrNoStaff) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	n, err := p.Composer.CancelAllOf(r.Context(), page.Subject(r), staff)
	if err != nil {
		return err
	}
	notice := language.From(r.Context()).Count(n, "{n} message was cancelled. No one will receive it.", "{n} messages were cancelled. No one will receive them.")
	return p.Redirect(w, r, "/administration/staff/"+staff.ID, notice)
}
