// Package portal is the pages of portal users: their inbox, a message, its documents,
// and their account. The pages to sign in and to choose a password are in package
// signin.
//
// The reader may be eighty, and hold a phone: sentences are short, and every page works
// without scripts. If a message can't be shown, the page says why: see trouble.go.
package portal

import (
	"cmp"
	"context"
	"embed"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/factor"
	"postern/internal/access/policy"
	"postern/internal/access/session"
	"postern/internal/content/message"
	"postern/internal/inbox"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

//go:embed *.html
var files embed.FS

var set = page.Templates(files)

// scripts improve pages that also work without them.
var scripts = []string{"reader.js"}

// Pages are the pages of this package.
type Pages struct {
	*page.Renderer
	Config
}

// Config holds the dependencies of these pages.
type Config struct {
	Inbox   Inbox
	Account Account
	OptOuts OptOuts
	// Email returns the e-mail address of a portal user, by number.
	Email func(ctx context.Context, no int32) (string, error)
	Await page.Await
	// Certificate issues the receipt of a message in the reader's inbox, and returns it as an
	// element of a page. With names, it shows the subject and the names of documents.
	Certificate func(ctx context.Context, reader policy.Subject, message uuid.UUID, names bool) (template.HTML, error)
}

// Inbox reads the messages of a portal user.
type Inbox interface {
	List(ctx context.Context, reader policy.Subject, f inbox.Filter, before uuid.UUID, limit int) (inbox.List, error)
	// Patients returns the patients on whose account the reader gets messages.
	Patients(ctx context.Context, reader policy.Subject) ([]inbox.Patient, error)
	// MarkUnread marks a message that was opened, until it is opened again.
	MarkUnread(ctx context.Context, reader policy.Subject, id uuid.UUID) error
	// Open returns a message with its text. The first opening is recorded when Open returns.
	Open(ctx context.Context, reader policy.Subject, id uuid.UUID) (inbox.Read, error)
	// Document returns the name, type and size of a document, without its content.
	Document(ctx context.Context, reader policy.Subject, id, attachment uuid.UUID) (inbox.Message, message.Attachment, error)
	// Download returns a document with its content. The download is recorded when it returns.
	Download(ctx context.Context, reader policy.Subject, id, attachment uuid.UUID) (message.Attachment, []byte, error)
}

// Account changes a portal user's password and sessions, as access.Gate does.
type Account interface {
	// ChangePortalPassword ends all sessions. It fails with [passwords.ErrCurrent] and
	// [passwords.ErrRefused], joined if both are wrong.
	ChangePortalPassword(ctx context.Context, who policy.Subject, current, password string) error
	Begin(ctx context.Context, who policy.Subject) error
	SignOut(ctx context.Context, realm policy.Realm) error
	SignOutEverywhere(ctx context.Context, who policy.Subject) error
	// Sessions lists the open sessions, the last used first.
	Sessions(ctx context.Context, who policy.Subject) ([]session.Session, error)
	// EndSession fails with [session.ErrNotFound].
	EndSession(ctx context.Context, who policy.Subject, id uuid.UUID) error
	EndOtherSessions(ctx context.Context, who policy.Subject) error
	// FactorsOf returns the second factors, for a page at this host.
	FactorsOf(ctx context.Context, who policy.Subject, host string) (factor.Factors, error)
	// FactorOffered reports whether this session offers a second factor.
	FactorOffered(ctx context.Context) bool
}

// New makes the pages.
func New(r *page.Renderer, cfg Config) *Pages { return &Pages{r, cfg} }

// Routes are the addresses of these pages.
func (p *Pages) Routes() []page.Route {
	const document = "/portal/messages/{id}/documents/{document}"
	routes := []page.Route{
		{Pattern: "GET /portal", Handle: p.inbox},
		{Pattern: "POST /portal", Handle: p.RedirectSearch},
		{Pattern: "GET /portal/messages/{id}", Handle: p.message},
		{Pattern: "POST /portal/messages/{id}/unread", Handle: p.markUnread},
		{Pattern: "GET /portal/messages/{id}/receipt", Handle: p.receipt},
		{Pattern: "GET " + document, Handle: p.document},
		{Pattern: "GET " + document + "/show", Handle: p.show},
		{Pattern: "GET " + document + "/picture", Handle: p.shownAs(picture)},
		{Pattern: "GET " + document + "/pdf", Handle: p.shownAs(pdf)},
		{Pattern: "GET /portal/frame", Handle: p.frame},
		{Pattern: "GET " + document + "/download", Handle: p.download},
		{Pattern: "GET /portal/account", Handle: p.account},
		{Pattern: "POST /portal/account/password", Handle: p.changePassword},
		{Pattern: "POST /portal/account/sign-out-everywhere", Handle: p.signOutEverywhere},
		{Pattern: "POST /portal/account/emails", Handle: p.changeEmails},
		{Pattern: "GET " + sessions, Handle: p.sessions},
		{Pattern: "POST " + sessions + "/end-others", Handle: p.endOthers},
		{Pattern: "POST " + sessions + "/{id}/end", Handle: p.endSession},
	}
	for i := range routes {
		routes[i].Realm, routes[i].Actions = policy.RealmPortalUser, page.May(policy.ReadInbox)
		routes[i].Handle = p.withTrouble(routes[i].Handle)
	}
	return routes
}

// perPage is the number of messages on a page of the inbox.
const perPage = 20

// row is a message in the inbox.
type row struct {
	inbox.Message
	About string
}

// list is the data of the inbox.
type list struct {
	Messages []row
	Newest   bool   // this is the first page
	Older    string // the address of the next page
	Offer    bool   // the reader is offered a second factor
	Filter   filter
	// Reached is the day up to which a filtered page has looked, if others follow.
	Reached time.Time
}

// filter is the filter of the inbox, as a form.
type filter struct {
	inbox.Filter
	Patients []inbox.Patient // to choose from, if there are several
	at       url.Values
}

// Page is the address of the page with this filter that begins before a message; "" is the first page.
func (f filter) Page(before string) string {
	at := maps.Clone(f.at)
	if before != "" {
		at.Set("before", before)
	}
	return (&url.URL{Path: "/portal", RawQuery: at.Encode()}).String()
}

// On reports whether the filter leaves messages out.
func (f filter) On() bool { return f.Filter != inbox.Filter{} }

// filter reads the filter of a request. A patient who is not the reader's is left out.
func (p *Pages) filter(r *http.Request) (filter, error) {
	words, sealed, err := p.Words(r)
	if err != nil {
		return filter{}, err
	}
	f := filter{Filter: inbox.Filter{Words: words, Unread: r.FormValue("unread") != ""}}
	f.Patients, err = p.Inbox.Patients(r.Context(), page.Subject(r))
	if err != nil {
		return filter{}, err
	}
	f.at = url.Values{}
	for _, one := range f.Patients {
		if no := strconv.Itoa(int(one.No)); no == r.FormValue("patient") {
			f.Patient = one.No
			f.at.Set("patient", no)
		}
	}
	if f.Unread {
		f.at.Set("unread", "on")
	}
	if sealed != "" {
		f.at.Set(page.SealedWords, sealed)
	}
	return f, nil
}

func (p *Pages) inbox(w http.ResponseWriter, r *http.Request) error {
	before, err := uuid.Parse(r.FormValue("before"))
	if err != nil {
		before = uuid.Max
	}
	f, err := p.filter(r)
	if err != nil {
		return err
	}
	found, err := p.Inbox.List(r.Context(), page.Subject(r), f.Filter, before, perPage)
	if err != nil {
		return err
	}
	data := list{Newest: before == uuid.Max, Filter: f}
	data.Offer = data.Newest && !f.On() && p.Account.FactorOffered(r.Context())
	if found.Next != uuid.Nil {
		data.Older = f.Page(found.Next.String())
		if len(found.Messages) < perPage {
			data.Reached = found.Reached
		}
	}
	for _, m := range found.Messages {
		data.Messages = append(data.Messages, row{m, inWords(r, m.About)})
	}
	return p.Render(w, r, set, page.View{Template: "inbox.html", Title: "Your messages", Section: "messages", Data: data})
}

func (p *Pages) markUnread(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r, "id")
	if err != nil {
		return err
	}
	if err := p.Inbox.MarkUnread(r.Context(), page.Subject(r), id); err != nil {
		return err
	}
	return p.Redirect(w, r, "/portal", "The message is marked as unread.")
}

