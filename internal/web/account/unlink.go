package account

import (
	"errors"
	"net/http"

	"postern/internal/access"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/web/page"
)

const unlink = home + "/unlink"

// ofLinked calls next for staff who can unlink their account. The others get their account page.
func (p *Pages) ofLinked(next page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		staff, err := p.Gate.StaffByID(r.Context(), page.Subject(r).ID)
		if err != nil {
			return err
		}
		if staff.LinkedAt == nil || !staff.HasPassword {
			return p.Redirect(w, r, home, "")
		}
		return next(w, r)
	}
}

func (p *Pages) askToUnlink(w http.ResponseWriter, r *http.Request) error {
	return p.render(w, r, page.View{Template: "unlink.html", Title: "Unlink your account from your organisation"})
}

// unlink ends the link of the account to the organisation, and all its sessions.
func (p *Pages) unlink(w http.ResponseWriter, r *http.Request) error {
	err := p.Gate.UnlinkOwn(r.Context(), page.Subject(r), r.PostFormValue("password"))
	tooSoon := access.TooSoon{}
	switch {
	case errors.Is(err, passwords.ErrCurrent), errors.As(err, &tooSoon):
		return p.render(w, r, page.View{Template: "unlink.html", Title: "Unlink your account from your organisation", Status: page.Refused(w, err),
			Errors: page.Errors{{Field: "password", Message: page.Say(r, err)}}})
	case err != nil:
		return err
	}
	if err := p.Gate.SignOut(r.Context(), policy.RealmStaff); err != nil {
		return err
	}
	return p.Redirect(w, r, "/sign-in", "Your account is unlinked from your organisation. Sign in with your password.")
}
