// Package web is all pages, at one handler: those of staff, of portal users and of
// administrators. Each kind has a package of its own below; page is what they are
// made with, and static what they are dressed in.
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

// New makes the handler of all pages. Whatever is no page of ours is answered with
// 404 by a page that says so. Below /messages, "drafts" could be the id of a message: a
// mux by itself would not know which of the two is meant, and so drafts, the pages on
// which messages are written, come first.
func New(r *page.Renderer, drafts Group, others ...Group) *Pages {
	p := &Pages{drafts: http.NewServeMux(), others: http.NewServeMux(), routes: drafts.Routes()}
	r.Mount(p.drafts, p.routes...)
	// Who is signed in keeps the navigation.
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

// Unavailable answers for a request whose session could not be read, with a page where
// one is asked for and else as the API does. It is what [access.Config].Fail wants.
func Unavailable(w http.ResponseWriter, r *http.Request, err error) { page.Unavailable(w, r, err) }

// Route is the pattern of the page that answers a request.
func (p *Pages) Route(r *http.Request) string {
	_, pattern := p.drafts.Handler(r)
	if pattern == "" {
		_, pattern = p.others.Handler(r)
	}
	return pattern
}

// Routes are the addresses of all pages, for a test that visits them all.
func (p *Pages) Routes() []page.Route { return p.routes }

// firstOf asks own, and all where own has nothing at the address.
func firstOf(own, all *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := own.Handler(r); pattern != "" {
			own.ServeHTTP(w, r)
			return
		}
		all.ServeHTTP(w, r)
	})
}
