// Package labels is how a clinic names things (Custom Labels): some say Client
// where others say Patient. Labels are shown and never stored with data: what is
// called a client on a page is a patient in every event, table and address.
//
// Package labelstore keeps what the clinic has chosen; this package does no I/O.
package labels

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/internal/problem"
)

// Most is how many characters a label may have.
const Most = 40

// Label is how the clinic names one of something, and several.
type Label struct {
	One  string `json:"one" doc:"1 to 40 characters."`
	Many string `json:"many" doc:"1 to 40 characters."`
}

// Labels are the names that a clinic can choose. In a change, those that are nil
// stay as they are; as labelstore.Store gives them, none is.
type Labels struct {
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

// Default is how things are named where the clinic chose nothing.
func Default() Labels {
	return Labels{
		Patient:                  &Label{"Patient", "Patients"},
		PortalUser:               &Label{"Portal User", "Portal Users"},
		AuthorizedRepresentative: &Label{"Authorized Representative", "Authorized Representatives"},
		Discharged:               &Label{"Discharged", "Discharged"},
	}
}

// Group is what a group of recipients is called: "Portal Users - Active Patients". Each
// is named as in a request: active_patients, discharged_patients, all_portal_users.
func (l Labels) Group(name string) string {
	switch name {
	case "active_patients":
		return l.PortalUser.Many + " - Active " + l.Patient.Many
	case "discharged_patients":
		return l.PortalUser.Many + " - " + l.Discharged.One + " " + l.Patient.Many
	default:
		return "All " + l.PortalUser.Many
	}
}

// Faults says what is wrong with the labels that are given: the location is "patient.one".
func (l *Labels) Faults() []problem.Fault {
	var found []problem.Fault
	l.Each(func(key string, label **Label) {
		if *label == nil {
			return
		}
		for _, part := range []struct{ name, text string }{{"one", (*label).One}, {"many", (*label).Many}} {
			hidden := func(r rune) bool { return !unicode.IsGraphic(r) }
			if n := utf8.RuneCountInString(part.text); n > Most || strings.TrimSpace(part.text) == "" || strings.ContainsFunc(part.text, hidden) {
				found = append(found, problem.Fault{Location: key + "." + part.name, Message: fmt.Sprintf("must have 1 to %d visible characters", Most)})
			}
		}
	})
	return found
}

// To is what decides for the labels that are wanted, whatever they are now.
func To(wanted Labels) func(Labels) (Labels, error) {
	return func(Labels) (Labels, error) { return wanted, nil }
}
