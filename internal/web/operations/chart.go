package operations

import (
	"postern/internal/health"
)

// The dimensions of the chart, in units of its SVG.
const (
	chartHigh = 120
	barWide   = 22
	barApart  = 26
)

// chart shows the alerts of each hour as bars. The table below it has the same numbers,
// so screen readers skip the chart.
type chart struct {
	Wide, High int
	Most       int // number of alerts in the busiest hour
	Bars       []bar
}

// bar is the part of one alert state in one hour.
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
			high := min(max(part.n*chartHigh/c.Most, 1), floor) // at least one unit, so that one alert in a million is visible
			floor -= high
			c.Bars = append(c.Bars, bar{part.state, i * barApart, floor, barWide, high})
		}
	}
	return c
}
