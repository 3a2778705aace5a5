package operations

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/access/policy"
	"postern/internal/health"
	"postern/internal/notify/pause"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web/page"
)

// overview is the data of the overview.
type overview struct {
	health.State
	language        language.Language
	OverTime        overTime
	Reason, Message string   // as typed, if the form was refused
	Changed         bool     // the pauses differ from those that the reader has seen
	Messages        []choice // of which the alerts can be paused alone
}

// choice is an option of a list, with its text.
type choice struct{ Value, Text string }

// Seen identifies the pauses that the page shows.
func (o overview) Seen() string { return pause.Fingerprint(o.Pauses) }

func (p *Pages) overview(w http.ResponseWriter, r *http.Request) error {
	return p.showOverview(w, r, nil)
}

func (p *Pages) showOverview(w http.ResponseWriter, r *http.Request, errs page.Errors) error {
	state, _ := p.Health.State(r.Context()) // the page shows the parts that could be read, and names the others
	if err := state.Unread[health.PartPauses]; err != nil {
		return err // the page must not claim that alerting is on
	}
	data := overview{State: state, language: language.From(r.Context()), Reason: r.PostFormValue("reason"), Message: r.PostFormValue("message")}
	view := page.View{Template: "overview.html", Title: "Operations", Section: section, Errors: errs}
	if page.IsFragment(r) {
		seen := r.FormValue("seen")
		data.Changed = seen != "" && seen != data.Seen()
		if data.Changed {
			if err := p.offer(r, &data); err != nil {
				return err
			}
		}
		view.Data = data
		return p.Fragment(w, r, set, "live", view)
	}
	if err := p.offer(r, &data); err != nil {
		return err
	}
	data.OverTime = p.overTime(r)
	view.Data = data
	return p.Render(w, r, set, view)
}

// offer fills in the messages of which the alerts can be paused alone: those that still alert and are
// not paused, and the one that was chosen.
func (p *Pages) offer(r *http.Request, o *overview) error {
	found, err := p.Health.StillAlerting(r.Context())
	if err != nil {
		return err
	}
	for _, m := range found {
		if pause.Of(o.Pauses, m.MessageID) != nil {
			continue
		}
		text := o.language.DateTime(zone.In(m.SentAt), false)
		if m.Sender != "" {
			text = o.language.Text("{time}, by {name}", "time", text, "name", m.Sender)
		}
		if m.Waiting > 0 {
			text = o.language.Count(m.Waiting, "{message}: {n} alert to send", "{message}: {n} alerts to send", "message", text)
		}
		o.Messages = append(o.Messages, choice{m.MessageID.String(), text})
	}
	if o.Message != "" && !slices.ContainsFunc(o.Messages, func(c choice) bool { return c.Value == o.Message }) {
		o.Messages = append(o.Messages, choice{o.Message, o.language.Text("Message {id}", "id", o.Message)})
	}
	return nil
}

// AllPaused returns the pause of all messages, nil if there is none.
func (o overview) AllPaused() *pause.Pause { return pause.Of(o.Pauses, uuid.Nil) }

// Read reports whether a part of the state could be read. A part that could not be read
// is not shown as zero.
func (o overview) Read(part string) bool { return o.Unread[health.Part(part)] == nil }

// MayOpen reports whether the reader may open a page that an entry of stuck work names.
func (o overview) MayOpen(path string, f page.Frame) bool {
	switch {
	case strings.HasPrefix(path, "/directory/"):
		return f.May(policy.Invite)
	case path == "/emergency":
		return f.May(policy.ReviewEmergency)
	}
	return true // the pages of operations
}

// Age returns how long ago a time was, in the largest unit: "3 hours".
func (o overview) Age(since *time.Time) string {
	switch age := max(o.At.Sub(*since), 0); {
	case age < time.Minute:
		return o.language.Count(int(age.Seconds()), "{n} second", "{n} seconds")
	case age < time.Hour:
		return o.language.Count(int(age.Minutes()), "{n} minute", "{n} minutes")
	case age < 48*time.Hour:
		return o.language.Count(int(age.Hours()), "{n} hour", "{n} hours")
	default:
		return o.language.Count(int(age.Hours()/24), "{n} day", "{n} days")
	}
}

