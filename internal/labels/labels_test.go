package labels_test

import (
	"testing"

	"postern/internal/labels"
	"postern/internal/text/language"
)

// In another language the defaults and the names of groups are translated, and a word of the clinic
// stays.
func TestIn(t *testing.T) {
	usual, own := labels.Default(), labels.Default()
	own.Patient, own.Discharged = &labels.Label{One: "Client", Many: "Clients"}, &labels.Label{One: "Former", Many: "Former"}
	usual, own = usual.In(language.Spanish), own.In(language.Spanish)
	for want, got := range map[string]string{
		"Paciente, usuarios del portal":                 usual.Fill("{Patient}, {portal users}"),
		"Usuarios del portal - Pacientes activos":       usual.Group("active_patients"),
		"Usuarios del portal - Pacientes dados de alta": usual.Group("discharged_patients"),
		"Usuarios del portal - Todos":                   usual.Group("all_portal_users"),
		"Client, usuarios del portal":                   own.Fill("{Patient}, {portal users}"),
		"Usuarios del portal - Clients (Former)":        own.Group("discharged_patients"),
		"Representantes autorizados":                    own.AuthorizedRepresentative.Many,
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Fill knows every label in both of its forms, and every group.
func TestFill(t *testing.T) {
	l := labels.Default()
	l.Patient, l.PortalUser = &labels.Label{One: "Client", Many: "Clients"}, &labels.Label{One: "NHS Member", Many: "NHS Members"}
	for text, want := range map[string]string{
		"no label":                         "no label",
		"{Patient}, {Patients}":            "Client, Clients",
		"one {patient}, many {patients}":   "one client, many clients",
		"{portal user} or {portal users}":  "NHS member or NHS members",
		"{authorized representative}":      "authorized representative",
		"“{active_patients}”":              "“NHS Members - Active Clients”",
		"{all_portal_users} {discharged}.": "All NHS Members discharged.",
		"{nothing known}":                  "{nothing known}",
	} {
		if got := l.Fill(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