// opened is the data of a message's page.
type opened struct {
	inbox.Read
	About     string
	Documents []document
}

func (p *Pages) message(w http.ResponseWriter, r *http.Request) error {
	id, err := idOf(r, "id")
	if err != nil {
		return err
	}
	read, err := p.Inbox.Open(r.Context(), page.Subject(r), id)
	if err != nil {
		return err
	}
	p.Await(r.Context(), read.Seq) // so that the inbox no longer shows it as new
	data := opened{Read: read, About: inWords(r, read.About)}
	for _, d := range read.Documents {
		data.Documents = append(data.Documents, documentOf(id, d))
	}
	return p.Render(w, r, set, page.View{Template: "message.html", Title: "Message", Section: "messages", Scripts: scripts, Data: data})
}

// inWords names the people whom a message is about, in the language of the reader: "Anna Schmitt and
// you". It is "" if the message is about the reader alone.
func inWords(r *http.Request, a inbox.About) string {
	l := language.From(r.Context())
	var names []string
	for _, name := range a.Others {
		names = append(names, cmp.Or(name, l.Text("a person you represent")))
	}
	if len(names) > 0 && a.Own {
		names = append(names, l.Text("you"))
	}
	return l.List(names)
}

// idOf reads an id from the address. An invalid id is not found.
func idOf(r *http.Request, name string) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue(name))
	if err != nil {
		return uuid.Nil, inbox.ErrNotFound
	}
	return id, nil
}
