package compose_test

import (
	"strconv"
	"testing"

	"postern/internal/access/policy"
	"postern/internal/web/webtest"
)

// A sender schedules a message for half past two on the night on which the clocks go back,
// and chooses the second of the two.
func TestErrandScheduleInTheDoubledHour(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	people(t, s)
	e := webtest.StaffErrand(t, s, s.NewStaff(t, "Sam Staff", policy.SendPortalMessage))
	e.Click("Compose")
	e.Click("Patient Portal Message")
	e.Click("Add Recipient(s)")
	e.Type("Add User", "Adams, Ann")
	e.Click("Add Ann Adams")
	e.Type("Subject", "The clocks")
	e.Type("Message", "They went back.")
	e.Click("Send at a date and time")
	night := clockChange(t, 2)
	e.Type("Day", strconv.Itoa(night.Day))
	e.Type("Month", strconv.Itoa(int(night.Month)))
	e.Type("Year", strconv.Itoa(night.Year))
	e.Type("Time", "2:30 am")
	e.Sees("Which of the two?", "The first: 2:30 am CEST (UTC+02:00)")
	e.Screenshot("compose-doubled-hour")
	e.Accessible()
	e.Click("The second, after the clocks went back: 2:30 am CET (UTC+01:00)")
	e.Click("Check before you send")
	e.Sees("2:30 am CET (UTC+01:00), in the clinic’s time zone, Europe/Berlin")
	e.Click("Schedule message")
	e.Sees("The message goes out", "2:30 am CET (UTC+01:00)")
	e.Done()
}

// A sender writes to a representative of two patients about one of them, after the page has asked
// whom the message concerns. The next page says it, and so does the list of recipients.
func TestErrandWriteAboutOneOfTwoPatients(t *testing.T) {
	t.Parallel()
	s := webtest.New(t)
	people(t, s)
	e := webtest.StaffErrand(t, s, s.NewStaff(t, "Sam Staff", policy.SendPortalMessage))
	e.Click("Compose")
	e.Click("Patient Portal Message")
	e.Click("Add Recipient(s)")
	e.Type("Add User", "Adams, Ben")
	e.Click("Add Ben Adams")
	e.Type("Subject", "Her visit")
	e.Type("Message", "Please bring her letters.")
	e.Click("Check before you send")
	e.Sees("Choose whom the message concerns")
	e.Screenshot("compose-whom-it-concerns")
	e.Accessible()
	e.Click("Ann Adams")
	e.Click("Check before you send")
	e.Sees("Concerns: Ann Adams")
	e.Accessible()
	e.Screenshot("check-whom-it-concerns")
	e.Click("Send message")
	e.Sees("Her visit")
	e.Done()
}
