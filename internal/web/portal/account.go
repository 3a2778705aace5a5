package portal

import (
	"errors"
	"net/http"

	"postern/internal/access"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/directory"
	"postern/internal/web/page"
)

// me is the account page.
type me struct {
	Email string
	Least int // characters of a password
}

func (p *Pages) account(w http.ResponseWriter, r *http.Request) error {
	return p.showAccount(w, r, nil, nil)
}

func (p *Pages) showAccount(w http.ResponseWriter, r *http.Request, refusal error, faults page.Errors) error {
	no := page.Subject(r).No
	found, err := directory.PortalUsers(r.Context(), p.Directory, []int32{no})
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "account.html", Title: "Your account", Section: "account", Scripts: scripts,
		Data: me{found[no].Email, passwords.MinPortal}, Status: page.Refused(w, refusal), Errors: faults})
}

func (p *Pages) changePassword(w http.ResponseWriter, r *http.Request) error {
	subject := page.Subject(r)
	err := p.Gate.ChangePortalPassword(r.Context(), subject, r.PostFormValue("current"), r.PostFormValue("password"))
	tooSoon := access.TooSoon{}
	switch {
	case errors.As(err, &tooSoon):
		return p.showAccount(w, r, err, page.Errors{{Field: "current", Message: page.Sentence(err)}})
	case errors.Is(err, passwords.ErrCurrent), errors.Is(err, passwords.ErrRefused):
		var errs page.Errors
		for _, one := range page.Faults(err) {
			field := "current"
			if errors.Is(one, passwords.ErrRefused) {
				field = "password"
			}
			errs = append(errs, page.Error{Field: field, Message: page.Sentence(one)})
		}
		return p.showAccount(w, r, err, errs)
	case err != nil:
		return err
	}
	// All sessions have ended, this one too. Whoever changed the password stays.
	if err := p.Gate.Begin(r.Context(), subject); err != nil {
		return err
	}
	return p.Redirect(w, r, "/portal/account", "Your password is changed. All your other devices are signed out.")
}

func (p *Pages) signOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	if err := p.Gate.SignOutEverywhere(r.Context(), page.Subject(r)); err != nil {
		return err
	}
	if err := p.Gate.SignOut(r.Context(), policy.RealmPortalUser); err != nil {
		return err
	}
	return p.Redirect(w, r, "/portal/sign-in", "You are signed out on all your devices.")
}
