package zone

import (
	"slices"
	"time"
)

// Wall is what a clock on a wall shows: a date and a time of day, without a zone.
type Wall struct {
	Year         int
	Month        time.Month
	Day          int
	Hour, Minute int
}

// WallOf returns what the clocks in the zone of t show.
func WallOf(t time.Time) Wall {
	year, month, day := t.Date()
	return Wall{year, month, day, t.Hour(), t.Minute()}
}

// Times returns the times at which the clocks in a zone show w, in their order: usually
// one, two where the clocks went back in between, none where they skip w because they go
// forward.
func (w Wall) Times(in *time.Location) []time.Time {
	var times []time.Time
	for _, offset := range w.offsets(in) {
		at := w.utc().Add(-offset).In(in)
		if WallOf(at) == w && !slices.ContainsFunc(times, at.Equal) {
			times = append(times, at)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// Next returns the first time, from w on, that the clocks in a zone show. If they skip w,
// it is the time at which they go forward.
func (w Wall) Next(in *time.Location) time.Time {
	if times := w.Times(in); len(times) > 0 {
		return times[0]
	}
	// The clocks go forward at the end of the period that has the earlier offset. That
	// offset is the smaller one, so w is later in UTC by it.
	around := w.near(in)
	for _, t := range around {
		_, end := t.ZoneBounds()
		if !end.IsZero() && !w.utc().Add(-offsetOf(t)).Before(end) && offsetOf(end) > offsetOf(t) {
			return end
		}
	}
	return w.utc().Add(-offsetOf(around[0])).In(in) // not reached: a time that the clocks skip has a change near it
}

// utc returns the time at which the clocks in UTC show w.
func (w Wall) utc() time.Time {
	return time.Date(w.Year, w.Month, w.Day, w.Hour, w.Minute, 0, 0, time.UTC)
}

// near returns times around w in a zone, before and after every change of the clocks that
// can concern w: offsets are less than a day.
func (w Wall) near(in *time.Location) []time.Time {
	const day = 24 * time.Hour
	return []time.Time{w.utc().Add(-day).In(in), w.utc().In(in), w.utc().Add(day).In(in)}
}

// offsets returns the offsets from UTC around w in a zone.
func (w Wall) offsets(in *time.Location) (all []time.Duration) {
	for _, t := range w.near(in) {
		all = append(all, offsetOf(t))
	}
	return all
}

func offsetOf(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}
