// Package admin is the pages for administrators: staff, their permissions and requests for them, Custom
// Labels, the directory and its import.
//
// # Size
//
// These pages are one section of the navigation. Each kind has a file of its own, and they
// share the list of people, its search and its parts of pages.
package admin

import (
	"embed"
	"slices"
	"time"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/policy"
	"postern/internal/compose"
	"postern/internal/directory"
	"postern/internal/directory/upload"
	"postern/internal/labels/labelstore"
	"postern/internal/notify/unsubscribe"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

// section is the section of these pages in the navigation.
const section = "administration"

// perPage is the number of rows on a page of a list.
const perPage = 50

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Gate      *access.Gate
	Composer  *compose.Composer
	Labels    *labelstore.Store
	Letters   *letter.Letters
	Uploads   *upload.Uploads
	Directory directory.Querier
	OptOuts   *unsubscribe.OptOuts
	Now       func() time.Time
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	route := func(pattern string, handle page.Handler, actions ...policy.Action) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: actions, Handle: handle}
	}
	return append(slices.Concat(p.accessRoutes(), p.addressRoutes(), p.invitationRoutes()),
		route("GET /administration/staff", p.staff, policy.ChangeStaff),
		route("POST /administration/staff", p.addStaff, policy.ChangeStaff),
		route("GET /administration/staff/new", p.newStaff, policy.ChangeStaff),
		route("GET /administration/staff/{id}", p.staffInfo, policy.ChangeStaff),
		route("POST /administration/staff/{id}", p.changePermissions, policy.ChangeStaff),
		route("GET /administration/staff/{id}/change", p.editStaff, policy.ChangeStaff),
		route("POST /administration/staff/{id}/change", p.changeStaff, policy.ChangeStaff),
		route("POST /administration/staff/{id}/link", p.inviteStaff, policy.ChangeStaff),
		route("POST /administration/staff/{id}/disable", p.changeAccount(p.Gate.Disable, language.Mark("Account disabled. This is recorded with your name.")), policy.ChangeStaff),
		route("POST /administration/staff/{id}/enable", p.changeAccount(p.Gate.Enable, language.Mark("Account enabled. They can sign in again with their password. This is recorded with your name.")), policy.ChangeStaff),
		route("POST /administration/staff/{id}/unlink", p.changeAccount(p.Gate.Unlink, language.Mark("Unlinked from the organisation. They are signed out everywhere. This is recorded with your name.")), policy.ChangeStaff),
		route("POST /administration/staff/{id}/reset-second-factor", p.changeAccount(p.Gate.ResetFactor, language.Mark("Second factor reset. They sign in with their password alone until they set up a new one. This is recorded with your name.")), policy.ChangeStaff),
		route("POST /administration/staff/{id}/cancel-scheduled", p.cancelScheduled, policy.ChangeStaff),
		route("GET /administration/grants", p.grants, policy.ChangeStaff),
		route("POST /administration/grants/{id}/approve", p.approveGrant, policy.ApproveGrant),
		route("POST /administration/grants/{id}/withdraw", p.withdrawGrant, policy.ChangeStaff),
		route("GET /administration/labels", p.labels, policy.ChangeLabels),
		route("POST /administration/labels", p.changeLabels, policy.ChangeLabels),
		route("GET /directory/portal-users", p.portalUsers, policy.SeeDirectory),
		route("POST /directory/portal-users", p.RedirectSearch, policy.SeeDirectory),
		route("GET /directory/portal-users/{id}", p.portalUser, policy.SeeDirectory, policy.SendMessage),
		route("POST /directory/portal-users/{id}/invitation", p.invite, policy.Invite),
		route("GET /directory/patients", p.patients, policy.SeeDirectory),
		route("POST /directory/patients", p.RedirectSearch, policy.SeeDirectory),
		route("GET /directory/patients/{id}", p.patient, policy.SeeDirectory),
		route("GET /directory/import", p.chooseFiles, policy.Import),
		page.Route{Pattern: "POST /directory/import", Realm: policy.RealmStaff, Actions: page.May(policy.Import), Takes: uploadBody, Handle: p.receive},
		route("GET /directory/import/{id}", p.showImport, policy.Import),
		route("POST /directory/import/{id}", p.decide, policy.Import),
	)
}
