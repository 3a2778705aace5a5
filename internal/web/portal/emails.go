package portal

import (
	"context"
	"net/http"
	"time"

	"postern/internal/web/page"
)

// OptOuts changes whether a portal user gets e-mails about new messages, as
// unsubscribe.OptOuts does.
type OptOuts interface {
	// Since returns since when they get none; nil: they get them.
	Since(ctx context.Context, portalUserNo int32) (*time.Time, error)
	InPortal(ctx context.Context, actor, portalUserID string, portalUserNo int32, out bool) error
}

// changeEmails turns e-mails about new messages off or on.
func (p *Pages) changeEmails(w http.ResponseWriter, r *http.Request) error {
	me := page.Subject(r)
	off := r.PostFormValue("emails") == "off"
	if err := p.OptOuts.InPortal(r.Context(), me.Actor(), me.ID, me.No, off); err != nil {
		return err
	}
	if off {
		return p.Redirect(w, r, "/portal/account", "You get no more e-mails about new messages. Your messages still come here.")
	}
	return p.Redirect(w, r, "/portal/account", "You get an e-mail when a new message comes.")
}
