// Package account is a staff member's own pages: how they sign in, their sessions and their API
// tokens. The pages to set up second factors are in package factors.
package account

import (
	"embed"
	"net/http"
	"slices"

	"postern/internal/access"
	"postern/internal/access/factor"
	"postern/internal/access/policy"
	"postern/internal/messages/notice"
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
	Notices *notice.Notices
	// Mails says that an e-mail service is set up.
	Mails bool
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// home is the address below which these pages are, and those of package factors.
const home = "/account"

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	route := func(pattern string, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: page.May(policy.SecureAccount), Handle: handle}
	}
	return append(slices.Concat(p.tokenRoutes(), p.sessionRoutes()),
		route("POST "+home+"/notices", p.mailNotices),
		route("GET "+home, p.account),
		route("POST "+home+"/sign-out-everywhere", p.signOutEverywhere),
		route("GET "+password, p.password),
		route("POST "+password, p.changePassword),
		route("GET "+unlink, p.ofLinked(p.askToUnlink)),
		route("POST "+unlink, p.ofLinked(p.unlink)),
	)
}

// me is the data of the account page.
type me struct {
	access.Staff
	Factors      factor.Factors
	Organisation bool // this session began at the organisation
	// Mails says that the reader can have e-mails when messages have ended, and Mailed that they do.
	Mails, Mailed bool
}

func (p *Pages) account(w http.ResponseWriter, r *http.Request) error {
	who := page.Subject(r)
	staff, err := p.Gate.StaffByID(r.Context(), who.ID)
	if err != nil {
		return err
	}
	mine := me{Staff: staff, Organisation: who.Method == policy.ByOrganisation}
	if mine.Factors, err = p.Gate.FactorsOf(r.Context(), who, r.Host); err != nil {
		return err
	}
	if mine.Mails = p.Mails && policy.Allow(who, policy.SendToGroup) == nil; mine.Mails {
		if mine.Mailed, err = p.Notices.Mails(r.Context(), who); err != nil {
			return err
		}
	}
	return p.render(w, r, page.View{Template: "account.html", Title: "Your account", Data: mine})
}

func (p *Pages) render(w http.ResponseWriter, r *http.Request, v page.View) error {
	v.Section, v.Scripts = "account", scripts
	return p.Render(w, r, set, v)
}

// mailNotices switches the e-mails about messages that have ended on or off.
func (p *Pages) mailNotices(w http.ResponseWriter, r *http.Request) error {
	on := r.FormValue("emails") == "on"
	if on {
		if err := policy.Allow(page.Subject(r), policy.SendToGroup); err != nil {
			return err
		}
	}
	if err := p.Notices.SetMails(r.Context(), page.Subject(r), on); err != nil {
		return err
	}
	if on {
		return p.Redirect(w, r, home, "You will get an e-mail when a message that you send to a group has ended.")
	}
	return p.Redirect(w, r, home, "You will get no e-mails when messages have ended.")
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