// Minute returns the address of what happened in the minute from at.
func (o overview) Minute(at time.Time) string { return period(at, at.Add(time.Minute)) }

// switchAlerting pauses or resumes the alerts of all messages or of one, and returns to
// the page of the form.
func (p *Pages) switchAlerting(w http.ResponseWriter, r *http.Request) error {
	var done changed
	change := p.Pauses.Pause
	switch r.PathValue("change") {
	case "pause":
	case "resume":
		change, done.resumed = p.Pauses.Resume, true
	default:
		return p.NotFound(w, r)
	}
	var message *uuid.UUID
	var errs page.Errors
	back, reason := "/operations", r.PostFormValue("reason")
	if err := pause.Check(reason); err != nil {
		errs = append(errs, page.Error{Field: "reason", Message: page.Say(r, err)})
	}
	if text := strings.TrimSpace(r.PostFormValue("message")); text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			errs = append(errs, page.Error{Field: "message", Message: "Choose a message from the list, or all messages"})
		}
		if message = &id; r.PostFormValue("back") == "message" {
			back = "/messages/" + id.String()
		}
	}
	if len(errs) > 0 {
		return p.showOverview(w, r, errs)
	}
	seq, err := change(r.Context(), page.Subject(r).Actor(), message, reason)
	if errors.Is(err, pause.ErrNoMessage) && back == "/operations" {
		return p.showOverview(w, r, page.Errors{{Field: "message", Message: "There is no such message. Choose one from the list, or all messages"}})
	}
	if err != nil {
		return err
	}
	p.Await(r.Context(), seq)
	done.one, done.before = message != nil, seq == 0
	return p.Redirect(w, r, back, alertingNotices[done])
}

// changed is what a change of alerting did: to the alerts of one message, or of all; nothing if they
// were so before.
type changed struct{ resumed, one, before bool }

// alertingNotices are the notices about changes of alerting. They do not say the resulting state: while
// all alerting is paused, resuming one message sends nothing.
var alertingNotices = map[changed]string{
	{}:                                       language.Mark("You paused all alerts. Alerts that are being sent at this moment still go out."),
	{one: true}:                              language.Mark("You paused the alerts of one message. Alerts that are being sent at this moment still go out."),
	{before: true}:                           language.Mark("Nothing was changed: all alerts were already paused."),
	{one: true, before: true}:                language.Mark("Nothing was changed: the alerts of one message were already paused."),
	{resumed: true}:                          language.Mark("You resumed all alerts."),
	{resumed: true, one: true}:               language.Mark("You resumed the alerts of one message."),
	{resumed: true, before: true}:            language.Mark("Nothing was changed: all alerts were not paused."),
	{resumed: true, one: true, before: true}: language.Mark("Nothing was changed: the alerts of one message were not paused."),
}

// inPeriod is the data of the page of the alerts in a period.
type inPeriod struct {
	From, To time.Time
	Shares   []health.Share
}

// messages shows the messages with deliveries, openings or alerts in a period.
func (p *Pages) messages(w http.ResponseWriter, r *http.Request) error {
	now := p.Now()
	s := inPeriod{From: now.Add(-time.Hour), To: now}
	for name, at := range map[string]*time.Time{"from": &s.From, "to": &s.To} {
		if t, err := time.Parse(time.RFC3339, r.FormValue(name)); err == nil {
			*at = t
		}
	}
	var err error
	if s.Shares, err = p.Health.Messages(r.Context(), s.From, s.To); err != nil {
		return err
	}
	return p.Render(w, r, set, page.View{Template: "messages.html", Title: "What happened in a period", Section: section, Data: s})
}
