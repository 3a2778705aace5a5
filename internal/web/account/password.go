package account

import (
	"errors"
	"net/http"

	"postern/internal/access"
	"postern/internal/access/passwords"
	"postern/internal/limits"
	"postern/internal/web/page"
)

const password = home + "/password"

// own is the data of the page to change one's password.
type own struct {
	access.Staff
	Least int // minimum length of a password, in characters
}

func (p *Pages) password(w http.ResponseWriter, r *http.Request) error {
	return p.showPassword(w, r, nil, nil)
}

func (p *Pages) showPassword(w http.ResponseWriter, r *http.Request, refusal error, faults page.Errors) error {
	staff, err := p.Gate.StaffByID(r.Context(), page.Subject(r).ID)
	if err != nil {
		return err
	}
	return p.render(w, r, page.View{Template: "password.html", Title: "Change your password", Data: own{staff, int(limits.StaffPassword)},
		Status: page.Refused(w, refusal), Errors: faults})
}

func (p *Pages) changePassword(w http.ResponseWriter, r *http.Request) error {
	who := page.Subject(r)
	err := p.Gate.ChangeStaffPassword(r.Context(), who, r.PostFormValue("current"), r.PostFormValue("password"))
	switch {
	case page.Refused(w, err) != 0:
		return p.showPassword(w, r, err, page.Errors{{Field: "current", Message: page.Say(r, err)}})
	case errors.Is(err, passwords.ErrCurrent), errors.Is(err, passwords.ErrRefused):
		var errs page.Errors
		for _, one := range page.Joined(err) {
			field := "current"
			if errors.Is(one, passwords.ErrRefused) {
				field = "password"
			}
			errs = append(errs, page.Error{Field: field, Message: page.Say(r, one)})
		}
		return p.showPassword(w, r, err, errs)
	case err != nil:
		return err
	}
	// All sessions have ended, including this one. The staff member who changed the
	// password gets a new one.
	if err := p.Gate.Begin(r.Context(), who); err != nil {
		return err
	}
	return p.Redirect(w, r, home, "Your password is changed. All your other devices are signed out.")
}
