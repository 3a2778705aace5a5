package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"postern/internal/labels"
	"postern/internal/limits"
	"postern/internal/web/page"
)

// labelForm is the data of Custom Labels.
type labelForm struct {
	Labels  []labelFields
	Presets []preset
	Example labels.Labels // the typed labels, for the example
}

// labelFields are the two fields of a label. Each keeps the value that it had when the
// page was made, so that only edited values are changed.
type labelFields struct {
	Key, Name, Hint string
	One, Many       labelField
}

type labelField struct{ Field, Label, Value, Was string }

// preset is a common word for a patient.
type preset struct{ Key, One, Many string }

var presets = []preset{{"patient", "Patient", "Patients"}, {"client", "Client", "Clients"}, {"member", "Member", "Members"}}

// about is the name and the meaning of each label, in Postern's default words.
var about = map[string][2]string{
	"patient":                   {"Patient", "The people the clinic treats."},
	"portal_user":               {"Portal User", "The people who sign in to the portal: patients, and people who act for them."},
	"authorized_representative": {"Authorized Representative", "A person who acts for a patient, such as a parent, guardian or carer."},
	"discharged":                {"Discharged", "A patient who no longer receives services. This word comes before the word for patients: “Discharged Patients”."},
}

func (p *Pages) labels(w http.ResponseWriter, r *http.Request) error {
	current, err := p.Labels.Chosen(r.Context())
	if err != nil {
		return err
	}
	typed := current
	for _, one := range presets {
		if one.Key == r.FormValue("words") {
			typed.Patient = &labels.Label{One: one.One, Many: one.Many}
		}
	}
	return p.renderLabels(w, r, current, typed, nil)
}

func (p *Pages) renderLabels(w http.ResponseWriter, r *http.Request, current, typed labels.Labels, errs page.Errors) error {
	form := labelForm{Presets: presets, Example: typed}
	was := byKey(current)
	typed.Each(func(key string, l **labels.Label) {
		name := about[key]
		form.Labels = append(form.Labels, labelFields{Key: key, Name: name[0], Hint: name[1],
			One:  labelField{key + "-one", "One", (*l).One, was[key].One},
			Many: labelField{key + "-many", "Several", (*l).Many, was[key].Many}})
	})
	return p.Render(w, r, set, page.View{Template: "labels.html", Title: "Custom Labels", Section: section, Data: form, Errors: errs})
}

func byKey(l labels.Labels) map[string]labels.Label {
	all := map[string]labels.Label{}
	l.Each(func(key string, label **labels.Label) { all[key] = **label })
	return all
}

// changeLabels changes only the labels that the reader edited. If another staff member
// has renamed a label since the page was made, that name stays.
func (p *Pages) changeLabels(w http.ResponseWriter, r *http.Request) error {
	var current, typed labels.Labels
	var errs page.Errors
	_, seq, err := p.Labels.Change(r.Context(), page.Subject(r).Actor(), func(now labels.Labels) (wanted labels.Labels, err error) {
		current = now
		if typed, wanted, errs = readLabels(r, byKey(now)); len(errs) > 0 {
			err = errWrongLabels
		}
		return wanted, err
	})
	switch {
	case errors.Is(err, errWrongLabels):
		return p.renderLabels(w, r, current, typed, errs)
	case err != nil:
		return err
	case seq == 0:
		return p.Redirect(w, r, r.URL.Path, "Nothing was changed: these words are already in use.")
	}
	return p.Redirect(w, r, r.URL.Path, "The labels were changed. All pages now show them, and the change is recorded.")
}

var errWrongLabels = errors.New("the form is wrong")

// readLabels returns the labels as typed, and the ones to change.
func readLabels(r *http.Request, current map[string]labels.Label) (typed, wanted labels.Labels, errs page.Errors) {
	changes := map[string]*labels.Label{}
	typed.Each(func(key string, l **labels.Label) {
		read := func(suffix string) labels.Label {
			return labels.Label{One: strings.TrimSpace(r.PostFormValue(key + "-one" + suffix)), Many: strings.TrimSpace(r.PostFormValue(key + "-many" + suffix))}
		}
		now, was := read(""), read("-was")
		*l = &now
		if now == was || now == current[key] {
			return
		}
		changes[key] = &now
		if was != current[key] {
			errs = append(errs, page.Error{Field: key + "-one", Message: fmt.Sprintf(
				"Another staff member has just changed %s to “%s” and “%s”. To replace their words with yours, save again", about[key][0], current[key].One, current[key].Many)})
		}
	})
	wanted.Each(func(key string, l **labels.Label) { *l = changes[key] })
	for _, fault := range wanted.Faults() {
		key, part, _ := strings.Cut(fault.Location, ".")
		number := map[string]string{"one": "One", "many": "Several"}[part]
		errs = append(errs, page.Error{Field: key + "-" + part,
			Message: fmt.Sprintf("Enter a word under “%s” for %s, with 1 to %d visible characters", number, about[key][0], int(limits.Label))})
	}
	return typed, wanted, errs
}
