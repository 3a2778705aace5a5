package messages

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/content/message"
	"postern/internal/messages"
	"postern/internal/navigation"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// perPage is the number of rows on a page of a list.
const perPage = 50

// listed is the data of a list of messages.
type listed struct {
	Path     string
	Filter   filter
	Statuses []choice // to choose from; empty if the list has no filter by status
	Whose    bool     // the reader may choose between their own and all messages
	Rows     []row

	Newest, Older string    // addresses
	SearchedTo    time.Time // see search.Listed
}

// Everybody reports whether the list shows the messages of all staff.
func (l listed) Everybody() bool { return l.Filter.Whose == everybody }

// row is a message in a list.
type row struct {
	messages.Message
	message.Heading
	To    addressees
	Words string // its status in words, in English
}

// list shows the messages that the reader sent, or, to a reader of the record, those of
// all staff. It is the first page of staff, so it redirects a reader who may see neither.
func (p *Pages) list(w http.ResponseWriter, r *http.Request) error {
	subject := page.Subject(r)
	f, err := p.filterOf(r)
	if err != nil {
		return err
	}
	l := listed{Path: "/messages", Statuses: statuses}
	which := messages.Sent
	sends, reads := policy.Allow(subject, policy.SeeMessages) == nil, policy.Allow(subject, policy.ReadTheRecord) == nil
	l.Whose = sends && reads
	switch {
	case !sends && !reads:
		return p.Redirect(w, r, navigation.Home(subject), "")
	case !reads:
		f.Whose = ""
	case !sends:
		f.Whose = everybody
	}
	if f.Whose == everybody {
		which = messages.All
	}
	l.Filter = f
	return p.showList(w, r, language.Mark("Messages"), l, which)
}

// bcc shows the messages that have the reader as Staff Bcc.
func (p *Pages) bcc(w http.ResponseWriter, r *http.Request) error {
	f, err := p.filterOf(r)
	if err != nil {
		return err
	}
	f.Status, f.Whose = "", ""
	return p.showList(w, r, language.Mark("Bcc'd to me"), listed{Path: "/messages/bcc", Filter: f}, messages.Named)
}

func (p *Pages) showList(w http.ResponseWriter, r *http.Request, title string, l listed, which messages.Which) error {
	view := page.View{Template: "list.html", Title: title, Section: section}
	query, errs := l.Filter.query(which)
	if view.Errors = errs; len(errs) == 0 {
		if err := p.fill(r, &l, query); err != nil {
			return err
		}
	}
	view.Data = l
	return p.Render(w, r, set, view)
}

// fill reads the rows of a list.
func (p *Pages) fill(r *http.Request, l *listed, query messages.Query) error {
	found, err := p.Search.List(r.Context(), page.Subject(r), query, l.Filter.Q)
	if err != nil {
		return err
	}
	to, err := p.addresseesOf(r.Context(), found.Messages, 2)
	if err != nil {
		return err
	}
	for i, m := range found.Messages {
		l.Rows = append(l.Rows, row{m, found.Headers[m.ID], to[i], statusOf(m)})
	}
	l.SearchedTo = found.SearchedTo
	if l.Filter.before != "" {
		l.Newest = l.Filter.href(l.Path, "")
	}
	if found.Next != uuid.Nil {
		l.Older = l.Filter.href(l.Path, found.Next.String())
	}
	return nil
}
