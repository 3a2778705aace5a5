// Package labels defines Custom Labels: the words that a clinic uses for people, such as
// Client instead of Patient. Labels are shown and never stored with data: a person who is
// called a client on a page is a patient in every event, table and URL.
//
// Package labelstore stores the clinic's labels. This package does no I/O.
package labels

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/text/language"
)

// Label is the clinic's word for one person of a kind, and for several.
type Label struct {
	One  string `json:"one" doc:"1 to {Label}."`
	Many string `json:"many" doc:"1 to {Label}."`
}

// Labels are the words that a clinic can choose. In a change, a nil label stays as it is.
// Labels from labelstore.Store are never nil.
type Labels struct {
	// Language is the language of the texts with these labels: see [Labels.In]. A word that a clinic
	// chose has no other language.
	Language language.Language `json:"-"`

	Patient                  *Label `json:"patient,omitempty"`
	PortalUser               *Label `json:"portal_user,omitempty"`
	AuthorizedRepresentative *Label `json:"authorized_representative,omitempty"`
	Discharged               *Label `json:"discharged,omitempty"`
}

// Each calls f for every label by its key, in a fixed order.
func (l *Labels) Each(f func(key string, label **Label)) {
	f("patient", &l.Patient)
	f("portal_user", &l.PortalUser)
	f("authorized_representative", &l.AuthorizedRepresentative)
	f("discharged", &l.Discharged)
}

// Default returns the labels that apply unless the clinic has chosen others.
func Default() Labels {
	return Labels{
		Patient:                  &Label{language.Mark("Patient"), language.Mark("Patients")},
		PortalUser:               &Label{language.Mark("Portal User"), language.Mark("Portal Users")},
		AuthorizedRepresentative: &Label{language.Mark("Authorized Representative"), language.Mark("Authorized Representatives")},
		Discharged:               &Label{language.Mark("Discharged"), language.Mark("Discharged")},
	}
}

// In returns the labels as pages in a language show them: a default is translated, and a word that
// the clinic chose stays.
func (l Labels) In(to language.Language) Labels {
	usual := map[string]Label{}
	standard := Default()
	standard.Each(func(key string, label **Label) { usual[key] = **label })
	l.Language = to
	l.Each(func(key string, label **Label) {
		if *label != nil && **label == usual[key] {
			*label = &Label{to.Text(usual[key].One), to.Text(usual[key].Many)}
		}
	})
	return l
}

// Group is the label of a group of recipients, such as "Portal Users - Active Patients".
// The name is that of a request: active_patients, discharged_patients, all_portal_users.
func (l Labels) Group(name string) string {
	fill := func(english string) string {
		return l.Language.Text(english, "who", l.PortalUser.Many, "patients", l.Patient.Many, "former", l.Discharged.One)
	}
	switch name {
	case "active_patients":
		return fill(language.Mark("{who} - Active {patients}"))
	case "discharged_patients":
		if *l.Discharged == *Default().In(l.Language).Discharged { // an adjective, which other languages inflect
			return fill(language.Mark("{who} - Discharged {patients}"))
		}
		return fill(language.Mark("{who} - {former} {patients}"))
	default:
		return fill(language.Mark("All {who}"))
	}
}

// Fill translates a text, and puts the clinic's labels into it. In the text, a label is its default
// in braces: {Portal Users}, or {portal users} within a sentence. A group is its name in a request:
// {active_patients}.
func (l Labels) Fill(text string) string {
	text = l.Language.Text(text)
	if !strings.Contains(text, "{") {
		return text
	}
	var pairs []string
	chosen := map[string]*Label{}
	l.Each(func(key string, label **Label) { chosen[key] = *label })
	usual := Default()
	usual.Each(func(key string, label **Label) {
		for _, pair := range [][2]string{{(*label).One, chosen[key].One}, {(*label).Many, chosen[key].Many}} {
			pairs = append(pairs, "{"+pair[0]+"}", pair[1], "{"+Lower(pair[0])+"}", Lower(pair[1]))
		}
	})
	for _, group := range []string{"active_patients", "discharged_patients", "all_portal_users"} {
		pairs = append(pairs, "{"+group+"}", l.Group(group))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// Lower returns a label for use within a sentence: "portal user". A word with a capital
// after its first letter, such as an abbreviation, stays as it is.
func Lower(label string) string {
	words := strings.Fields(label)
	for i, w := range words {
		if rest := []rune(w)[1:]; string(rest) == strings.ToLower(string(rest)) {
			words[i] = strings.ToLower(w)
		}
	}
	return strings.Join(words, " ")
}

// Faults returns the errors in the labels that are not nil. A location is, for example,
// "patient.one".
func (l *Labels) Faults() []problem.Fault {
	var found []problem.Fault
	l.Each(func(key string, label **Label) {
		if *label == nil {
			return
		}
		for _, part := range []struct{ name, text string }{{"one", (*label).One}, {"many", (*label).Many}} {
			hidden := func(r rune) bool { return !unicode.IsGraphic(r) }
			if n := utf8.RuneCountInString(part.text); n > int(limits.Label) || strings.TrimSpace(part.text) == "" || strings.ContainsFunc(part.text, hidden) {
				found = append(found, problem.Fault{Location: key + "." + part.name, Message: fmt.Sprintf("must have 1 to %d visible characters", int(limits.Label))})
			}
		}
	})
	return found
}

// To returns a function that always decides for the wanted labels, whatever the current
// ones are.
func To(wanted Labels) func(Labels) (Labels, error) {
	return func(Labels) (Labels, error) { return wanted, nil }
}
