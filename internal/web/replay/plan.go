package replay

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/notify/replay"
	"postern/internal/problem"
	"postern/internal/web/page"
)

// form is the typed form of a plan.
type form struct {
	Message, State, Because, From, To, Domain, Why string
	States                                         []choice
}

type choice struct{ Value, Text string }

var states = []choice{{"failed", "Failed"}, {"unknown", "Unknown"}}

func formOf(r *http.Request) form {
	get := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	return form{Message: get("message"), State: get("state"), Because: get("because"), From: get("from"), To: get("to"),
		Domain: get("domain"), Why: r.FormValue("why"), States: states}
}

// ask shows the form. A link on the page of a message fills it in.
func (p *Pages) ask(w http.ResponseWriter, r *http.Request) error {
	return p.showForm(w, r, formOf(r), nil)
}

func (p *Pages) showForm(w http.ResponseWriter, r *http.Request, f form, errs page.Errors) error {
	return p.Render(w, r, set, page.View{Template: "new.html", Title: "Plan a replay", Section: section, Data: f, Errors: errs})
}

// plan makes a plan of the alerts that match the form. The plan does not change afterwards.
func (p *Pages) plan(w http.ResponseWriter, r *http.Request) error {
	typed := formOf(r)
	f, errs := typed.filter()
	errs = append(errs, faultsOf(replay.Check(f, typed.Why))...)
	if len(errs) > 0 {
		slices.SortStableFunc(errs, func(a, b page.Error) int { return slices.Index(inOrder, a.Field) - slices.Index(inOrder, b.Field) })
		return p.showForm(w, r, typed, errs)
	}
	made, err := p.Replays.Plan(r.Context(), page.Subject(r).Actor(), f, typed.Why)
	if err != nil {
		return err
	}
	return p.Redirect(w, r, root+"/"+made.ID.String(), "The plan was created.")
}

// inOrder are the fields in the order of the form.
var inOrder = []string{"message", "state", "because", "domain", "from", "to", "why"}

// faultsOf converts the faults that replay.Check found to errors of the form.
func faultsOf(err error) (errs page.Errors) {
	var invalid *replay.Invalid
	if errors.As(err, &invalid) {
		for _, fault := range invalid.Faults {
			errs = append(errs, pageError(fault))
		}
	}
	return errs
}

// pageError converts a fault of a plan to an error of the form.
func pageError(f problem.Fault) page.Error {
	switch {
	case strings.HasSuffix(f.Location, ".domain"):
		return page.Error{Field: "domain", Message: "The domain " + f.Message}
	case strings.HasSuffix(f.Location, ".to"):
		return page.Error{Field: "to", Message: "The end " + f.Message}
	case f.Location == "body.reason":
		return page.Error{Field: "why", Message: limits.Fill("Enter why you are repeating the alerts, in 1 to {Reason}")}
	}
	return page.Error{Field: "because", Message: "The reason " + f.Message}
}

// filter converts the form to a filter, without the fields that can't be read, and
// returns the errors of these.
func (f form) filter() (filter replay.Filter, errs page.Errors) {
	filter = replay.Filter{Reason: f.Because, Domain: f.Domain}
	if f.Message != "" {
		id, err := uuid.Parse(f.Message)
		if err != nil {
			errs = append(errs, page.Error{Field: "message", Message: "Enter the id of a message. It is in the address of the message’s page"})
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
	}{{"from", f.From, &filter.From}, {"to", f.To, &filter.To}} {
		if one.text == "" {
			continue
		}
		at, err := time.ParseInLocation("2006-01-02T15:04", one.text, time.Local)
		if err != nil {
			errs = append(errs, page.Error{Field: one.field, Message: "Enter a date and a time"})
			continue
		}
		*one.at = &at
	}
	return filter, errs
}
