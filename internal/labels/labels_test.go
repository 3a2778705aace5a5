package labels_test

import (
	"testing"

	"postern/internal/labels"
)

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
