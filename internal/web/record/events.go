package record

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/record/query"
	"postern/internal/web/page"
)

// listed is the data of a list of events: the search, or a timeline.
type listed struct {
	Standing recordState
	Filter   filter
	Types    []choice
	Actors   []choice // to choose from
	Sorts    []choice
	Picked   []picked  // what the events are about, of the filter
	Found    *findings // what is found to pick; nil without a search
	Rows     []row
	Exports  []choice

	Newest, Older string // addresses: the first page, and the next page
	Turned        string // address of the list in the other order
}

// row is an event in a list.
type row struct {
	query.Entry
	What, By string // in words
	Person   string // the id of the portal user who is the actor, "" for another actor
	About    string // the message that it refers to, "" for none
}

// Certificate is the address of the certificate of the delivery that an event is about: what a portal
// user did with a message. It is "" for other events.
func (r row) Certificate() string {
	if r.Person == "" || r.MessageID == uuid.Nil {
		return ""
	}
	return "/record/receipts/" + r.MessageID.String() + "/" + r.Person
}

// events searches the record. While the reader looks for a person or a message to pick, it shows
// what is found, and no events.
func (p *Pages) events(w http.ResponseWriter, r *http.Request) error {
	l := listed{Filter: filterOf(r), Types: said(r, types), Sorts: said(r, sorts[1:])}
	f, errs := l.Filter.chosen()
	view := page.View{Template: "events.html", Title: "Record", Section: section, Errors: errs, Data: &l}
	var err error
	if l.Actors, err = p.actorChoices(r, l.Filter.Actor); err != nil {
		return err
	}
	if l.Picked, err = p.picked(r, l.Filter); err != nil {
		return err
	}
	if l.Found, err = p.find(r, l.Filter); err != nil {
		return err
	}
	if l.Found != nil {
		if l.Standing, err = p.recordState(r); err != nil {
			return err
		}
		return p.Render(w, r, set, view)
	}
	return p.list(w, r, view, &l, f, filter.href, &l)
}

// list fills l and shows data, which contains l.
func (p *Pages) list(w http.ResponseWriter, r *http.Request, view page.View, l *listed, f query.Filter, href func(f filter, before string) string, data any) error {
	before, errs := placeOf(r)
	view.Errors = append(view.Errors, errs...)
	var err error
	if l.Standing, err = p.recordState(r); err != nil {
		return err
	}
	if len(view.Errors) == 0 {
		found, more, err := p.Record.Page(r.Context(), reader(r), f, before, perPage)
		if err != nil {
			return err
		}
		if l.Rows, err = p.rows(r, found); err != nil {
			return err
		}
		if more {
			l.Older = href(l.Filter, cursorOf(found[len(found)-1].Cursor()))
		}
		if before.Seq > 0 {
			l.Newest = href(l.Filter, "")
		}
		l.Turned = href(l.Filter.turned(), "")
		l.Exports = exports(r, f)
	}
	view.Section, view.Data = section, data
	return p.Render(w, r, set, view)
}

func (p *Pages) rows(r *http.Request, found []query.Entry) ([]row, error) {
	actors := make([]string, len(found))
	for i, e := range found {
		actors[i] = e.Actor
	}
	names, err := p.actors(r.Context(), actors)
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(found))
	for i, e := range found {
		rows[i] = row{Entry: e, What: page.T(r, e.Type.Label()), By: names[e.Actor]}
		if id, is := strings.CutPrefix(e.Actor, "portal_user:"); is && isID.MatchString(id) {
			rows[i].Person = id
		}
		if e.MessageID != uuid.Nil {
			rows[i].About = e.MessageID.String()
		}
	}
	return rows, nil
}

// whole is the data of the page of an event.
type whole struct {
	row
	Subject, Leaf, Body string
	Headers             []choice
	Projected           bool
}

// event shows an event with everything that is stored of it.
func (p *Pages) event(w http.ResponseWriter, r *http.Request) error {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 63)
	if err != nil || seq == 0 {
		return p.NotFound(w, r)
	}
	e, err := p.Record.Event(r.Context(), reader(r), seq)
	if errors.Is(err, query.ErrNotFound) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	rows, err := p.rows(r, []query.Entry{e.Entry})
	if err != nil {
		return err
	}
	shown := whole{row: rows[0], Subject: e.Subject, Leaf: hex.EncodeToString(e.Leaf), Body: indented(e.Body), Projected: e.Projected}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		shown.Headers = append(shown.Headers, choice{name, strings.Join(e.Headers[name], ", ")})
	}
	return p.Render(w, r, set, page.View{Template: "event.html", Title: page.T(r, "Event {number}", "number", strconv.FormatUint(seq, 10)), Section: section, Data: shown})
}

// indented indents JSON. It returns other content unchanged.
func indented(body []byte) string {
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		return strings.ToValidUTF8(string(body), "\ufffd")
	}
	return b.String()
}

// timeline is the data of the page of a timeline.
type timeline struct {
	listed
	ID, Name string
	Back     string // the page of the message or portal user, "" if the reader may not open it
}

// message shows the timeline of a message.
func (p *Pages) message(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return p.NotFound(w, r)
	}
	if _, err := p.Messages.Visible(r.Context(), page.Subject(r), id); err != nil {
		return err
	}
	t := timeline{ID: id.String(), Back: "/messages/" + id.String()}
	path := "/record/messages/" + id.String()
	if f := filterOf(r); f.ByTime() {
		t.Filter.Sort = f.Sort
	}
	return p.list(w, r, page.View{Template: "message.html", Title: "Timeline of a message"}, &t.listed, query.Filter{MessageID: id, Ascending: t.Filter.Oldest()},
		func(f filter, before string) string { return address(path, "sort", f.Sort, "before", before) }, &t)
}

// person finds the portal user in the address.
func (p *Pages) person(r *http.Request) (t timeline, found bool, err error) {
	id := r.PathValue("id")
	names, err := p.Messages.PortalUserNames(r.Context(), []string{id})
	t.ID, t.Name = id, names[id]
	if policy.Allow(page.Subject(r), policy.SeeDirectory) == nil || policy.Allow(page.Subject(r), policy.SendMessage) == nil {
		t.Back = "/directory/portal-users/" + id
	}
	_, found = names[id]
	return t, found, err
}
