package fhir

import (
	"testing"
	"time"

	"postern/internal/directory/field"
)

func TestFHIRDates(t *testing.T) {
	for _, c := range []struct{ text, first, last string }{
		{"2012", "2012-01-01", "2012-12-31"},
		{"2012-02", "2012-02-01", "2012-02-29"},
		{"2012-05-03", "2012-05-03", "2012-05-03"},
		{"2012-05-03T23:30:00-04:00", "2012-05-03", "2012-05-03"},
		{"2012-05-03T23:30:00.123Z", "2012-05-03", "2012-05-03"},
		{"0001", "0001-01-01", "0001-12-31"},
		{"", "", ""}, {"0000", "", ""}, {"2012-13", "", ""}, {"2012-05-03T23:30", "", ""}, {"2012T23:30:00Z", "", ""}, {"12", "", ""},
	} {
		first, last, reason := daysOf(c.text)
		if show(first) != c.first || show(last) != c.last || (reason == "") != (c.first != "" || c.text == "") {
			t.Errorf("%q: %s to %s, %q", c.text, show(first), show(last), reason)
		}
	}
}

func show(d field.Date) string {
	if !d.Set {
		return ""
	}
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(d.Day)).Format(time.DateOnly)
}
