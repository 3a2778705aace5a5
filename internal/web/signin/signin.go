// Package signin is the pages on which staff and portal users sign in and out, each
// realm on its own page.
package signin

import (
	"embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/oidc"
	"postern/internal/access/policy"
	"postern/internal/limits"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

// scripts improve pages that also work without them.
var scripts = []string{"reader.js"}

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Gate    *access.Gate
	Letters *letter.Letters
	// Organisation is the staff's identity provider; nil for none.
	Organisation *oidc.Issuer
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// signInPage describes the pages of one realm.
type signInPage struct {
	realm   policy.Realm
	signIn  string // address of the sign-in page
	inside  string // the first page after sign-in
	heading string
	other   string // address of the other realm's sign-in page
	forgot  string // address of the page for a forgotten password
	link    string // address of the page that a link to set a password opens
	least   limits.Characters
}

var (
	staff = signInPage{policy.RealmStaff, "/sign-in", "/messages", language.Mark("Staff sign-in"),
		"/portal/sign-in", "/forgotten", letter.StaffPath, limits.StaffPassword}
	portal = signInPage{policy.RealmPortalUser, "/portal/sign-in", "/portal", language.Mark("Sign in to your messages"),
		"/sign-in", "/portal/forgotten", letter.PortalPath, limits.PortalPassword}
)

// sent is the address of the page after a link was asked for, code that of the page for the second
// factor, and passkey that of the page to sign in with a passkey alone.
func (e signInPage) sent() string    { return e.forgot + "/sent" }
func (e signInPage) code() string    { return e.signIn + "/code" }
func (e signInPage) passkey() string { return e.signIn + "/passkey" }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	routes := []page.Route{
		{Pattern: "GET /{$}", Realm: policy.RealmStaff, Handle: p.first},
		{Pattern: "GET " + organisationAt, Realm: policy.RealmStaff, Handle: p.toOrganisation},
		{Pattern: "GET " + oidc.CallbackPath, Realm: policy.RealmStaff, Handle: p.fromOrganisation},
		{Pattern: "POST /sign-out", Realm: policy.RealmStaff, Handle: p.leave(staff)},
		{Pattern: "POST /session/keep", Realm: policy.RealmStaff, Actions: page.May(policy.SecureAccount), Handle: p.keep(staff)},
		{Pattern: "POST /portal/sign-out", Realm: policy.RealmPortalUser, Handle: p.leave(portal)},
		{Pattern: "POST " + page.LanguageAt(policy.RealmStaff), Realm: policy.RealmStaff, Handle: p.chooseLanguage(staff)},
		{Pattern: "POST " + page.LanguageAt(policy.RealmPortalUser), Realm: policy.RealmPortalUser, Handle: p.chooseLanguage(portal)},
		{Pattern: "POST /portal/session/keep", Realm: policy.RealmPortalUser, Actions: page.May(policy.ReadInbox), Handle: p.keep(portal)},
	}
	return slices.Concat(routes, p.letterRoutes(), p.routesOf(staff, p.Gate.SignInStaff), p.routesOf(portal, p.Gate.SignInPortal))
}

// routesOf are the addresses that both realms have.
func (p *Pages) routesOf(e signInPage, signIn signIn) []page.Route {
	return []page.Route{
		{Pattern: "GET " + e.signIn, Realm: e.realm, Handle: p.show(e)},
		{Pattern: "POST " + e.signIn, Realm: e.realm, Handle: p.enter(e, signIn)},
		{Pattern: "GET " + e.code(), Realm: e.realm, Handle: p.code(e)},
		{Pattern: "POST " + e.code(), Realm: e.realm, Handle: p.enterByCode(e)},
		{Pattern: "POST " + e.code() + "/passkey", Realm: e.realm, Handle: p.enterBySecondPasskey(e)},
		{Pattern: "POST " + e.passkey(), Realm: e.realm, Handle: p.passkey(e)},
		{Pattern: "POST " + e.passkey() + "/confirm", Realm: e.realm, Handle: p.enterByPasskey(e)},
		{Pattern: "GET " + e.forgot, Realm: e.realm, Handle: p.forgotten(e)},
		{Pattern: "POST " + e.forgot, Realm: e.realm, Handle: p.request(e)},
		{Pattern: "GET " + e.sent(), Realm: e.realm, Handle: p.requested(e)},
		{Pattern: "GET " + e.link, Realm: e.realm, Handle: p.invitation(e)},
		{Pattern: "POST " + e.link, Realm: e.realm, Handle: p.accept(e)},
	}
}

