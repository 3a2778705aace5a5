// Package zone is the clinic's time zone: what the wall clock in the clinic shows.
//
// The zone is time.Local of the process. [Use] sets it once at the start, before any
// other part runs, so that every page, mail and print has the same zone, and so that
// "today" is the clinic's day. JSON, CSV and the record are in UTC.
//
// The zones are linked into the program, so that a machine without zoneinfo has them too.
package zone

import (
	"fmt"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // a container without zoneinfo has no other
)

// Load returns the zone of an IANA name, such as Europe/Berlin. An empty name is the
// machine's zone.
func Load(name string) (*time.Location, error) {
	switch {
	case name == "":
		return time.Local, nil
	case strings.EqualFold(name, "local"):
		return nil, fmt.Errorf("%q is not the name of a time zone", name)
	}
	in, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not the name of a time zone", name)
	}
	return in, nil
}

// Use makes the zone of a name the zone of this process; "" leaves that of the machine. Call it once,
// in main, before goroutines are started. A library may have started one in its init, as nats-server
// does: what that reads meanwhile is in either zone.
func Use(name string) error {
	in, err := Load(name)
	if err != nil || name == "" {
		return err
	}
	time.Local = in
	return nil
}

// Clinic returns the clinic's zone.
func Clinic() *time.Location { return time.Local }

// Name returns the name of the clinic's zone, such as Europe/Berlin. If the machine does
// not tell the name of its zone, it is the abbreviation at the time t.
func Name(t time.Time) string {
	if name := time.Local.String(); name != "Local" {
		return strings.TrimPrefix(name, "Etc/")
	}
	if target, err := os.Readlink("/etc/localtime"); err == nil {
		_, name, _ := strings.Cut(target, "zoneinfo/")
		if in, err := time.LoadLocation(name); err == nil && name != "" && same(in, time.Local, t.Year()) {
			return strings.TrimPrefix(name, "Etc/")
		}
	}
	return abbreviation(t.Local())
}

// same reports whether two zones show the same time throughout a year. The environment can
// give a process another zone than the machine's.
func same(a, b *time.Location, year int) bool {
	for month := time.January; month <= time.December; month++ {
		at := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
		if WallOf(at.In(a)) != WallOf(at.In(b)) {
			return false
		}
	}
	return true
}

// Long names the clinic's zone at a time: "Europe/Berlin (CET, UTC+01:00)".
func Long(t time.Time) string {
	local, name := t.Local(), Name(t)
	short, offset := abbreviation(local), Offset(local)
	switch {
	case name == offset: // UTC
		return name
	case short == offset, short == name:
		return name + " (" + offset + ")"
	}
	return name + " (" + short + ", " + offset + ")"
}

// Short names the clinic's zone at a time where space is short: "CET (UTC+01:00)".
func Short(t time.Time) string {
	local := t.Local()
	if short, offset := abbreviation(local), Offset(local); short != offset && short != "UTC" {
		return short + " (" + offset + ")"
	}
	return Offset(local)
}

// abbreviation returns the abbreviation of the zone of t, such as CET; the offset if the
// zone has none.
func abbreviation(t time.Time) string {
	short, _ := t.Zone()
	if short == "" || strings.ContainsAny(short, "+-0123456789") {
		return Offset(t)
	}
	return short
}

// Offset returns the offset of a time from UTC in its zone: "UTC+01:00", or "UTC".
func Offset(t time.Time) string {
	if _, seconds := t.Zone(); seconds == 0 {
		return "UTC"
	}
	return "UTC" + t.Format("-07:00")
}
