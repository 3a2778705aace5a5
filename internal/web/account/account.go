// Package account is a staff member's own pages: how they sign in, the second factor that
// they set up for it, their sessions and their API tokens.
package account

import (
	"embed"
	"errors"
	"net/http"
	"slices"
	"strings"

	"postern/internal/access"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.MustParse(files)

// scripts improve pages that also work without them.
var scripts = []string{"reader.js"}

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Gate *access.Gate
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// The addresses of these pages.
const (
	home  = "/account"
	setUp = home + "/second-factor"
)

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	route := func(pattern string, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: page.May(policy.SecureAccount), Handle: handle}
	}
	return append(slices.Concat(p.tokenRoutes(), p.sessionRoutes()),
		route("GET "+home, p.account),
		route("POST "+home+"/sign-out-everywhere", p.signOutEverywhere),
		route("GET "+password, p.password),
		route("POST "+password, p.changePassword),
		route("POST "+setUp, p.begin),
		route("GET "+setUp, p.show),
		route("POST "+setUp+"/confirm", p.confirm),
		route("GET "+setUp+"/remove", p.askToRemove),
		route("POST "+setUp+"/remove", p.remove),
		route("GET "+unlink, p.ofLinked(p.askToUnlink)),
		route("POST "+unlink, p.ofLinked(p.unlink)),
	)
}

// me is the data of the account page.
type me struct {
	access.Staff
	Recovery     int  // number of unused recovery codes
	Required     bool // the clinic requires a second factor
	Organisation bool // this session began at the organisation
}

func (p *Pages) account(w http.ResponseWriter, r *http.Request) error {
	who := page.Subject(r)
	staff, err := p.Gate.StaffByID(r.Context(), who.ID)
	if err != nil {
		return err
	}
	mine := me{Staff: staff, Required: p.Gate.FactorRequired(), Organisation: who.Method == policy.ByOrganisation}
	if mine.Recovery, err = p.Gate.RecoveryCodesLeft(r.Context(), who); err != nil {
		return err
	}
	return p.render(w, r, page.View{Template: "account.html", Title: "Your account", Data: mine})
}

func (p *Pages) render(w http.ResponseWriter, r *http.Request, v page.View) error {
	v.Section, v.Scripts = "account", scripts
	return p.Render(w, r, set, v)
}

func (p *Pages) begin(w http.ResponseWriter, r *http.Request) error {
	if err := p.Gate.Enrol(r.Context(), page.Subject(r)); err != nil {
		return err
	}
	return p.Redirect(w, r, setUp, "")
}

// enrolment is the data of the page that shows the secret.
type enrolment struct {
	Secret string // in groups of four letters
	Code   QR
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request) error {
	return p.showEnrolment(w, r, nil, nil)
}

func (p *Pages) showEnrolment(w http.ResponseWriter, r *http.Request, refusal error, faults page.Errors) error {
	making, err := p.Gate.Enrolling(r.Context(), page.Subject(r))
	if errors.Is(err, access.ErrNoEnrolment) {
		return p.Redirect(w, r, home, "")
	}
	if err != nil {
		return err
	}
	code, err := Encode(making.URL)
	if err != nil {
		return err
	}
	return p.render(w, r, page.View{Template: "enrol.html", Title: "Set up a second factor", Data: enrolment{inFours(making.Secret), code}, Status: page.Refused(w, refusal), Errors: faults})
}

func inFours(text string) string {
	var fours []string
	for ; len(text) > 4; text = text[4:] {
		fours = append(fours, text[:4])
	}
	return strings.Join(append(fours, text), " ")
}

// confirm adds the factor and shows the recovery codes, which are shown only once.
func (p *Pages) confirm(w http.ResponseWriter, r *http.Request) error {
	who := page.Subject(r)
	recovery, err := p.Gate.AddFactor(r.Context(), who, r.PostFormValue("password"), r.PostFormValue("code"))
	tooSoon := access.TooSoon{}
	switch {
	case errors.Is(err, access.ErrNoEnrolment):
		return p.Redirect(w, r, home, page.Sentence(err))
	case errors.Is(err, access.ErrWrongCode), errors.Is(err, passwords.ErrCurrent), errors.As(err, &tooSoon):
		var errs page.Errors
		for _, one := range page.Joined(err) {
			if errors.Is(one, access.ErrWrongCode) { // its field comes first
				errs = append(page.Errors{{Field: "code", Message: page.Sentence(one)}}, errs...)
				continue
			}
			errs = append(errs, page.Error{Field: "password", Message: page.Sentence(one)})
		}
		return p.showEnrolment(w, r, err, errs)
	case err != nil:
		return err
	}
	// All sessions have ended, including this one. The staff member who set up the
	// factor gets a new one.
	if err := p.Gate.Begin(r.Context(), who); err != nil {
		return err
	}
	return p.render(w, r, page.View{Template: "recovery.html", Title: "Your recovery codes", Data: recovery})
}

func (p *Pages) askToRemove(w http.ResponseWriter, r *http.Request) error {
	return p.render(w, r, page.View{Template: "remove.html", Title: "Remove your second factor"})
}

func (p *Pages) remove(w http.ResponseWriter, r *http.Request) error {
	who := page.Subject(r)
	err := p.Gate.RemoveFactor(r.Context(), who, r.PostFormValue("password"))
	tooSoon := access.TooSoon{}
	switch {
	case errors.Is(err, access.ErrFactorRequired):
		return p.Redirect(w, r, home, page.Sentence(err))
	case errors.Is(err, passwords.ErrCurrent), errors.As(err, &tooSoon):
		return p.render(w, r, page.View{Template: "remove.html", Title: "Remove your second factor", Status: page.Refused(w, err),
			Errors: page.Errors{{Field: "password", Message: page.Sentence(err)}}})
	case err != nil:
		return err
	}
	if err := p.Gate.Begin(r.Context(), who); err != nil {
		return err
	}
	return p.Redirect(w, r, home, "Your second factor is removed. You now sign in with your password alone.")
}

func (p *Pages) signOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	if err := p.Gate.SignOutEverywhere(r.Context(), page.Subject(r)); err != nil {
		return err
	}
	if err := p.Gate.SignOut(r.Context(), policy.RealmStaff); err != nil {
		return err
	}
	return p.Redirect(w, r, "/sign-in", "You are signed out on all your devices.")
}