// first redirects staff to their messages, and everyone else to the portal, because the
// links in alerts lead here.
func (p *Pages) first(w http.ResponseWriter, r *http.Request) error {
	if _, err := policy.SubjectFrom(r.Context()); err == nil {
		return p.Redirect(w, r, staff.inside, "")
	}
	return p.Redirect(w, r, portal.inside, "")
}

// form is the data of the sign-in page.
type form struct {
	Heading, Action, Email, Next string
	Other, Forgot                string
	Expired                      bool   // the session timed out
	Organisation                 string // address to sign in at the organisation; "" for none
	Passkey                      string // address to sign in with a passkey; "" where there are none
	Letter                       string // address to use the code of a letter; "" for staff
}

func (p *Pages) form(e signInPage, r *http.Request) form {
	f := form{Heading: e.heading, Action: e.signIn, Next: page.Next(r, ""), Other: e.other, Forgot: e.forgot,
		Expired: r.FormValue("expired") != ""}
	if p.Gate.PasskeysAt(r.Host) {
		f.Passkey = e.passkey()
	}
	if e.realm == policy.RealmPortalUser {
		f.Letter = letterAt
	}
	if e.realm == policy.RealmStaff && p.Organisation != nil {
		f.Organisation = organisationAt
		if f.Next != "" {
			f.Organisation += "?next=" + url.QueryEscape(f.Next)
		}
	}
	return f
}

func (p *Pages) show(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := policy.SubjectFrom(r.Context()); err == nil {
			return p.Redirect(w, r, page.Next(r, e.inside), "")
		}
		return p.Render(w, r, set, page.View{Template: "sign_in.html", Title: e.heading, Scripts: scripts, Data: p.form(e, r)})
	}
}

func (p *Pages) enter(e signInPage, signIn signIn) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := p.begin(r, signIn)
		tooSoon, needed := access.TooSoon{}, access.CodeNeeded{}
		switch {
		case err == nil:
			return p.Redirect(w, r, page.Next(r, e.inside), "")
		case errors.As(err, &needed):
			return p.askForCode(w, r, e, needed)
		case errors.Is(err, access.ErrWrongCredentials), errors.As(err, &tooSoon):
			f := p.form(e, r)
			f.Email = r.PostFormValue("email")
			return p.Render(w, r, set, page.View{Template: "sign_in.html", Title: e.heading, Scripts: scripts, Data: f, Status: page.Refused(w, err),
				Errors: page.Errors{{Field: "email", Message: e.refusal(r, err)}}})
		}
		return err
	}
}

// refusal says why a sign-in was refused. It never says what was wrong.
func (e signInPage) refusal(r *http.Request, err error) string {
	if e.realm == policy.RealmPortalUser && errors.Is(err, access.ErrWrongCredentials) {
		return page.T(r, "The e-mail address, the user name or the password is wrong")
	}
	return page.Say(r, err)
}

func (p *Pages) begin(r *http.Request, signIn signIn) error {
	subject, err := signIn(r.Context(), access.Credentials{Email: r.PostFormValue("email"), Password: r.PostFormValue("password")})
	if err != nil {
		return err
	}
	return p.Gate.Begin(r.Context(), subject)
}

func (p *Pages) leave(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := p.Gate.SignOut(r.Context(), e.realm); err != nil {
			return err
		}
		return p.Redirect(w, r, e.signIn, "You have signed out.")
	}
}

// keep prolongs the session, as every request does.
func (p *Pages) keep(e signInPage) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		left, _ := p.Gate.SessionLeft(r.Context(), e.realm)
		return json.NewEncoder(w).Encode(map[string]int{"expires_in": int(left.Seconds())})
	}
}
