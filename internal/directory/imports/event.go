package imports

import (
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
)

// Event returns the event that records the result of an import.
func (s Summary) Event(source, actor, format string, at time.Time) (events.Event, error) {
	tally := func(c Changes) events.ImportTally {
		return events.ImportTally{New: c.New, Changed: c.Changed, Unchanged: c.Unchanged}
	}
	return events.New(source, actor, at, events.DirectoryImported{ImportID: uuid.New(), Format: format,
		Patients: tally(s.Patients), PortalUsers: tally(s.PortalUsers), Links: tally(s.Links)})
}
