package replay

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/notify/replay"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// form is the typed form of a plan.
type form struct {
	Message, State, From, To, Domain, Why string
	Because                               []string // ticked reasons
	Users                                 []string // ids of ticked portal users
	Mixed                                 bool     // they are ticked for several messages

	// The rest is what the form offers, and what a plan of it would have.
	States, Messages []choice
	Reasons          []reason
	People           []choice // the ticked portal users
	Preview          *replay.Preview
	language         language.Language // of the reader
}

// choice is a value of a field. Its text is in English, or says what it is in the language of the
// reader.
type choice struct{ Value, Text string }

// reason is a reason that can be ticked, with the number of alerts that have it.
type reason struct {
	Text   string // as it is in the record
	Words  string // in the language of the reader
	Count  int
	Ticked bool
	Fixed  bool // it can't be ticked: these alerts have no reason
}

var states = []choice{{"failed", language.Mark("Failed")}, {"unknown", language.Mark("Unknown")}}

// mostMessages is how many messages the form offers.
const mostMessages = 50

func formOf(r *http.Request) form {
	get := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	list := func(name string) (all []string) {
		for _, value := range r.Form[name] {
			if value = strings.TrimSpace(value); value != "" && !slices.Contains(all, value) {
				all = append(all, value)
			}
		}
		return all
	}
	f := form{language: language.From(r.Context()), Message: get("message"), State: get("state"), From: get("from"), To: get("to"),
		Domain: get("domain"), Why: r.FormValue("why"), States: states}
	f.Because, f.Users = list("because"), list("user")
	f.addDeliveries(list("delivery"))
	return f
}

// addDeliveries adds what is ticked in the list of unopened deliveries: "message portal user".
func (f *form) addDeliveries(ticked []string) {
	for _, one := range ticked {
		message, user, _ := strings.Cut(one, " ")
		if f.Mixed = f.Mixed || f.Message != "" && f.Message != message; f.Message == "" {
			f.Message = message
		}
		if !slices.Contains(f.Users, user) {
			f.Users = append(f.Users, user)
		}
	}
	if f.Mixed {
		f.Message = ""
	}
}

// NotRepeated is the number of ticked recipients of a message whose alert neither failed nor is unknown.
func (f form) NotRepeated() int {
	if f.Preview == nil || f.Message == "" || len(f.Because) > 0 || f.State != "" || f.From != "" || f.To != "" || f.Domain != "" {
		return 0
	}
	n := len(f.Users) - f.Preview.Count
	for _, left := range f.Preview.Excluded {
		n -= left
	}
	return max(n, 0)
}

// filter converts the form to a filter, without the fields that can't be read, and
// returns the errors of these.
func (f form) filter() (filter replay.Filter, errs page.Errors) {
	filter = replay.Filter{Reasons: f.Because, Domain: f.Domain, PortalUserIDs: f.Users}
	if f.Message != "" {
		id, err := uuid.Parse(f.Message)
		if err != nil {
			errs = append(errs, page.Error{Field: "message", Message: "Choose a message from the list"})
		} else {
			filter.MessageID = &id
		}
	}
	switch f.State {
	case "":
	case "failed", "unknown":
		filter.State = []events.AlertState{events.AlertState(f.State)}
	default:
		errs = append(errs, page.Error{Field: "state", Message: "Choose a state of the alert from the list"})
	}
	for _, one := range []struct {
		field, text string
		at          **time.Time
		which       func([]time.Time) time.Time
	}{{"from", f.From, &filter.From, first}, {"to", f.To, &filter.To, last}} {
		if one.text == "" {
			continue
		}
		at, err := time.Parse("2006-01-02T15:04", one.text)
		if err != nil {
			errs = append(errs, page.Error{Field: one.field, Message: language.Mark("Enter a date and a time")})
			continue
		}
		wall := zone.WallOf(at)
		times := wall.Times(zone.Clinic())
		if len(times) == 0 { // the clocks skip it
			times = []time.Time{wall.Next(zone.Clinic())}
		}
		chosen := one.which(times)
		*one.at = &chosen
	}
	return filter, errs
}

// first and last choose among two times that a clock shows the same way. A plan from the
// first to the last leaves out nothing that was meant.
func first(times []time.Time) time.Time { return times[0] }
func last(times []time.Time) time.Time  { return times[len(times)-1] }

// complete fills in what the form offers and what a plan would have. It counts nothing if
// the form has errors.
func (p *Pages) complete(r *http.Request, f *form) (err error) {
	ctx := r.Context()
	if f.Messages, err = p.failing(r, f.Message); err != nil {
		return err
	}
	if err := p.people(r, f); err != nil {
		return err
	}
	filter, wrong := f.filter()
	if len(wrong) > 0 || len(faultsOf(r, replay.Check(filter, "x"))) > 0 {
		return nil
	}
	without := filter
	without.Reasons = nil
	all, err := p.Replays.Preview(ctx, without)
	if err != nil {
		return err
	}
	f.Preview = &all
	if len(f.Because) > 0 {
		some, err := p.Replays.Preview(ctx, filter)
		if err != nil {
			return err
		}
		f.Preview = &some
	}
	for text, n := range all.ByReason {
		f.Reasons = append(f.Reasons, reason{text, page.T(r, text), n, slices.Contains(f.Because, text), text == replay.Unnamed})
	}
	for _, text := range f.Because { // nothing has it any more
		if _, has := all.ByReason[text]; !has {
			f.Reasons = append(f.Reasons, reason{Text: text, Words: page.T(r, text), Ticked: true})
		}
	}
	slices.SortFunc(f.Reasons, func(a, b reason) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Text, b.Text)) })
	return nil
}

// failing returns the messages that the form offers, and the chosen one.
func (p *Pages) failing(r *http.Request, chosen string) ([]choice, error) {
	found, err := p.Replays.Failing(r.Context(), mostMessages)
	if err != nil {
		return nil, err
	}
	senders := make([]string, len(found))
	for i, m := range found {
		senders[i] = m.SenderID
	}
	names, err := p.Messages.StaffNames(r.Context(), senders)
	if err != nil {
		return nil, err
	}
	l := language.From(r.Context())
	var all []choice
	for _, m := range found {
		text := l.DateTime(zone.In(m.SentAt), false)
		if name := names[m.SenderID]; name != "" {
			text = l.Text("{time}, by {name}", "time", text, "name", name)
		}
		all = append(all, choice{m.ID.String(), l.Text("{message}: {failed}, {unknown}", "message", text,
			"failed", l.Count(m.Failed, "{n} failed", "{n} failed"), "unknown", l.Count(m.Unknown, "{n} unknown", "{n} unknown"))})
	}
	if chosen != "" && !slices.ContainsFunc(all, func(c choice) bool { return c.Value == chosen }) {
		all = append(all, choice{chosen, l.Text("Message {id}", "id", chosen)})
	}
	return all, nil
}

// people names the ticked portal users to readers who may see who gets messages.
func (p *Pages) people(r *http.Request, f *form) error {
	names := map[string]string{}
	if me := page.Subject(r); policy.Allow(me, policy.SeeMessages) == nil || policy.Allow(me, policy.ReadTheRecord) == nil {
		var err error
		if names, err = p.Messages.PortalUserNames(r.Context(), f.Users); err != nil {
			return err
		}
	}
	for _, id := range f.Users {
		f.People = append(f.People, choice{id, cmp.Or(names[id], id)})
	}
	return nil
}

// Left returns why matching alerts would be left out, with counts.
func (f form) Left() []tally { return tallies(f.language, f.Preview.Excluded) }
