package record

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/directory"
	"postern/internal/record/person"
	"postern/internal/record/query"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// The page of a portal user says what was sent to them, what they did with it, and what was not
// sent, and why. Staff who send see it, too: see package person.

// shows are the choices of the filter.
var shows = []choice{
	{string(query.ShowSent), language.Mark("Sent to them")},
	{string(query.ShowNotOpened), language.Mark("Sent and not opened")},
	{string(query.ShowNotSent), language.Mark("Not sent to them")}}

// sentFilter is the filter of the page, as it is in the address.
type sentFilter struct{ Show, From, Until string }

// Chosen reports whether the filter leaves out any message.
func (f sentFilter) Chosen() bool { return f != sentFilter{} }

// href returns the address of the list, before a message.
func (f sentFilter) href(path, before string) string {
	return address(path, "show", f.Show, "from", f.From, "until", f.Until, "before", before)
}

// chosen converts the filter to a query, and returns the errors of its fields.
func (f sentFilter) chosen(id string) (c person.Filter, errs page.Errors) {
	days, errs := filter{From: f.From, Until: f.Until}.chosen()
	if f.Show != "" && !slices.ContainsFunc(shows, func(s choice) bool { return s.Value == f.Show }) {
		errs = append(errs, page.Error{Field: "show", Message: "Choose what to show from the list"})
	}
	return person.Filter{PortalUserID: id, Show: query.Show(f.Show), From: days.From, To: days.To}, errs
}

// individual is the data of the page of a portal user.
type individual struct {
	directory.PortalUser
	Standing recordState // for readers of the record
	NoAlert  string      // why they get no e-mail about a new message now; "" if they get one
	Acts     []actsFor
	Filter   sentFilter
	Shows    []choice
	Rows     []sentRow
	Account  []row // the newest events about their account, for readers of the record

	Newest, Older string // addresses: the first page, and the next page
}

// actsFor is a patient for whom the portal user acts, or acted, or the portal user's own account.
type actsFor struct {
	directory.LinkedPatient
	Self bool
	Term string // "" for always
}

// sentRow is a message in the list.
type sentRow struct {
	person.Sent
	Documents []document
	Alert     string // how the e-mail about it stands
	NotTo     string // why it was not sent to them, with the clinic's labels in braces
}

// document is a document of a message, with its downloads by the portal user.
type document struct {
	Name      string // what the viewer may know of it
	Downloads []query.Download
	More      int // number of downloads that are not in Downloads
}

// accountEventsShown is the most events about the account that the page lists. All of them are
// among the events about the person.
const accountEventsShown = 20

// downloadsShown is the most downloads of one document that the page lists.
const downloadsShown = 3

// portalUser shows what was sent to a portal user.
func (p *Pages) portalUser(w http.ResponseWriter, r *http.Request) error {
	u, err := directory.PortalUserByID(r.Context(), p.Directory, r.PathValue("id"))
	if errors.Is(err, directory.ErrNotFound) {
		return p.NotFound(w, r)
	}
	if err != nil {
		return err
	}
	one := individual{PortalUser: u, Shows: said(r, shows), Filter: sentFilter{r.FormValue("show"), r.FormValue("from"), r.FormValue("until")}}
	view := page.View{Template: "portal_user.html", Title: "Sent to a person", Section: "messages", Data: &one}
	if policy.Allow(page.Subject(r), policy.ReadTheRecord) == nil {
		view.Section = section
		if one.Standing, err = p.recordState(r); err != nil {
			return err
		}
	}
	if one.NoAlert, err = p.Messages.WhyNoAlert(r.Context(), u.ID); err != nil {
		return err
	}
	one.Acts = p.actsFor(r, u)
	if view.Errors, err = p.listSent(r, &one); err != nil {
		return err
	}
	if len(view.Errors) == 0 && one.Newest == "" && !one.Filter.Chosen() && view.Section == section {
		found, err := p.Record.AccountEvents(r.Context(), reader(r), u.ID, accountEventsShown)
		if err != nil {
			return err
		}
		if one.Account, err = p.rows(r, found); err != nil {
			return err
		}
	}
	return p.Render(w, r, set, view)
}

// actsFor lists the patients of a portal user.
func (p *Pages) actsFor(r *http.Request, u directory.PortalUser) (all []actsFor) {
	today := p.Now().Format(time.DateOnly)
	for _, l := range u.Patients {
		term, _ := directory.Term(language.From(r.Context()), l.From, l.Until, today)
		all = append(all, actsFor{LinkedPatient: l, Self: l.Relationship == directory.Self, Term: term})
	}
	return all
}

// listSent fills in the list of messages.
func (p *Pages) listSent(r *http.Request, one *individual) (page.Errors, error) {
	f, errs := one.Filter.chosen(one.ID)
	before := uuid.Max
	if text := r.FormValue("before"); text != "" {
		var err error
		if before, err = uuid.Parse(text); err != nil {
			errs = append(errs, page.Error{Message: language.Mark("The address of this page is not complete. Start again from the newest messages")})
		}
	}
	if len(errs) > 0 {
		return errs, nil
	}
	found, more, err := p.People.Sent(r.Context(), page.Subject(r), f, before, perPage)
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		one.Rows = append(one.Rows, sentRowOf(r, m))
	}
	path := "/record/portal-users/" + one.ID
	if more {
		one.Older = one.Filter.href(path, found[len(found)-1].MessageID.String())
	}
	if before != uuid.Max {
		one.Newest = one.Filter.href(path, "")
	}
	return nil, nil
}

// sentRowOf puts a message into words.
func sentRowOf(r *http.Request, m person.Sent) sentRow {
	row := sentRow{Sent: m, Documents: documentsOf(r, m)}
	if d := m.Delivery; d != nil {
		row.Alert = page.T(r, strings.TrimSuffix(d.AlertWords(), ": "+d.AlertReason))
		if d.AlertReason != "" {
			row.Alert += ": " + page.T(r, d.AlertReason)
		}
	}
	if m.NotSent != nil {
		row.NotTo = page.T(r, m.NotSent.Words())
	}
	return row
}

// documentsOf lists the documents of a delivered message. Names of documents are content.
func documentsOf(r *http.Request, m person.Sent) (all []document) {
	if m.Delivery == nil {
		return nil
	}
	for i, fact := range m.Documents {
		d := document{Name: m.Names[fact.AttachmentID]}
		if d.Name == "" {
			d.Name = page.T(r, "Document {number}", "number", strconv.Itoa(i+1))
		}
		for _, got := range m.Delivery.Downloads {
			if got.AttachmentID == fact.AttachmentID {
				d.Downloads = append(d.Downloads, got)
			}
		}
		if d.More = max(len(d.Downloads)-downloadsShown, 0); d.More > 0 {
			d.Downloads = d.Downloads[:downloadsShown]
		}
		all = append(all, d)
	}
	return all
}
