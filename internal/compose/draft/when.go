package draft

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"postern/internal/text/zone"
)

// When is the time at which a draft is to be sent, as typed.
type When struct {
	Later            bool   `json:"later"` // false: send at once, and ignore the other fields
	Day, Month, Year string `json:",omitempty"`
	Time             string `json:",omitempty"` // 15:04, or 3:04 pm
	// Offset chooses one of two times, where the clocks go back and show the same hour
	// twice. It is the offset from UTC, as UTC+02:00; an offset that the time does not have
	// chooses nothing.
	Offset string `json:",omitempty"`
}

// Twice is the error if the clocks show a time twice on that day, and it was not chosen which one
// is meant.
type Twice struct{ First, Second time.Time }

// Error implements error.
func (t *Twice) Error() string {
	return "the clocks go back on that day and show this time twice: choose the first (" + zone.Offset(t.First) + ") or the second (" + zone.Offset(t.Second) + ")"
}

// Skipped is the error if the clocks go forward and do not show a time on that day.
type Skipped struct{ Next time.Time } // Next is the next time that they show

// Error implements error.
func (s *Skipped) Error() string {
	return "the clocks go forward on that day and skip this time: the next one is " + s.Next.Format("3:04 pm") + " (" + zone.Offset(s.Next) + ")"
}

var (
	// ErrDay is the error if the day does not exist.
	ErrDay = errors.New("enter a real date, such as 27 3 2027")
	// ErrTime is the error if the time of day does not exist.
	ErrTime = errors.New("enter a time, such as 9:30 am or 14:00")
)

// layouts are the accepted formats of a time of day.
var layouts = []string{"15:04", "15:04:05", "3:04pm", "3pm", "15.04", "3.04pm"}

// At returns the time in the clinic's time zone, or nil for at once. If both the day and
// the time are wrong, its error joins [ErrDay] and [ErrTime]. Where the clocks change, it
// can be [Twice] or [Skipped].
func (w When) At(in *time.Location) (*time.Time, error) {
	if !w.Later {
		return nil, nil
	}
	year, month, day := number(w.Year), number(w.Month), number(w.Day)
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	var noDay error
	if y, m, d := date.Date(); y != year || int(m) != month || d != day || year < 2000 || year > 9999 {
		noDay = ErrDay
	}
	clock, noTime := timeOfDay(w.Time)
	if err := errors.Join(noDay, noTime); err != nil {
		return nil, err
	}
	wall := zone.Wall{Year: year, Month: time.Month(month), Day: day, Hour: clock.Hour(), Minute: clock.Minute()}
	switch times := wall.Times(in); len(times) {
	case 0:
		return nil, &Skipped{Next: wall.Next(in)}
	case 1:
		return &times[0], nil
	default:
		for _, at := range times {
			if zone.Offset(at) == w.Offset {
				return &at, nil
			}
		}
		return nil, &Twice{First: times[0], Second: times[len(times)-1]}
	}
}

// Choice returns the two times of which one is to be chosen, or nil where the clocks show the
// time once, or not at all.
func (w When) Choice(in *time.Location) *Twice {
	w.Offset = ""
	_, err := w.At(in)
	var twice *Twice
	_ = errors.As(err, &twice)
	return twice
}

// WhenAt returns a time as it would be typed, in the clinic's time zone; nil: at once.
func WhenAt(at *time.Time, in *time.Location) When {
	if at == nil {
		return When{}
	}
	local := at.In(in)
	w := When{Later: true, Day: local.Format("2"), Month: local.Format("1"), Year: local.Format("2006"), Time: local.Format("15:04")}
	if w.Choice(in) != nil {
		w.Offset = zone.Offset(local)
	}
	return w
}

func timeOfDay(typed string) (time.Time, error) {
	typed = strings.ReplaceAll(strings.ToLower(typed), " ", "")
	for _, layout := range layouts {
		if t, err := time.Parse(layout, typed); err == nil {
			return t, nil
		}
	}
	return time.Time{}, ErrTime
}

// number returns -1 if typed is not a number.
func number(typed string) int {
	n, err := strconv.Atoi(strings.TrimSpace(typed))
	if err != nil {
		return -1
	}
	return n
}
