// Package receipt is the page of one receipt, to be printed on one sheet: what the
// record says about a delivery, each line with its event's sequence number, and the
// proof. The page names only the portal user of the delivery. The file that it links to
// names more people, and the page says so.
package receipt

import (
	"embed"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/messages"
	"postern/internal/proof/receipt"
	"postern/internal/proof/receipt/issuer"
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
	Receipts *issuer.Issuer
	Messages *messages.Reader
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	return []page.Route{{Pattern: "GET /record/receipts/{message}/{portal_user}", Realm: policy.RealmStaff,
		Actions: page.May(policy.ReadTheRecord), Handle: p.receipt}}
}

// shown is the data of the page. Signed are the lines of the checkpoint.
type shown struct {
	*receipt.Receipt
	Signed []string
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
	issued, err := p.Receipts.Issue(r.Context(), issuer.Request{MessageID: id, PortalUserID: r.PathValue("portal_user"),
		Actor: subject.Actor(), Names: m.Role != messages.RoleNone})
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "receipt.html", Title: "Receipt", Section: "record",
		Data: shown{issued, strings.Split(strings.TrimSpace(issued.Checkpoint), "\n")}})
}
