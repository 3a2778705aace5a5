// Package unsubscribe is the page that the link to opt out of alerts opens (RFC 8058). It needs no
// sign-in. The page asks; only a POST changes something, because programs that scan e-mails open
// links. A mail provider posts without a page, with List-Unsubscribe=One-Click as the form.
package unsubscribe

import (
	"context"
	"embed"
	"errors"
	"net/http"

	"postern/internal/access/policy"
	"postern/internal/notify/unsubscribe"
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
	OptOuts OptOuts
}

// OptOuts opts portal users out, as unsubscribe.OptOuts does. Both methods fail with
// [unsubscribe.ErrLink].
type OptOuts interface {
	Check(ctx context.Context, token string) (optedOut bool, err error)
	ByLink(ctx context.Context, token string) error
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	return []page.Route{
		{Pattern: "GET " + unsubscribe.Path + "{token}", Realm: policy.RealmPortalUser, Handle: p.ask},
		{Pattern: "POST " + unsubscribe.Path + "{token}", Realm: policy.RealmPortalUser, Handle: p.stop},
	}
}

// asked is the data of the page.
type asked struct {
	At    string // its own address
	Stale bool   // the link is not valid any more
	Done  bool   // they get no e-mails
}

func (p *Pages) ask(w http.ResponseWriter, r *http.Request) error {
	out, err := p.OptOuts.Check(r.Context(), r.PathValue("token"))
	return p.show(w, r, out, err)
}

func (p *Pages) stop(w http.ResponseWriter, r *http.Request) error {
	return p.show(w, r, true, p.OptOuts.ByLink(r.Context(), r.PathValue("token")))
}

// show answers with the page, also a mail provider that reads nothing of it.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, done bool, err error) error {
	data := asked{At: unsubscribe.Path + r.PathValue("token"), Done: done}
	view := page.View{Template: "stop.html", Title: "E-mails about new messages"}
	if errors.Is(err, unsubscribe.ErrLink) {
		data = asked{Stale: true}
		view.Status = http.StatusNotFound
	} else if err != nil {
		return err
	}
	view.Data = data
	return p.Render(w, r, set, view)
}
