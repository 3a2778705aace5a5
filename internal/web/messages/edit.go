package messages

import (
	"errors"
	"net/http"

	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/content/message"
	"postern/internal/events"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// edit opens a copy of a cancelled or recalled message as a draft. A scheduled message
// is cancelled first. A crash between the two leaves a cancelled message, whose page
// has the same button.
func (p *Pages) edit(w http.ResponseWriter, r *http.Request) error {
	m, err := p.own(r)
	if err != nil {
		return err
	}
	me := page.Subject(r)
	if m.Status.Allows(events.TypeMessageCancelled) {
		err := p.Composer.Cancel(r.Context(), me, m.ID)
		if errors.Is(err, compose.ErrTooLate) {
			return p.tooLate(w, r, language.Mark("It is too late to edit this message: it is going out already. You can recall it instead."))
		}
		if err != nil {
			return err
		}
	}
	// If the copy was sent already, open the message that it became.
	if sent, err := p.Composer.Sent(r.Context(), me, draft.CopyKey(m.ID)); err == nil {
		return p.Redirect(w, r, "/messages/"+sent.String(), "")
	} else if !errors.Is(err, message.ErrNotFound) {
		return err
	}
	d, err := p.Drafts.CopyOf(r.Context(), me, m.ID, func() (draft.Content, error) {
		request, err := p.Composer.Copy(r.Context(), me, m.ID)
		return draft.Content{Subject: request.Subject, Body: request.Body, Recipients: request.Recipients, StaffBcc: request.StaffBcc,
			AttachmentIDs: request.AttachmentIDs, When: draft.WhenAt(request.SendAt, zone.Clinic())}, err
	})
	switch {
	case errors.Is(err, message.ErrErased), errors.Is(err, draft.ErrErased):
		return p.tooLate(w, r, language.Mark("This message can't be edited: its content was erased."))
	case errors.Is(err, compose.ErrNotTakenBack):
		return p.tooLate(w, r, language.Mark("Only a message that was cancelled or recalled can be edited and sent again."))
	case err != nil:
		return err
	}
	return p.Redirect(w, r, "/messages/drafts/"+d.ID.String(), "")
}
