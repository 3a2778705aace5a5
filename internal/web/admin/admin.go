// Package admin is the pages of what administrators set up: staff and
// their permissions, Custom Labels, the directory and its import.
package admin

import (
	"embed"

	"postern/internal/access"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.MustParse(files)

// section is what the navigation has these pages under.
const section = "administration"

// perPage is how many rows a list shows at a time.
const perPage = 50

// Pages are the pages of this package.
type Pages struct{ kit *page.Kit }

// New makes the pages.
func New(kit *page.Kit) *Pages { return &Pages{kit} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	route := func(pattern string, handle page.Handler, actions ...access.Action) page.Route {
		return page.Route{Pattern: pattern, Realm: access.RealmStaff, Actions: actions, Handle: handle}
	}
	return []page.Route{
		route("GET /administration/staff", p.staff, access.ChangeStaff),
		route("POST /administration/staff", p.addStaff, access.ChangeStaff),
		route("GET /administration/staff/new", p.newStaff, access.ChangeStaff),
		route("GET /administration/staff/{id}", p.staffInfo, access.ChangeStaff),
		route("POST /administration/staff/{id}", p.changePermissions, access.ChangeStaff),
		route("POST /administration/staff/{id}/disable", p.switchStaff(p.kit.Gate.Disable, "They may not come in any more. It is on the record, with your name."), access.ChangeStaff),
		route("POST /administration/staff/{id}/enable", p.switchStaff(p.kit.Gate.Enable, "They may come in again, with their password. It is on the record, with your name."), access.ChangeStaff),
		route("POST /administration/staff/{id}/reset-second-factor", p.switchStaff(p.kit.Gate.ResetFactor, "They sign in by their password alone now, until they set up another second factor. It is on the record, with your name."), access.ChangeStaff),
		route("POST /administration/staff/{id}/cancel-scheduled", p.cancelScheduled, access.ChangeStaff),
		route("GET /administration/labels", p.labels, access.ChangeLabels),
		route("POST /administration/labels", p.changeLabels, access.ChangeLabels),
		route("GET /directory/portal-users", p.portalUsers, access.SeeDirectory),
		route("POST /directory/portal-users", p.kit.Ask, access.SeeDirectory),
		route("GET /directory/portal-users/{id}", p.portalUser, access.SeeDirectory, access.SendMessage),
		route("POST /directory/portal-users/{id}/invitation", p.invite, access.Invite),
		route("GET /directory/patients", p.patients, access.SeeDirectory),
		route("POST /directory/patients", p.kit.Ask, access.SeeDirectory),
		route("GET /directory/patients/{id}", p.patient, access.SeeDirectory),
		route("GET /directory/import", p.chooseFiles, access.Import),
		page.Route{Pattern: "POST /directory/import", Realm: access.RealmStaff, Actions: page.May(access.Import), Takes: takes, Handle: p.receive},
		route("GET /directory/import/{id}", p.showImport, access.Import),
		route("POST /directory/import/{id}", p.decide, access.Import),
	}
}
