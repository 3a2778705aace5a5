package replay

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"postern/internal/limits"
	"postern/internal/notify/replay"
	"postern/internal/problem"
	"postern/internal/web/page"
)

// ask shows the form, with what a plan of it would have. Links and ticks on the pages of a
// message fill it in. With scripts, each change of a field asks again for the counts.
func (p *Pages) ask(w http.ResponseWriter, r *http.Request) error {
	f := formOf(r)
	if r.Form.Has("ticked") && len(f.Users) == 0 {
		return p.Redirect(w, r, "/worklists/unread", "Tick the recipients to whom the alert is sent again.")
	}
	if f.Mixed {
		return p.showForm(w, r, f, page.Errors{{Field: "message", Message: "You ticked recipients of several messages. Choose one of the messages, or go back and tick those of one"}})
	}
	return p.showForm(w, r, f, nil)
}

func (p *Pages) showForm(w http.ResponseWriter, r *http.Request, f form, errs page.Errors) error {
	if err := p.complete(r, &f); err != nil {
		return err
	}
	view := page.View{Template: "new.html", Title: "Plan a replay", Section: section, Data: f, Errors: errs}
	if page.IsFragment(r) {
		return p.Fragment(w, r, set, "counted", view)
	}
	return p.Render(w, r, set, view)
}

// plan makes a plan of the alerts that match the form. The plan does not change afterwards.
func (p *Pages) plan(w http.ResponseWriter, r *http.Request) error {
	typed := formOf(r)
	f, errs := typed.filter()
	errs = append(errs, faultsOf(r, replay.Check(f, typed.Why))...)
	if len(errs) > 0 {
		slices.SortStableFunc(errs, func(a, b page.Error) int { return slices.Index(inOrder, a.Field) - slices.Index(inOrder, b.Field) })
		return p.showForm(w, r, typed, errs)
	}
	made, err := p.Replays.Plan(r.Context(), page.Subject(r).Actor(), f, typed.Why)
	if invalid := faultsOf(r, err); len(invalid) > 0 {
		return p.showForm(w, r, typed, invalid)
	}
	if err != nil {
		return err
	}
	return p.Redirect(w, r, root+"/"+made.ID.String(), "The plan was created.")
}

// inOrder are the fields in the order of the form.
var inOrder = []string{"message", "people", "state", "domain", "from", "to", "because", "why"}

// faultsOf converts the faults that replay.Check found to errors of the form.
func faultsOf(r *http.Request, err error) (errs page.Errors) {
	var invalid *replay.Invalid
	if errors.As(err, &invalid) {
		for _, fault := range invalid.Faults {
			errs = append(errs, pageError(r, fault))
		}
	}
	return errs
}

// pageError converts a fault of a plan to an error of the form. A domain, an end and a reason why have
// one kind of fault each, so their sentences are texts that can be translated.
func pageError(r *http.Request, f problem.Fault) page.Error {
	switch {
	case strings.HasSuffix(f.Location, ".domain"):
		return page.Error{Field: "domain", Message: "The domain is not what follows the @ of an address, as example.org"}
	case strings.HasSuffix(f.Location, ".to"):
		return page.Error{Field: "to", Message: "The end is not after from"}
	case strings.HasSuffix(f.Location, ".portal_user_ids"):
		return page.Error{Field: "people", Message: "One of the ticked recipients is no longer in the directory. Remove them"}
	case f.Location == "body.reason":
		return page.Error{Field: "why", Message: page.T(r, "Enter why you are repeating the alerts, in 1 to {most} characters", "most", int(limits.Reason))}
	}
	return page.Error{Field: "because", Message: page.T(r, "The reason {fault}", "fault", page.T(r, f.Message))}
}
