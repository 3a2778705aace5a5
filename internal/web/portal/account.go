package portal

import (
	"errors"
	"net/http"
	"time"

	"postern/internal/access/factor"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/web/page"
)

// me is the data of the account page.
type me struct {
	Email   string
	Least   int // minimum length of a password, in characters
	Factors factor.Factors
	// Silent is since when they get no e-mails about new messages; nil: they get them.
	Silent *time.Time
}

func (p *Pages) account(w http.ResponseWriter, r *http.Request) error {
	return p.showAccount(w, r, nil, nil)
}

func (p *Pages) showAccount(w http.ResponseWriter, r *http.Request, refusal error, faults page.Errors) error {
	email, err := p.Email(r.Context(), page.Subject(r).No)
	if err != nil {
		return err
	}
	factors, err := p.Account.FactorsOf(r.Context(), page.Subject(r), r.Host)
	if err != nil {
		return err
	}
	silent, err := p.OptOuts.Since(r.Context(), page.Subject(r).No)
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "account.html", Title: "Your account", Section: "account", Scripts: scripts,
		Data: me{email, int(limits.PortalPassword), factors, silent}, Status: page.Refused(w, refusal), Errors: faults})
}

func (p *Pages) changePassword(w http.ResponseWriter, r *http.Request) error {
	subject := page.Subject(r)
	err := p.Account.ChangePortalPassword(r.Context(), subject, r.PostFormValue("current"), r.PostFormValue("password"))
	switch {
	case page.Refused(w, err) != 0:
		return p.showAccount(w, r, err, page.Errors{{Field: "current", Message: page.Say(r, err)}})
	case errors.Is(err, passwords.ErrCurrent), errors.Is(err, passwords.ErrRefused):
		var errs page.Errors
		for _, one := range page.Joined(err) {
			field := "current"
			if errors.Is(one, passwords.ErrRefused) {
				field = "password"
			}
			errs = append(errs, page.Error{Field: field, Message: page.Say(r, one)})
		}
		return p.showAccount(w, r, err, errs)
	case err != nil:
		return err
	}
	// All sessions have ended, including this one. The portal user who changed the
	// password gets a new one.
	if err := p.Account.Begin(r.Context(), subject); err != nil {
		return err
	}
	return p.Redirect(w, r, "/portal/account", "Your password is changed. All your other devices are signed out.")
}

func (p *Pages) signOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	if err := p.Account.SignOutEverywhere(r.Context(), page.Subject(r)); err != nil {
		return err
	}
	if err := p.Account.SignOut(r.Context(), policy.RealmPortalUser); err != nil {
		return err
	}
	return p.Redirect(w, r, "/portal/sign-in", "You are signed out on all your devices.")
}
