package draft

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// When is the time at which a draft is to be sent, as typed.
type When struct {
	Later            bool   `json:"later"` // false: send at once, and ignore the other fields
	Day, Month, Year string `json:",omitempty"`
	Time             string `json:",omitempty"` // 15:04, or 3:04 pm
}

var (
	// ErrDay is the error if the day does not exist.
	ErrDay = errors.New("enter a real date, such as 27 3 2027")
	// ErrTime is the error if the time of day does not exist.
	ErrTime = errors.New("enter a time, such as 9:30 am or 14:00")
	// ErrSkipped is the error if the clocks go forward at that time.
	ErrSkipped = errors.New("there is no such time on that day, because the clocks go forward: choose an hour later")
)

// layouts are the accepted formats of a time of day.
var layouts = []string{"15:04", "15:04:05", "3:04pm", "3pm", "15.04", "3.04pm"}

// At returns the time in the clinic's time zone, or nil for at once. If both the day and
// the time are wrong, its error joins [ErrDay] and [ErrTime].
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
	at := time.Date(year, time.Month(month), day, clock.Hour(), clock.Minute(), 0, 0, in)
	if at.Hour() != clock.Hour() || at.Minute() != clock.Minute() {
		return nil, ErrSkipped
	}
	return &at, nil
}

// WhenAt returns a time as it would be typed, in the clinic's time zone; nil: at once.
func WhenAt(at *time.Time, in *time.Location) When {
	if at == nil {
		return When{}
	}
	local := at.In(in)
	return When{Later: true, Day: local.Format("2"), Month: local.Format("1"), Year: local.Format("2006"), Time: local.Format("15:04")}
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
