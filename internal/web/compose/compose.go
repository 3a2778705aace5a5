// Package compose is the pages of writing a message: drafts, recipients,
// documents, the check before it is sent, and the ten seconds to undo it.
//
// # One form
//
// The page of a draft is one form, and each of its buttons posts the whole form. The
// typed text is always saved. The button's value says what else to do ("add-user:ann").
// Recipients, Staff Bcc and documents are not in the form. They are in the draft,
// and buttons change them one at a time. A page that loads scripts posts the same
// form in the background and gets the parts of the page that change (the
// definitions of edit.html that are data-part) instead of the whole page.
//
// Opening an empty page saves nothing: its form holds the id that the draft will
// have once something is saved.
//
// # Size
//
// It is one package because it is one form: each button posts all of it, and each part
// of the page is made from the same draft.
package compose

import (
	"embed"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/clinic/clinicstore"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/compose/wording"
	"postern/internal/content/attachment"
	"postern/internal/directory"
	"postern/internal/inbound"
	"postern/internal/labels/labelstore"
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
	Composer  *compose.Composer
	Drafts    *draft.Drafts
	Wordings  *wording.Wordings
	Clinic    *clinicstore.Store
	Gate      *access.Gate
	Labels    *labelstore.Store
	Directory directory.Querier
	Await     page.Await
	Now       func() time.Time
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	staff := func(pattern string, handle page.Handler) page.Route {
		return page.Route{Pattern: pattern, Realm: policy.RealmStaff, Actions: page.May(policy.SendMessage), Handle: found(handle)}
	}
	return []page.Route{
		staff("GET /messages/compose", p.compose),
		staff("GET /messages/drafts", p.list),
		staff("GET "+wordingsAt, p.wordings),
		staff("GET "+wordingsAt+"/new", p.newWording),
		large(staff("POST "+wordingsAt, p.addWording)),
		staff("GET "+wordingsAt+"/{id}", p.wording),
		large(staff("POST "+wordingsAt+"/{id}", p.changeWording)),
		large(staff("POST "+wordingsAt+"/{id}/delete", p.deleteWording)),
		staff("GET /messages/drafts/{id}", p.edit),
		withDocuments(staff("POST /messages/drafts/{id}", p.save)),
		staff("POST /messages/drafts/{id}/portal-users", p.findUsers),
		staff("POST /messages/drafts/{id}/staff", p.findStaff),
		staff("GET /messages/drafts/{id}/check", p.check),
		staff("POST /messages/drafts/{id}/check", p.send),
		staff("GET /messages/drafts/{id}/recipients", p.recipients),
		staff("GET /messages/drafts/{id}/letters", p.letters),
		staff("GET /messages/drafts/{id}/letters.csv", p.lettersFile),
		staff("GET /messages/drafts/{id}/delete", p.askToDelete),
		staff("POST /messages/drafts/{id}/delete", p.delete),
		{Pattern: "GET /messages/groups/{group}/count", Realm: policy.RealmStaff, Actions: page.May(policy.SendToGroup), Handle: p.countGroup},
	}
}

// withDocuments makes a route accept the whole form of a draft, with its documents.
func withDocuments(route page.Route) page.Route {
	route.Takes = inbound.Body{Types: []string{inbound.Multipart, inbound.Form}, MaxBytes: mostForm, Memory: 2*mostFields + attachment.MemoryPerUpload, Within: formTimeout}
	return route
}

// large makes a route accept a form with a text as long as a message.
func large(route page.Route) page.Route {
	route.Takes = inbound.Body{Types: []string{inbound.Form}, MaxBytes: mostFields}
	return route
}

// href returns the address of a draft, or of a page below it.
func href(id uuid.UUID, below string) string { return "/messages/drafts/" + id.String() + below }

// draftID returns the id of the draft in the address.
func draftID(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return uuid.Nil, draft.ErrNotFound
	}
	return id, nil
}

// open returns the draft in the address.
func (p *Pages) open(r *http.Request) (draft.Draft, error) {
	id, err := draftID(r)
	if err != nil {
		return draft.Draft{}, err
	}
	return p.Drafts.Open(r.Context(), page.Subject(r), id)
}

// found answers 404 if the draft, or the page of a list, does not exist.
func found(handle page.Handler) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := handle(w, r)
		switch {
		case errors.Is(err, draft.ErrNotFound):
			return page.Failure(http.StatusNotFound, language.Mark("There is no such draft"),
				language.Mark("It was sent or deleted, or it belongs to another staff member. Look for your drafts under Drafts and for sent messages under Messages."))
		case errors.Is(err, draft.ErrCursor), errors.Is(err, directory.ErrCursor):
			return page.Failure(http.StatusNotFound, language.Mark("Page not found"), language.Mark("Go back to the first page of the list."))
		}
		return err
	}
}
