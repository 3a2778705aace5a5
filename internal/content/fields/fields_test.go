package fields

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFill(t *testing.T) {
	v := Values{Recipient: "Ana {clinic's name}", Clinic: "Lakeside", Telephone: "555 0100"}
	for text, want := range map[string]string{
		"Dear {recipient's name},":                "Dear Ana {clinic's name},", // a value is no text with fields
		"{Clinic’s Name}: {CLINIC'S TELEPHONE}":   "Lakeside: 555 0100",
		"{patient's name} { clinic's name} {} {{": "{patient's name} { clinic's name} {} {{",
		"{{clinic's name}}":                       "{Lakeside}",
		"{clinic's\nname}":                        "{clinic's\nname}",
		"":                                        "",
	} {
		if got := Fill(text, v); got != want {
			t.Errorf("%q is read as %q, want %q", text, got, want)
		}
	}
	if got := Fill("Call {clinic's telephone} of {clinic's name}.", Values{}); got != "Call the clinic’s telephone number of the clinic." {
		t.Errorf("without values it is read as %q", got)
	}
}

func TestWhatATextHas(t *testing.T) {
	text := "{clinic’s name} {recipient's nme} {clinic's name} {recipient's nme} {a b} {1}"
	var names []string
	for _, f := range In(text) {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{"clinic's name"}, names); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"{recipient's nme}", "{a b}"}, Unknown(text)); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
}
