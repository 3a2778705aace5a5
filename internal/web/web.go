// Package web is all pages, at one handler: those of staff, of portal users and of
// administrators. Each kind has a package of its own below; page is what they are
// made with, and static what they are dressed in.
package web

import (
	"log/slog"
	"net/http"
	"slices"

	"postern/internal/access/policy"
	"postern/internal/desk"
	"postern/internal/web/account"
	"postern/internal/web/admin"
	"postern/internal/web/compose"
	"postern/internal/web/messages"
	"postern/internal/web/operations"
	"postern/internal/web/page"
	"postern/internal/web/portal"
	"postern/internal/web/receipt"
	"postern/internal/web/record"
	"postern/internal/web/replay"
	"postern/internal/web/search"
	"postern/internal/web/signin"
	"postern/internal/web/static"
)

// Pages are the handler of all pages.
type Pages struct {
	http.Handler
	drafts, others *http.ServeMux
}

// New makes the handler of all pages. Whatever is no page of ours is answered with
// 404 by a page that says so.
func New(d *desk.Desk, log *slog.Logger) *Pages {
	kit := page.New(d, log)
	// Below /messages, "drafts" could be the id of a message: a mux by itself would
	// not know which of the two is meant.
	drafts, mux := http.NewServeMux(), http.NewServeMux()
	kit.Mount(drafts, compose.New(kit).Routes()...)
	kit.Mount(mux, others(kit)...)
	mux.HandleFunc("GET "+static.Prefix, static.ServeHTTP)
	return &Pages{kit.Protect(firstOf(drafts, mux)), drafts, mux}
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
func Routes(kit *page.Kit) []page.Route {
	return slices.Concat(compose.New(kit).Routes(), others(kit))
}

func others(kit *page.Kit) []page.Route {
	return slices.Concat(
		signin.New(kit).Routes(),
		account.New(kit).Routes(),
		messages.New(kit).Routes(),
		portal.New(kit).Routes(),
		admin.New(kit).Routes(),
		operations.New(kit).Routes(),
		replay.New(kit).Routes(),
		search.New(kit).Routes(),
		receipt.New(kit).Routes(),
		record.New(kit).Routes(),
		// Who is signed in keeps the navigation.
		[]page.Route{{Pattern: "/", Realm: policy.RealmStaff, Handle: kit.NotFound}, {Pattern: "/portal/", Realm: policy.RealmPortalUser, Handle: kit.NotFound}},
	)
}

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
