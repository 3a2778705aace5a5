package compose

import (
	"errors"
	"net/http"

	"github.com/google/uuid"

	"postern/internal/compose/draft"
	"postern/internal/web/page"
)

// compose shows an empty page. Its draft is created when it is first saved.
func (p *Pages) compose(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return p.show(w, r, &editing{Draft: draft.Draft{ID: id}}, nil)
}

func (p *Pages) edit(w http.ResponseWriter, r *http.Request) error {
	d, err := p.open(r)
	if err != nil {
		return err
	}
	return p.show(w, r, &editing{Draft: d}, nil)
}

// save saves the typed text, and does what the button of the form says.
func (p *Pages) save(w http.ResponseWriter, r *http.Request) error {
	id, err := draftID(r)
	if err != nil {
		return err
	}
	f, err := p.read(w, r)
	if err != nil {
		return err
	}
	if err := p.permit(r, f); err != nil {
		return err
	}
	e := &editing{Page: f.Get("page"), FindUser: f.Get("find-user"), FindStaff: f.Get("find-staff")}
	e.Draft, err = p.Drafts.Save(r.Context(), page.Subject(r), id, f.seen(), f.change)
	stale := new(draft.Stale)
	switch {
	case errors.As(err, &stale):
		return p.showConflict(w, r, f, e, stale.Now)
	case errors.Is(err, draft.ErrTooLong):
		return p.showTooLong(w, r, f, e, id)
	case err != nil:
		return err
	}
	if f.do == "check" && len(f.refused) == 0 {
		if f.refused, err = p.wrong(r, e.Draft); err != nil {
			return err
		}
	}
	return p.answer(w, r, f, e)
}

// answer answers a form that was saved.
func (p *Pages) answer(w http.ResponseWriter, r *http.Request, f *form, e *editing) error {
	at := href(e.ID, "")
	switch {
	case len(f.refused) > 0, f.do != "check" && f.do != "keep-wording" && f.do != "use-wording" && (page.IsFragment(r) || e.FindUser+e.FindStaff != ""):
		return p.show(w, r, e, f.refused)
	case f.do == "check":
		return p.Redirect(w, r, at+"/check", "")
	case f.do == "keep-wording":
		return p.Redirect(w, r, wordingsAt+"/new?draft="+e.ID.String(), "")
	case f.do == "use-wording":
		return p.Redirect(w, r, at, "The wording was added to the message.")
	case f.do == "add-user", f.do == "add-group", f.do == "remove-user", f.do == "remove-group":
		return p.Redirect(w, r, at+"#recipients", "")
	case f.do == "add-bcc", f.do == "remove-bcc":
		return p.Redirect(w, r, at+"#staff-bcc", "")
	case f.do == "attach", f.do == "remove-file":
		return p.Redirect(w, r, at+"#documents", "")
	}
	return p.Redirect(w, r, at, "The draft was saved.")
}

// showConflict says that the draft was changed elsewhere. The typed text stays in the
// form, and is not saved.
func (p *Pages) showConflict(w http.ResponseWriter, r *http.Request, f *form, e *editing, now draft.Draft) error {
	e.Draft, e.Conflict = now, true
	f.typed(&e.Content)
	e.Seen = f.seen().Version
	e.status = http.StatusConflict
	return p.show(w, r, e, page.Errors{{Field: "overwrite", Message: "This draft was changed in another tab or window. What you typed here is not saved yet."}})
}

// showTooLong shows a form whose text is too long for a draft, with the text in it.
func (p *Pages) showTooLong(w http.ResponseWriter, r *http.Request, f *form, e *editing, id uuid.UUID) error {
	d, err := p.Drafts.Open(r.Context(), page.Subject(r), id)
	if errors.Is(err, draft.ErrNotFound) {
		d, err = draft.Draft{ID: id}, nil
	}
	if err != nil {
		return err
	}
	e.Draft = d
	f.typed(&e.Content)
	return p.show(w, r, e, page.Errors{{Field: "message", Message: "The message is far too long and can’t be saved. Shorten it."}})
}
