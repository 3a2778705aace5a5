// Package factors is the pages on which staff and portal users set up second factors:
// an authenticator app, passkeys and recovery codes. Each realm has them below its account page,
// which lists the factors (the part "second-factors" of package page).
package factors

import (
	"embed"
	"errors"
	"net/http"
	"strings"

	"postern/internal/access"
	"postern/internal/access/factor"
	"postern/internal/access/passwords"
	"postern/internal/access/policy"
	"postern/internal/text/qr"
	"postern/internal/web/page"

	"github.com/google/uuid"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

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

// place describes the pages of one realm.
type place struct {
	realm  policy.Realm
	action policy.Action
	Home   string // address of the account page, below which these pages are
	Inside string // the first page after sign-in
}

var (
	staff  = place{policy.RealmStaff, policy.SecureAccount, "/account", "/"}
	portal = place{policy.RealmPortalUser, policy.ReadInbox, "/portal/account", "/portal"}
)

// At is the address below which these pages are.
func (p place) At() string { return p.Home + "/second-factor" }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	return append(append(p.routesOf(staff), p.routesOf(portal)...),
		page.Route{Pattern: "POST " + portal.At() + "/no-offer", Realm: portal.realm, Actions: page.May(portal.action), Handle: p.closeOffer})
}

func (p *Pages) routesOf(at place) []page.Route {
	route := func(pattern string, handle func(*visit) error) page.Route {
		verb, path, _ := strings.Cut(pattern, " ")
		return page.Route{Pattern: verb + " " + at.At() + path, Realm: at.realm, Actions: page.May(at.action), Handle: func(w http.ResponseWriter, r *http.Request) error {
			return handle(&visit{p, at, w, r, page.Subject(r)})
		}}
	}
	return []page.Route{
		route("POST ", (*visit).beginApp),
		route("GET ", (*visit).showApp),
		route("POST /confirm", (*visit).confirmApp),
		route("GET /passkey", (*visit).askForPasskey),
		route("POST /passkey", (*visit).beginPasskey),
		route("POST /passkey/confirm", (*visit).confirmPasskey),
		route("GET /recovery", (*visit).askForRecovery),
		route("POST /recovery", (*visit).makeRecovery),
		route("GET /{id}/remove", (*visit).askToRemove),
		route("POST /{id}/remove", (*visit).remove),
	}
}

// visit is a request to one of these pages.
type visit struct {
	*Pages
	at  place
	w   http.ResponseWriter
	r   *http.Request
	who policy.Subject
}

// data is the data of each page. What is the part that only one page has.
type data struct {
	place
	What any
}

func (v *visit) render(view page.View) error {
	view.Section, view.Data = "account", data{v.at, view.Data}
	view.Scripts = append(view.Scripts, "reader.js")
	return v.Render(v.w, v.r, set, view)
}

// home leads to the account page.
func (v *visit) home(notice string) error { return v.Redirect(v.w, v.r, v.at.Home, notice) }

// added answers for a factor that is set up: with the recovery codes, which are shown only now, or
// with the account page. All sessions have ended, including this one; the person gets a new one.
func (v *visit) added(notice string, recovery []string) error {
	if err := v.Gate.Begin(v.r.Context(), v.who); err != nil {
		return err
	}
	if len(recovery) == 0 {
		return v.home(notice)
	}
	return v.showRecovery(notice, recovery)
}

// codes is the data of the page that shows recovery codes.
type codes struct {
	Notice string
	Codes  []string
}

func (v *visit) showRecovery(notice string, recovery []string) error {
	return v.render(page.View{Template: "recovery.html", Title: "Your recovery codes", Data: codes{notice, recovery}})
}

// fieldOf returns the field of a form that an error is about, "" for an error that is not the
// reader's.
func fieldOf(err error) string {
	tooSoon := access.TooSoon{}
	switch {
	case errors.Is(err, access.ErrWrongCode):
		return "code"
	case errors.Is(err, access.ErrPasskeyName), errors.Is(err, access.ErrTooManyPasskeys):
		return "name"
	case errors.Is(err, passwords.ErrCurrent), errors.As(err, &tooSoon):
		return "password"
	}
	return ""
}

// faults returns the errors of a form, that of the password last, or nil if one of them is not the
// reader's.
func (v *visit) faults(err error) (errs page.Errors) {
	var last page.Errors
	for _, one := range page.Joined(err) {
		switch field := fieldOf(one); field {
		case "":
			return nil
		case "password":
			last = append(last, page.Error{Field: field, Message: page.Say(v.r, one)})
		default:
			errs = append(errs, page.Error{Field: field, Message: page.Say(v.r, one)})
		}
	}
	return append(errs, last...)
}

func (v *visit) beginApp() error {
	if err := v.Gate.Enrol(v.r.Context(), v.who); err != nil {
		return err
	}
	return v.Redirect(v.w, v.r, v.at.At(), "")
}

// enrolment is the data of the page that shows the secret of an app.
type enrolment struct {
	Secret string // in groups of four letters
	Code   qr.Code
}

func (v *visit) showApp() error { return v.showEnrolment(nil, nil) }

