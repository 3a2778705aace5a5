package compose

import (
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"postern/internal/compose/draft"
	"postern/internal/web/page"
)

// perPage is the number of drafts on a page.
const perPage = 25

// listed is a draft in the list.
type listed struct {
	draft.Draft
	To string
}

func (p *Pages) list(w http.ResponseWriter, r *http.Request) error {
	drafts, next, err := p.Drafts.List(r.Context(), page.Subject(r), r.FormValue("cursor"), perPage)
	if err != nil {
		return err
	}
	l, err := p.words(r)
	if err != nil {
		return err
	}
	var data struct {
		Drafts       []listed
		Newer, Older string
		Days         int
	}
	data.Days = int(draft.Lifetime.Hours() / 24)
	for _, d := range drafts {
		data.Drafts = append(data.Drafts, listed{d, chosenInWords(l, d.Recipients)})
	}
	data.Newer, data.Older = pages(r, next)
	return p.Render(w, r, set, page.View{Template: "drafts.html", Title: "Drafts", Section: "messages", Data: data})
}

// pages returns the address of a list's first page, if this is another page, and that
// of the next page.
func pages(r *http.Request, next string) (first, older string) {
	if r.FormValue("cursor") != "" {
		first = r.URL.Path
	}
	if next != "" {
		older = r.URL.Path + "?" + url.Values{"cursor": {next}}.Encode()
	}
	return first, older
}

// deleting is the data of the page that asks whether to delete a draft.
type deleting struct {
	ID      uuid.UUID
	Subject string
	To      string
}

func (p *Pages) askToDelete(w http.ResponseWriter, r *http.Request) error {
	d, err := p.open(r)
	if err != nil {
		return err
	}
	l, err := p.words(r)
	if err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "delete.html", Title: "Delete this draft?", Section: "messages",
		Data: deleting{d.ID, d.Subject, chosenInWords(l, d.Recipients)}})
}

func (p *Pages) delete(w http.ResponseWriter, r *http.Request) error {
	id, err := draftID(r)
	if err != nil {
		return err
	}
	if err := p.Drafts.Delete(r.Context(), page.Subject(r), id); err != nil {
		return err
	}
	return p.Redirect(w, r, "/messages/drafts", "The draft was deleted.")
}
