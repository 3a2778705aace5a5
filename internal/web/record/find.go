package record

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/directory"
	"postern/internal/messages"
	"postern/internal/text/folding"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// Readers pick the people and messages of the filter by words, never by ids: they type a name, a
// subject or a day, search, and follow the link of one result. With scripts, the results come while
// they type. Words are posted and sealed, as in Global Search.

// mostFound is the most results of each kind. For others, the reader types more letters.
const mostFound = 10

// findings are what a search found.
type findings struct {
	Q     string
	Kinds []foundKind
	More  bool   // there are more people
	Back  string // the address of the list without the search
}

// foundKind is the results of one kind. The heading has the clinic's labels in braces.
type foundKind struct {
	Heading string
	Found   []found
}

// found is a result. Href is the address of the list with it in the filter, and Own that of the
// events that the person caused, "" for none.
type found struct {
	Text, ID, More, Href, Own string
	Message                   *messages.Message // nil for a person
}

// picked is what the events of the filter are about. Kind has the clinic's labels in braces.
type picked struct {
	Kind, Text string
	Message    *messages.Message // of which the page says when it was sent, and by whom; nil for a person
	Href       string            // the page of the person or message
	Remove     string            // the list without it
}

// pick takes posted words. For a script it answers with the results directly.
func (p *Pages) pick(w http.ResponseWriter, r *http.Request) error {
	if !page.IsFragment(r) {
		return p.RedirectSearch(w, r)
	}
	found, err := p.find(r, filterOf(r))
	if err != nil {
		return err
	}
	return p.Fragment(w, r, set, "found", page.View{Template: "events.html", Data: found})
}

// find finds people and messages by the words of a request; nil without words.
func (p *Pages) find(r *http.Request, f filter) (*findings, error) {
	words, _, err := p.Words(r)
	if err != nil {
		return nil, err
	}
	q := strings.TrimSpace(words)
	if q == "" {
		return nil, nil
	}
	people, err := p.Record.FindPeople(r.Context(), reader(r), q, mostFound)
	if err != nil {
		return nil, err
	}
	all := &findings{Q: q, More: people.More, Back: f.href("")}
	users, patients := foundKind{Heading: "{Portal Users}"}, foundKind{Heading: "{Patients}"}
	for _, u := range people.PortalUsers {
		to, own := f, f
		to.PortalUser, own.Actor = u.ID, "portal_user:"+u.ID
		users.Found = append(users.Found, found{Text: u.Name, ID: u.ID, More: patientsOf(u), Href: to.href(""), Own: own.href("")})
	}
	for _, one := range people.Patients {
		to := f
		to.Patient = one.ID
		more := ""
		if one.BirthDate != "" {
			more = page.T(r, "born {day}", "day", directory.DayText(language.From(r.Context()), one.BirthDate))
		}
		patients.Found = append(patients.Found, found{Text: one.Name, ID: one.ID, More: more, Href: to.href("")})
	}
	sent, err := p.findMessages(r, q)
	if err != nil {
		return nil, err
	}
	ofMessages := foundKind{Heading: page.T(r, "Messages")}
	for _, m := range sent {
		to := f
		to.Message = m.ID.String()
		ofMessages.Found = append(ofMessages.Found, found{Text: m.subject, Message: &m.Message, Href: to.href("")})
	}
	for _, kind := range []foundKind{users, patients, ofMessages} {
		if len(kind.Found) > 0 {
			all.Kinds = append(all.Kinds, kind)
		}
	}
	return all, nil
}

func patientsOf(u directory.PortalUser) string {
	var names []string
	for _, l := range u.Patients {
		if !slices.Contains(names, l.Name) {
			names = append(names, l.Name)
		}
	}
	return strings.Join(names, ", ")
}

// named is a message with its subject, which readers of the record may see.
type named struct {
	messages.Message
	subject string
}

// findMessages finds messages by their day, by the name of their sender, or by words of the subject
// among the latest messages.
func (p *Pages) findMessages(r *http.Request, q string) (all []named, err error) {
	add := func(viewer policy.Subject, which messages.Query, words string) error {
		if which.Limit = mostFound - len(all); which.Limit == 0 {
			return nil
		}
		l, err := p.Search.List(r.Context(), viewer, which, words)
		for _, m := range l.Messages {
			if !slices.ContainsFunc(all, func(n named) bool { return n.ID == m.ID }) {
				all = append(all, named{m, cmp.Or(l.Headers[m.ID].Subject, page.T(r, "Message without its content"))})
			}
		}
		return err
	}
	for _, layout := range []string{time.DateOnly, "2 January 2006"} {
		if day, err := time.ParseInLocation(layout, q, zone.Clinic()); err == nil {
			return all, add(page.Subject(r), messages.Query{Which: messages.All, From: day, Until: day.AddDate(0, 0, 1)}, "")
		}
	}
	if err := add(page.Subject(r), messages.Query{Which: messages.All}, q); err != nil {
		return nil, err
	}
	staff, err := p.Gate.ListStaff(r.Context())
	for _, s := range staff {
		if err == nil && folding.Mentions(s.Name, q) {
			err = add(policy.Subject{ID: s.ID}, messages.Query{Which: messages.Sent}, "")
		}
	}
	return all, err
}

// picked describes what the events of the filter are about. Ids that are not known stand for themselves.
func (p *Pages) picked(r *http.Request, f filter) (all []picked, err error) {
	if f.PortalUser != "" {
		names, err := p.Messages.PortalUserNames(r.Context(), []string{f.PortalUser})
		if err != nil {
			return nil, err
		}
		without := f
		without.PortalUser = ""
		all = append(all, picked{Kind: "{Portal User}", Text: cmp.Or(names[f.PortalUser], f.PortalUser), Href: "/record/portal-users/" + f.PortalUser, Remove: without.href("")})
	}
	if f.Patient != "" {
		one, err := directory.PatientByID(r.Context(), p.Directory, f.Patient)
		if err != nil && !errors.Is(err, directory.ErrNotFound) {
			return nil, err
		}
		without := f
		without.Patient = ""
		all = append(all, picked{Kind: "{Patient}", Text: cmp.Or(one.Name, f.Patient), Href: "/record/patients/" + f.Patient, Remove: without.href("")})
	}
	if id, err := uuid.Parse(f.Message); err == nil {
		m, err := p.Messages.Visible(r.Context(), page.Subject(r), id)
		if err != nil && !errors.Is(err, messages.ErrNotFound) {
			return nil, err
		}
		without := f
		without.Message = ""
		one := picked{Kind: page.T(r, "Message"), Text: f.Message, Href: "/messages/" + f.Message, Remove: without.href("")}
		if err == nil {
			one.Message = &m
		}
		all = append(all, one)
	}
	return all, nil
}

// actorChoices lists who may have caused events: staff, processes and operators, and the actor of
// the filter.
func (p *Pages) actorChoices(r *http.Request, chosen string) ([]choice, error) {
	staff, err := p.Gate.ListStaff(r.Context())
	if err != nil {
		return nil, err
	}
	var all []choice
	for _, s := range staff {
		all = append(all, choice{"staff:" + s.ID, s.Name})
	}
	others, err := p.Record.Actors(r.Context())
	if err != nil {
		return nil, err
	}
	if chosen != "" && !slices.Contains(others, chosen) && !slices.ContainsFunc(all, func(c choice) bool { return c.Value == chosen }) {
		others = append(others, chosen)
	}
	names, err := p.actors(r.Context(), others)
	if err != nil {
		return nil, err
	}
	for _, actor := range others {
		all = append(all, choice{actor, names[actor]})
	}
	return all, nil
}
