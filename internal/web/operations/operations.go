// Package operations is the pages of those who run the system: how the whole works,
// what is parked, and the switch that stops alerts. They show ids, counts and
// reasons, and nothing of what a message says.
//
// The overview renews itself every few seconds where scripts run. The switch of alerting is
// renewed only when the pauses have changed, so that what is typed stays.
package operations

import (
	"embed"

	"postern/internal/access"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.MustParse(files)

// section is where these pages stand in the navigation.
const section = "operations"

// perPage is how many rows a list shows at a time.
const perPage = 50

// Pages are the pages of this package.
type Pages struct{ kit *page.Kit }

// New makes the pages.
func New(kit *page.Kit) *Pages { return &Pages{kit} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	route := func(pattern string, action access.Action, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: access.RealmStaff, Actions: page.May(action), Handle: handle}
	}
	return []page.Route{
		route("GET /operations", access.Replay, p.overview),
		route("GET /operations/messages", access.Replay, p.messages),
		route("POST /operations/alerting/{change}", access.Replay, p.switchAlerting),
		route("GET /operations/parked", access.SettleParked, p.parkedList),
		route("POST /operations/parked", access.SettleParked, p.retryAll),
		route("GET /operations/parked/{id}", access.SettleParked, p.parkedEvent),
		route("POST /operations/parked/{id}/{decision}", access.SettleParked, p.decide),
	}
}
