// Package web is all pages, at one handler: those of staff, of portal users and of
// administrators. Each kind has a package of its own below; page is what they are
// made with, and static what they are dressed in.
package web

import (
	"net/http"
	"slices"

	"postern/internal/access/policy"
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

// Config is what the pages work with, by package.
type Config struct {
	Account    account.Config
	Admin      admin.Config
	Compose    compose.Config
	Messages   messages.Config
	Operations operations.Config
	Portal     portal.Config
	Receipt    receipt.Config
	Record     record.Config
	Replay     replay.Config
	Search     search.Config
	SignIn     signin.Config
}

// Pages are the handler of all pages.
type Pages struct {
	http.Handler
	drafts, others *http.ServeMux
	routes         []page.Route
}

// New makes the handler of all pages. Whatever is no page of ours is answered with
// 404 by a page that says so.
func New(r *page.Renderer, cfg Config) *Pages {
	// Below /messages, "drafts" could be the id of a message: a mux by itself would
	// not know which of the two is meant.
	p := &Pages{drafts: http.NewServeMux(), others: http.NewServeMux()}
	drafts := compose.New(r, cfg.Compose).Routes()
	others := slices.Concat(
		signin.New(r, cfg.SignIn).Routes(),
		account.New(r, cfg.Account).Routes(),
		messages.New(r, cfg.Messages).Routes(),
		portal.New(r, cfg.Portal).Routes(),
		admin.New(r, cfg.Admin).Routes(),
		operations.New(r, cfg.Operations).Routes(),
		replay.New(r, cfg.Replay).Routes(),
		search.New(r, cfg.Search).Routes(),
		receipt.New(r, cfg.Receipt).Routes(),
		record.New(r, cfg.Record).Routes(),
		// Who is signed in keeps the navigation.
		[]page.Route{{Pattern: "/", Realm: policy.RealmStaff, Handle: r.NotFound}, {Pattern: "/portal/", Realm: policy.RealmPortalUser, Handle: r.NotFound}},
	)
	r.Mount(p.drafts, drafts...)
	r.Mount(p.others, others...)
	p.others.HandleFunc("GET "+static.Prefix, static.ServeHTTP)
	p.routes = slices.Concat(drafts, others)
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
