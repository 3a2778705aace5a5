package admin

import (
	"cmp"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"postern/internal/labels"
	"postern/internal/limits"
	"postern/internal/text/language"
	"postern/internal/web/page"
)

// labelForm is the data of Custom Labels.
type labelForm struct {
	Labels  []labelFields
	Presets []preset
	// Reads are the typed words in the example, by their fields. The script of the page replaces them
	// while the reader types.
	Reads map[string]template.HTML
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

var presets = []preset{
	{"patient", language.Mark("Patient"), language.Mark("Patients")},
	{"client", language.Mark("Client"), language.Mark("Clients")},
	{"member", language.Mark("Member"), language.Mark("Members")},
}

// presetsIn returns the presets in a language: a preset fills in what its button says.
func presetsIn(l language.Language) []preset {
	all := slices.Clone(presets)
	for i, one := range all {
		all[i] = preset{one.Key, l.Text(one.One), l.Text(one.Many)}
	}
	return all
}

// about is the name and the meaning of each label, in Postern's default words.
var about = map[string][2]string{
	"patient":                   {language.Mark("Patient"), language.Mark("The people the clinic treats.")},
	"portal_user":               {language.Mark("Portal User"), language.Mark("The people who sign in to the portal: patients, and people who act for them.")},
	"authorized_representative": {language.Mark("Authorized Representative"), language.Mark("A person who acts for a patient, such as a parent, guardian or carer.")},
	"discharged":                {language.Mark("Discharged"), language.Mark("A patient who no longer receives services. This word comes before the word for patients: “Discharged Patients”.")},
}

func (p *Pages) labels(w http.ResponseWriter, r *http.Request) error {
	current, err := p.Labels.Chosen(r.Context())
	if err != nil {
		return err
	}
	l := language.From(r.Context())
	current = replaced(current, labels.Default(), defaultsIn(l))
	typed := current
	for _, one := range presetsIn(l) {
		if one.Key == r.FormValue("words") {
			typed.Patient = &labels.Label{One: one.One, Many: one.Many}
		}
	}
	return p.renderLabels(w, r, current, typed, nil)
}

func (p *Pages) renderLabels(w http.ResponseWriter, r *http.Request, current, typed labels.Labels, errs page.Errors) error {
	l := language.From(r.Context())
	form := labelForm{Presets: presetsIn(l), Reads: map[string]template.HTML{}}
	read := func(field, word string) {
		form.Reads[field] = `<b data-reads="` + template.HTML(field) + `">` + l.Isolate(cmp.Or(word, "…")) + `</b>` // #nosec G203 -- a key of labels
	}
	was := byKey(current)
	typed.Each(func(key string, label **labels.Label) {
		name := about[key]
		form.Labels = append(form.Labels, labelFields{Key: key, Name: name[0], Hint: name[1],
			One:  labelField{key + "-one", language.Mark("One"), (*label).One, was[key].One},
			Many: labelField{key + "-many", language.Mark("Several"), (*label).Many, was[key].Many}})
		read(key+"-one", (*label).One)
		read(key+"-many", (*label).Many)
	})
	return p.Render(w, r, set, page.View{Template: "labels.html", Title: "Custom Labels", Section: section, Data: form, Errors: errs})
}

func byKey(l labels.Labels) map[string]labels.Label {
	all := map[string]labels.Label{}
	l.Each(func(key string, label **labels.Label) { all[key] = **label })
	return all
}

// The form shows the default labels in the language of the reader. If the reader keeps them or chooses
// them again, they are stored as the defaults, which every reader sees in their own language.

// defaultsIn returns the default labels in a language.
func defaultsIn(l language.Language) labels.Labels {
	all := labels.Default()
	all.Each(func(_ string, label **labels.Label) {
		*label = &labels.Label{One: l.Text((*label).One), Many: l.Text((*label).Many)}
	})
	return all
}

// replaced returns labels with those of to in place of those that are as in from.
func replaced(all, from, to labels.Labels) labels.Labels {
	former, latter := byKey(from), byKey(to)
	all.Each(func(key string, label **labels.Label) {
		if *label != nil && **label == former[key] {
			other := latter[key]
			*label = &other
		}
	})
	return all
}

// changeLabels changes only the labels that the reader edited. If another staff member
// has renamed a label since the page was made, that name stays.
func (p *Pages) changeLabels(w http.ResponseWriter, r *http.Request) error {
	var current, typed labels.Labels
	var errs page.Errors
	usual := defaultsIn(language.From(r.Context()))
	_, seq, err := p.Labels.Change(r.Context(), page.Subject(r).Actor(), func(now labels.Labels) (wanted labels.Labels, err error) {
		current = replaced(now, labels.Default(), usual)
		if typed, wanted, errs = readLabels(r, byKey(current)); len(errs) > 0 {
			err = errWrongLabels
		}
		return replaced(wanted, usual, labels.Default()), err
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
			errs = append(errs, page.Error{Field: key + "-one", Message: page.T(r,
				"Another staff member has just changed {name} to “{one}” and “{many}”. To replace their words with yours, save again",
				"name", page.T(r, about[key][0]), "one", current[key].One, "many", current[key].Many)})
		}
	})
	wanted.Each(func(key string, l **labels.Label) { *l = changes[key] })
	for _, fault := range wanted.Faults() {
		key, part, _ := strings.Cut(fault.Location, ".")
		number := map[string]string{"one": "One", "many": "Several"}[part]
		errs = append(errs, page.Error{Field: key + "-" + part,
			Message: page.T(r, "Enter a word under “{field}” for {name}, with 1 to {n} visible characters",
				"field", page.T(r, number), "name", page.T(r, about[key][0]), "n", int(limits.Label))})
	}
	return typed, wanted, errs
}
