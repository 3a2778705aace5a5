// Package search is the pages of Global Search: the page of results, and the list below
// the search field.
//
// The results are a list of links under headings. Screen readers and the keyboard
// handle them like any links; search.js adds the arrow keys. The list is the same
// without scripts.
package search

import (
	"embed"
	"net/http"
	"strings"

	"postern/internal/access/policy"
	"postern/internal/labels"
	"postern/internal/labels/labelstore"
	"postern/internal/search"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Labels *labelstore.Store
	Search *search.Searcher
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	return []page.Route{
		{Pattern: "GET /search", Realm: policy.RealmStaff, Actions: page.May(policy.Search), Handle: p.search},
		{Pattern: "POST /search", Realm: policy.RealmStaff, Actions: page.May(policy.Search), Handle: p.ask},
	}
}

// answer is the data of the page.
type answer struct {
	Q      string
	Groups []group
	Found  int    // the number of results
	Said   string // that number, for screen readers
}

// group is the results of one kind.
type group struct {
	ID, Heading string
	Found       []search.Found
}

// ask takes the posted words. For a script it answers with the results directly.
func (p *Pages) ask(w http.ResponseWriter, r *http.Request) error {
	if page.IsFragment(r) {
		return p.search(w, r)
	}
	return p.RedirectSearch(w, r)
}

// search answers with the page, or, for the field in the header, with the list only.
func (p *Pages) search(w http.ResponseWriter, r *http.Request) error {
	words, _, err := p.Words(r)
	if err != nil {
		return err
	}
	q := strings.TrimSpace(words)
	current, err := p.Labels.Current(r.Context())
	if err != nil {
		return err
	}
	found, err := p.Search.Find(r.Context(), page.Subject(r), q)
	if err != nil {
		return err
	}
	view := page.View{Template: "search.html", Title: "Global Search", Data: answer{q, grouped(r, found, current), len(found), countText(r, len(found), q)}}
	if page.IsFragment(r) {
		return p.Fragment(w, r, set, "below", view)
	}
	return p.Render(w, r, set, view)
}

// grouped puts the results under the headings of their kinds, without empty headings.
func grouped(r *http.Request, found []search.Found, l labels.Labels) []group {
	groups := []group{{ID: "pages", Heading: page.T(r, "Pages and settings")}, {ID: "messages", Heading: page.T(r, "Messages")}, {ID: "portal-users", Heading: l.PortalUser.Many}}
	for _, f := range found {
		of := map[string]int{"page": 0, "setting": 0, "message": 1, "portal_user": 2}[f.Kind]
		groups[of].Found = append(groups[of].Found, f)
	}
	some := groups[:0]
	for _, g := range groups {
		if len(g.Found) > 0 {
			some = append(some, g)
		}
	}
	return some
}

func countText(r *http.Request, n int, q string) string {
	switch {
	case q == "":
		return ""
	case n == 0:
		return page.T(r, "Nothing found")
	}
	return language.From(r.Context()).Count(n, "{n} found", "{n} found")
}
