package portal

import (
	"html/template"
	"net/http"

	"github.com/google/uuid"

	"postern/internal/inbox"
	"postern/internal/web/page"
)

// certified is the data of the page of a certificate.
type certified struct {
	ID          uuid.UUID
	Certificate template.HTML
}

// receipt shows the certificate of the reader's own delivery. Issuing it is recorded; it does not
// open the message.
func (p *Pages) receipt(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r, "id")
	if err != nil {
		return err
	}
	subject := page.Subject(r)
	list, err := p.Inbox.List(r.Context(), subject, inbox.Filter{}, inbox.After(id), 1)
	if err != nil {
		return err
	}
	found := list.Messages
	if len(found) == 0 || found[0].ID != id {
		return inbox.ErrNotFound
	}
	article, err := p.Certificate(r.Context(), subject, id, !found[0].Recalled)
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "receipt.html", Title: "Certificate of delivery", Section: "messages", Scripts: scripts,
		Data: certified{id, article}})
}
