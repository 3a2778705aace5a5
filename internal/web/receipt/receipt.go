// Package receipt is the page of one receipt: its certificate, to be printed on one sheet, and
// below it, on the screen alone, every recorded event and the file. The page names only the
// portal user of the delivery. The file may name more people, and the page says so. From it, the
// evidence can be handed to a person outside the portal: package bundle.
package receipt

import (
	"embed"
	"html/template"
	"net/http"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/labels/labelstore"
	"postern/internal/messages"
	"postern/internal/proof/receipt"
	"postern/internal/proof/receipt/issuer"
	"postern/internal/record/bundle"
	"postern/internal/record/certificate"
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
	Certificates *certificate.Maker
	Messages     *messages.Reader
	Bundles      *bundle.Bundles
	Labels       *labelstore.Store
	Await        page.Await
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	routes := []page.Route{
		{Pattern: "GET /record/receipts/{message}/{portal_user}", Handle: p.receipt},
		{Pattern: "GET /record/receipts/{message}/{portal_user}/disclose", Handle: p.disclose},
		{Pattern: "POST /record/receipts/{message}/{portal_user}/disclose", Handle: p.disclosed},
	}
	for i := range routes {
		routes[i].Realm, routes[i].Actions = policy.RealmStaff, page.May(policy.ReadTheRecord)
	}
	return routes
}

// shown is the data of the page.
type shown struct {
	*receipt.Receipt
	Certificate template.HTML
	Recipient   string
	Authorities []certificate.Authority
}

// receipt issues a receipt: opening the page counts as issuing it.
func (p *Pages) receipt(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("message"))
	if err != nil {
		return issuer.ErrNotFound
	}
	subject := page.Subject(r)
	m, err := p.Messages.Visible(r.Context(), subject, id)
	if err != nil {
		return err
	}
	c, err := p.Certificates.Make(r.Context(), issuer.Request{MessageID: id, PortalUserID: r.PathValue("portal_user"),
		Actor: subject.Actor(), Names: m.Role != messages.RoleNone})
	if err != nil {
		return err
	}
	l, err := p.Labels.Chosen(r.Context())
	if err != nil {
		return err
	}
	article, err := c.Article(l)
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "receipt.html", Title: "Certificate of delivery", Section: "record", Scripts: []string{"reader.js"},
		Data: shown{c.Receipt, article, c.Recipient, c.Authorities}})
}
