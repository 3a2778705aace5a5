// Package web is the one handler of all pages: for staff, for portal users and for
// administrators. Each kind of page has a package below. Package page renders them, and
// package static serves the files that they load.
package web

import (
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/web/page"
	"postern/internal/web/static"
)

// A Group is a package of pages.
type Group interface{ Routes() []page.Route }

// Pages are the handler of all pages.
type Pages struct {
	http.Handler
	drafts, others *http.ServeMux
	routes         []page.Route
}

// New makes the handler of all pages. An address without a page is answered with a 404
// page.
//
// Below /messages, "drafts" could be the id of a message, and http.ServeMux can't order
// the two patterns. So the routes of drafts, the pages on which messages are written,
// are tried first.
func New(r *page.Renderer, drafts Group, others ...Group) *Pages {
	p := &Pages{drafts: http.NewServeMux(), others: http.NewServeMux(), routes: drafts.Routes()}
	r.Mount(p.drafts, p.routes...)
	// A signed-in reader keeps the navigation on a 404 page.
	rest := []page.Route{{Pattern: "/", Realm: policy.RealmStaff, Handle: r.NotFound}, {Pattern: "/portal/", Realm: policy.RealmPortalUser, Handle: r.NotFound}}
	for _, group := range others {
		rest = append(rest, group.Routes()...)
	}
	r.Mount(p.others, rest...)
	p.others.HandleFunc("GET "+static.Prefix, static.ServeHTTP)
	p.routes = append(p.routes, rest...)
	p.Handler = r.Protect(firstOf(p.drafts, p.others))
	return p
}

// Unavailable answers a request whose session could not be read: with a page if the
// client prefers HTML, else as the API does. It serves as [access.Config].Fail.
func Unavailable(w http.ResponseWriter, r *http.Request, err error) { page.Unavailable(w, r, err) }

// Route returns the pattern of the page that answers a request.
func (p *Pages) Route(r *http.Request) string {
	_, pattern := p.drafts.Handler(r)
	if pattern == "" {
		_, pattern = p.others.Handler(r)
	}
	return pattern
}

// Routes returns the routes of all pages, for tests that visit them all.
func (p *Pages) Routes() []page.Route { return p.routes }

// firstOf calls own if it has a route for the address, else all.
func firstOf(own, all *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := own.Handler(r); pattern != "" {
			own.ServeHTTP(w, r)
			return
		}
		all.ServeHTTP(w, r)
	})
}
