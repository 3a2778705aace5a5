// Package operations is the pages for operators: the state of the system, parked
// events, and the pauses of alerting. They show ids, counts and reasons, and no content
// of messages.
//
// With scripts, the overview refreshes every few seconds. The form to pause alerting is
// replaced only when the pauses have changed, so that typed text stays.
package operations

import (
	"embed"
	"time"

	"postern/internal/access/policy"
	"postern/internal/eventlog/parked"
	"postern/internal/health"
	"postern/internal/notify/pause"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

// section is the section of these pages in the navigation.
const section = "operations"

// perPage is the number of rows on a page of a list.
const perPage = 50

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Pauses *pause.Pauses
	Parked *parked.Events
	Health *health.Status
	Await  page.Await
	Now    func() time.Time
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	route := func(pattern string, action policy.Action, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: page.May(action), Handle: handle}
	}
	return []page.Route{
		route("GET /operations", policy.Replay, p.overview),
		route("GET /operations/messages", policy.Replay, p.messages),
		route("POST /operations/alerting/{change}", policy.Replay, p.switchAlerting),
		route("GET /operations/parked", policy.SettleParked, p.parkedList),
		route("POST /operations/parked", policy.SettleParked, p.retryAll),
		route("GET /operations/parked/{id}", policy.SettleParked, p.parkedEvent),
		route("POST /operations/parked/{id}/{decision}", policy.SettleParked, p.decide),
	}
}