func (v *visit) showEnrolment(refusal error, errs page.Errors) error {
	making, err := v.Gate.Enrolling(v.r.Context(), v.who)
	if errors.Is(err, access.ErrNoEnrolment) {
		return v.home("")
	}
	if err != nil {
		return err
	}
	code, err := qr.Encode(making.URL)
	if err != nil {
		return err
	}
	return v.render(page.View{Template: "enrol.html", Title: "Set up an authenticator app", Data: enrolment{inFours(making.Secret), code}, Status: page.Refused(v.w, refusal), Errors: errs})
}

func inFours(text string) string {
	var fours []string
	for ; len(text) > 4; text = text[4:] {
		fours = append(fours, text[:4])
	}
	return strings.Join(append(fours, text), " ")
}

func (v *visit) confirmApp() error {
	recovery, err := v.Gate.AddFactor(v.r.Context(), v.who, v.r.PostFormValue("password"), v.r.PostFormValue("code"))
	if errors.Is(err, access.ErrNoEnrolment) {
		return v.home(page.Say(v.r, err))
	}
	if errs := v.faults(err); errs != nil {
		return v.showEnrolment(err, errs)
	}
	if err != nil {
		return err
	}
	return v.added("Your authenticator app is set up. All your other devices are signed out.", recovery)
}

// askForPasskey asks for a name and the password. If those are right, the next page asks the
// browser to make the passkey.
func (v *visit) askForPasskey() error {
	if !v.Gate.PasskeysAt(v.r.Host) {
		return v.home("Passkeys can’t be used at this address.")
	}
	return v.showPasskey("", nil, nil)
}

func (v *visit) showPasskey(name string, refusal error, errs page.Errors) error {
	return v.render(page.View{Template: "passkey.html", Title: "Add a passkey", Data: name, Status: page.Refused(v.w, refusal), Errors: errs})
}

func (v *visit) beginPasskey() error {
	name := v.r.PostFormValue("name")
	options, err := v.Gate.BeginPasskey(v.r.Context(), v.who, v.r.Host, name, v.r.PostFormValue("password"))
	if errors.Is(err, access.ErrNoCeremony) {
		return v.home("Passkeys can’t be used at this address.")
	}
	if errs := v.faults(err); errs != nil {
		return v.showPasskey(name, err, errs)
	}
	if err != nil {
		return err
	}
	return v.render(page.View{Template: "make.html", Title: "Create your passkey", Scripts: []string{"passkey.js"}, Data: options})
}

func (v *visit) confirmPasskey() error {
	recovery, err := v.Gate.AddPasskey(v.r.Context(), v.who, v.r.PostFormValue("credential"))
	if errors.Is(err, access.ErrNoCeremony) || errors.Is(err, access.ErrWrongPasskey) {
		return v.home("The passkey was not added. Try again.")
	}
	if err != nil {
		return err
	}
	return v.added("Your passkey is added. All your other devices are signed out.", recovery)
}

func (v *visit) askForRecovery() error { return v.showAskForRecovery(nil, nil) }

func (v *visit) showAskForRecovery(refusal error, errs page.Errors) error {
	return v.render(page.View{Template: "recovery_ask.html", Title: "Make new recovery codes", Status: page.Refused(v.w, refusal), Errors: errs})
}

func (v *visit) makeRecovery() error {
	made, err := v.Gate.NewRecoveryCodes(v.r.Context(), v.who, v.r.PostFormValue("password"))
	if errors.Is(err, access.ErrNoFactor) {
		return v.home(page.Say(v.r, err))
	}
	if errs := v.faults(err); errs != nil {
		return v.showAskForRecovery(err, errs)
	}
	if err != nil {
		return err
	}
	return v.showRecovery("Your new recovery codes are made. Earlier codes no longer work.", made)
}

// removal is the data of the page that asks before a factor is removed.
type removal struct {
	factor.Factor
	Last bool // no other factor is left
}

func (v *visit) askToRemove() error { return v.showRemoval(nil, nil) }

func (v *visit) showRemoval(refusal error, errs page.Errors) error {
	mine, err := v.Gate.FactorsOf(v.r.Context(), v.who, v.r.Host)
	if err != nil {
		return err
	}
	for _, f := range mine.All {
		if f.ID.String() == v.r.PathValue("id") {
			return v.render(page.View{Template: "remove.html", Title: "Remove a second factor", Data: removal{f, len(mine.All) == 1}, Status: page.Refused(v.w, refusal), Errors: errs})
		}
	}
	return v.NotFound(v.w, v.r)
}

func (v *visit) remove() error {
	id, err := uuid.Parse(v.r.PathValue("id"))
	if err != nil {
		return v.NotFound(v.w, v.r)
	}
	err = v.Gate.RemoveFactor(v.r.Context(), v.who, id, v.r.PostFormValue("password"))
	switch {
	case errors.Is(err, access.ErrNoSuchFactor):
		return v.NotFound(v.w, v.r)
	case errors.Is(err, access.ErrFactorRequired):
		return v.home(page.Say(v.r, err))
	}
	if errs := v.faults(err); errs != nil {
		return v.showRemoval(err, errs)
	}
	if err != nil {
		return err
	}
	return v.added("Removed. All your other devices are signed out.", nil)
}

// closeOffer stores that a portal user wants no second factor.
func (p *Pages) closeOffer(w http.ResponseWriter, r *http.Request) error {
	if err := p.Gate.CloseFactorOffer(r.Context(), page.Subject(r)); err != nil {
		return err
	}
	return p.Redirect(w, r, portal.Inside, "You can set this up later, at Account.")
}
