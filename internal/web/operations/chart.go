package operations

import (
	"postern/internal/health"
)

// The measures of the chart, in its own units.
const (
	chartHigh = 120
	barWide   = 22
	barApart  = 26
)

// chart is alerts by hour as bars. It says nothing that the table below it does not,
// so that it is a picture to those who see, and nothing to others.
type chart struct {
	Wide, High int
	Most       int // alerts of the busiest hour
	Bars       []bar
}

// bar is one state's part of one hour.
type bar struct {
	State            string
	X, Y, Wide, High int
}

func chartOf(hours []health.Hour) chart {
	c := chart{Wide: len(hours) * barApart, High: chartHigh}
	for _, h := range hours {
		c.Most = max(c.Most, h.Accepted+h.Failed+h.Skipped+h.Unknown)
	}
	for i, h := range hours {
		floor := chartHigh
		for _, part := range []struct {
			state string
			n     int
		}{{"accepted", h.Accepted}, {"skipped", h.Skipped}, {"unknown", h.Unknown}, {"failed", h.Failed}} {
			if part.n == 0 {
				continue
			}
			high := min(max(part.n*chartHigh/c.Most, 1), floor) // one alert of a million is seen
			floor -= high
			c.Bars = append(c.Bars, bar{part.state, i * barApart, floor, barWide, high})
		}
	}
	return c
}
