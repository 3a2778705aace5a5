// Package zone is the clinic's time zone: what the wall clock in the clinic shows.
//
// [Use] sets it once at the start, before any other part runs. Every page, mail and print shows
// times by [In], and every clock of this process is [Now], so that "today" is the clinic's day.
// JSON, CSV and the record are in UTC.
//
// time.Local stays the machine's zone, which the lines of logs are in. It can't be changed: libraries
// read it in goroutines that they start before main, as nats-server does.
//
// The zones are linked into the program, so that a machine without zoneinfo has them too.
package zone

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
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

// clinic is the zone that Use has set; nil: that of the machine.
var clinic atomic.Pointer[time.Location]

// Use makes the zone of a name that of the clinic; "" leaves that of the machine. Call it in main, before
// anything else: a time that was formed before is in the zone of before.
func Use(name string) error {
	in, err := Load(name)
	if err != nil || name == "" {
		return err
	}
	clinic.Store(in)
	return nil
}

// Clinic returns the clinic's zone.
func Clinic() *time.Location {
	if in := clinic.Load(); in != nil {
		return in
	}
	return time.Local
}

// In returns a time in the clinic's zone.
func In(t time.Time) time.Time { return t.In(Clinic()) }

// Now returns the time in the clinic's zone: its date is the clinic's today.
func Now() time.Time { return In(time.Now()) }

// Name returns the name of the clinic's zone, such as Europe/Berlin. If the machine does
// not tell the name of its zone, it is the abbreviation at the time t.
func Name(t time.Time) string {
	if name := Clinic().String(); name != "Local" {
		return strings.TrimPrefix(name, "Etc/")
	}
	if target, err := os.Readlink("/etc/localtime"); err == nil {
		_, name, _ := strings.Cut(target, "zoneinfo/")
		if in, err := time.LoadLocation(name); err == nil && name != "" && same(in, Clinic(), t.Year()) {
			return strings.TrimPrefix(name, "Etc/")
		}
	}
	return abbreviation(In(t))
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
	local, name := In(t), Name(t)
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
	local := In(t)
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
