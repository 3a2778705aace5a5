package zone

import (
	"testing"
	"time"
)

func in(t *testing.T, name string) *time.Location {
	t.Helper()
	found, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The clocks change: an hour exists twice in autumn, and one does not exist in spring.
func TestTheClocksChange(t *testing.T) {
	for _, c := range []struct {
		zone string
		wall Wall
		at   []string // in UTC
		next string
	}{
		{"Europe/Berlin", Wall{2026, 10, 25, 1, 59}, []string{"2026-10-24T23:59:00Z"}, "2026-10-24T23:59:00Z"},
		{"Europe/Berlin", Wall{2026, 10, 25, 2, 0}, []string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"}, "2026-10-25T00:00:00Z"},
		{"Europe/Berlin", Wall{2026, 10, 25, 2, 59}, []string{"2026-10-25T00:59:00Z", "2026-10-25T01:59:00Z"}, "2026-10-25T00:59:00Z"},
		{"Europe/Berlin", Wall{2026, 10, 25, 3, 0}, []string{"2026-10-25T02:00:00Z"}, "2026-10-25T02:00:00Z"},
		{"Europe/Berlin", Wall{2027, 3, 28, 1, 59}, []string{"2027-03-28T00:59:00Z"}, "2027-03-28T00:59:00Z"},
		{"Europe/Berlin", Wall{2027, 3, 28, 2, 0}, nil, "2027-03-28T01:00:00Z"},
		{"Europe/Berlin", Wall{2027, 3, 28, 2, 59}, nil, "2027-03-28T01:00:00Z"},
		{"Europe/Berlin", Wall{2027, 3, 28, 3, 0}, []string{"2027-03-28T01:00:00Z"}, "2027-03-28T01:00:00Z"},
		{"America/New_York", Wall{2026, 11, 1, 0, 59}, []string{"2026-11-01T04:59:00Z"}, "2026-11-01T04:59:00Z"},
		{"America/New_York", Wall{2026, 11, 1, 1, 30}, []string{"2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"}, "2026-11-01T05:30:00Z"},
		{"America/New_York", Wall{2026, 11, 1, 2, 0}, []string{"2026-11-01T07:00:00Z"}, "2026-11-01T07:00:00Z"},
		{"America/New_York", Wall{2027, 3, 14, 2, 30}, nil, "2027-03-14T07:00:00Z"},
		{"America/New_York", Wall{2027, 3, 14, 3, 0}, []string{"2027-03-14T07:00:00Z"}, "2027-03-14T07:00:00Z"},
		{"Australia/Lord_Howe", Wall{2026, 10, 4, 2, 15}, nil, "2026-10-03T15:30:00Z"}, // half an hour
		{"Pacific/Apia", Wall{2011, 12, 30, 12, 0}, nil, "2011-12-30T10:00:00Z"},       // a whole day
		{"UTC", Wall{2026, 10, 25, 2, 0}, []string{"2026-10-25T02:00:00Z"}, "2026-10-25T02:00:00Z"},
	} {
		where := in(t, c.zone)
		var at []string
		for _, one := range c.wall.Times(where) {
			at = append(at, one.UTC().Format(time.RFC3339))
		}
		if len(at) != len(c.at) || len(at) > 0 && at[0] != c.at[0] || len(at) > 1 && at[1] != c.at[1] {
			t.Errorf("%s, %v is at %v, want %v", c.zone, c.wall, at, c.at)
		}
		if next := c.wall.Next(where).UTC().Format(time.RFC3339); next != c.next {
			t.Errorf("%s, %v: the next is %s, want %s", c.zone, c.wall, next, c.next)
		}
	}
}

// Every minute around the changes of a year is found again from what the clock shows.
func TestWhatTheClockShowsLeadsBack(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"} {
		where := in(t, name)
		for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() == 2026; at = at.Add(15 * time.Minute) {
			found := false
			for _, one := range WallOf(at.In(where)).Times(where) {
				found = found || one.Equal(at)
			}
			if !found {
				t.Fatalf("%s: %s is lost", name, at)
			}
		}
	}
}

// A wrong name is refused, also Local, which is no name.
func TestLoad(t *testing.T) {
	for _, wrong := range []string{"Berlin", "CEST", "Europe/Atlantis", "local", "Local", "../etc/passwd", "+01:00"} {
		if _, err := Load(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	if here, err := Load(""); err != nil || here != time.Local {
		t.Errorf("no name is %v, %v", here, err)
	}
}

// The zone is named with its offset, which is different in summer.
func TestTheZoneIsNamed(t *testing.T) {
	t.Cleanup(func() { clinic.Store(nil) })
	winter, summer := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC), time.Date(2026, 7, 5, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		zone        string
		at          time.Time
		long, short string
	}{
		{"Europe/Berlin", winter, "Europe/Berlin (CET, UTC+01:00)", "CET (UTC+01:00)"},
		{"Europe/Berlin", summer, "Europe/Berlin (CEST, UTC+02:00)", "CEST (UTC+02:00)"},
		{"America/New_York", winter, "America/New_York (EST, UTC-05:00)", "EST (UTC-05:00)"},
		{"Asia/Kathmandu", winter, "Asia/Kathmandu (UTC+05:45)", "UTC+05:45"},
		{"UTC", winter, "UTC", "UTC"},
		{"Europe/London", winter, "Europe/London (GMT, UTC)", "GMT (UTC)"},
	} {
		if err := Use(c.zone); err != nil {
			t.Fatal(err)
		}
		if got := Long(c.at); got != c.long {
			t.Errorf("%s: %q, want %q", c.zone, got, c.long)
		}
		if got := Short(c.at); got != c.short {
			t.Errorf("%s: %q, want %q", c.zone, got, c.short)
		}
	}
}

// The machine's zone is only taken for that of the process if both have the same times.
func TestSame(t *testing.T) {
	berlin := in(t, "Europe/Berlin")
	if !same(berlin, in(t, "Europe/Vienna"), 2026) || same(berlin, in(t, "Africa/Lagos"), 2026) || same(berlin, time.UTC, 2026) {
		t.Error("Berlin has the times of Vienna, of Lagos only in winter, and of UTC never")
	}
}
