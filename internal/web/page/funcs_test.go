package page

import (
	"html/template"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"strings"
	"testing"
	"time"
)

// A time of today, yesterday or tomorrow is called so, at any hour and also on days that do
// not have 24 hours. Any other time has its date.
func TestRecent(t *testing.T) {
	at := func(day, hour, minute int) time.Time {
		return time.Date(2026, 10, day, hour, minute, 0, 0, zone.Clinic())
	}
	for _, c := range []struct {
		at, now time.Time
		want    string
	}{
		{at(25, 0, 0), at(25, 23, 59), "Today, 12:00\u00a0am"},
		{at(25, 14, 3), at(25, 9, 0), "Today, 2:03\u00a0pm"},
		{at(24, 23, 59), at(25, 0, 0), "Yesterday, 11:59\u00a0pm"},
		{at(25, 0, 0), at(26, 23, 59), "Yesterday, 12:00\u00a0am"},
		{at(26, 0, 0), at(25, 23, 59), "Tomorrow, 12:00\u00a0am"},
		{at(23, 23, 59), at(25, 0, 0), "23 October 2026, 11:59\u00a0pm"},
		{at(27, 9, 30), at(25, 23, 59), "27 October 2026, 9:30\u00a0am"},
	} {
		if got := read((moments{language.English}).recent(c.at, c.now)); got != c.want {
			t.Errorf("%v is %q on %v, want %q", c.at, got, c.now, c.want)
		}
	}
	if got := (moments{language.English}).recent((*time.Time)(nil), at(25, 0, 0)); got != "" {
		t.Errorf("a nil time is %q", got)
	}
}

// read returns the text of a piece of HTML.
func read(html template.HTML) string {
	_, text, _ := strings.Cut(string(html), ">")
	text, _, _ = strings.Cut(text, "<")
	return text
}
