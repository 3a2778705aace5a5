package operating

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"postern/internal/alerting"
	"postern/internal/operations"
	"postern/internal/web/page"
)

// overview is what the page of operations shows.
type overview struct {
	operations.State
	Chart           chart
	Pauses          []alerting.Pause
	Reason, Message string // as they were typed, where they could not be taken
	Most            int
}

func (p *Pages) overview(w http.ResponseWriter, r *http.Request) error {
	return p.showOverview(w, r, nil)
}

func (p *Pages) showOverview(w http.ResponseWriter, r *http.Request, errs page.Errors) error {
	state, err := p.kit.Health.Look(r.Context())
	if err != nil {
		return err
	}
	pauses, err := p.kit.Alerting.Pauses(r.Context())
	if err != nil {
		return err
	}
	view := page.View{Template: "overview.html", Title: "Operations", Section: section, Errors: errs,
		Data: overview{state, chartOf(state.Alerts), pauses, r.PostFormValue("reason"), r.PostFormValue("message"), alerting.MaxReason}}
	if page.IsFragment(r) {
		return p.kit.Fragment(w, r, set, "live", view)
	}
	return p.kit.Render(w, r, set, view)
}

// AllPaused is the pause of all messages, nil where there is none.
func (o overview) AllPaused() *alerting.Pause { return alerting.Of(o.Pauses, uuid.Nil) }

// Hour and Minute are the addresses of what happened in one.
func (o overview) Hour(at time.Time) string   { return stretch(at, time.Hour) }
func (o overview) Minute(at time.Time) string { return stretch(at, time.Minute) }

func stretch(at time.Time, d time.Duration) string {
	q := url.Values{"from": {at.UTC().Format(time.RFC3339)}, "to": {at.Add(d).UTC().Format(time.RFC3339)}}
	return "/operations/messages?" + q.Encode()
}

// switchAlerting stops alerts or lets them go on, of all messages or of one, and leads
// back to where it was pressed.
func (p *Pages) switchAlerting(w http.ResponseWriter, r *http.Request) error {
	change, notice := p.kit.Alerting.Pause, "Alerting is paused. What is being sent at this moment is finished; everything else waits."
	switch r.PathValue("change") {
	case "pause":
	case "resume":
		change, notice = p.kit.Alerting.Resume, "Alerting goes on. Everything that waited is due now."
	default:
		return p.kit.NotFound(w, r)
	}
	var message *uuid.UUID
	back := "/operations"
	if text := r.PostFormValue("message"); text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			return p.showOverview(w, r, page.Errors{{Field: "message", Message: "Enter the id of a message, or nothing"}})
		}
		if message = &id; r.PostFormValue("back") == "message" {
			back = "/messages/" + id.String()
		}
	}
	seq, err := change(r.Context(), page.Subject(r).Actor(), message, r.PostFormValue("reason"))
	if errors.Is(err, alerting.ErrReason) {
		return p.showOverview(w, r, page.Errors{{Field: "reason", Message: page.Sentence(err)}})
	}
	if err != nil {
		return err
	}
	p.kit.AwaitRecorder(r.Context(), seq)
	return p.kit.Redirect(w, r, back, notice)
}

// stretchOf is what the page of a stretch of time shows.
type stretchOf struct {
	From, To time.Time
	Shares   []operations.Share
}

// messages shows which messages alerts were about in an hour or a minute.
func (p *Pages) messages(w http.ResponseWriter, r *http.Request) error {
	now := p.kit.Now()
	s := stretchOf{From: now.Add(-time.Hour), To: now}
	for name, at := range map[string]*time.Time{"from": &s.From, "to": &s.To} {
		if t, err := time.Parse(time.RFC3339, r.FormValue(name)); err == nil {
			*at = t
		}
	}
	var err error
	if s.Shares, err = p.kit.Health.Messages(r.Context(), s.From, s.To); err != nil {
		return err
	}
	return p.kit.Render(w, r, set, page.View{Template: "messages.html", Title: "Alerts of a while", Section: section, Data: s})
}
