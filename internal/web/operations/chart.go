package operations

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"postern/internal/health"
	"postern/internal/navigation"
	"postern/internal/text/language"
	"postern/internal/text/zone"
)

// The dimensions of a chart, in units of its SVG.
const (
	chartWide = 720
	chartHigh = 120
	barApart  = 4 // between two bars
)

// overTime is the data of the charts: what happened in the parts of a span.
type overTime struct {
	language.Language
	Span   health.Span
	Spans  []navigation.Item
	Charts []chart
	Bars   []health.Bar
	Read   bool // false: it could not be read
}

// chart shows a number of each part of the span as bars. The table has the same numbers, so
// screen readers skip the chart.
type chart struct {
	ID, Title  string
	Most       string // the highest bar, in words; "" if there is none
	Wide, High int
	Bars       []bar
	Legend     []layer
}

// layer is a part of a bar. Its pattern differs from the others' as well as its colour.
type layer struct{ Name, Colour, Pattern string }

// bar is a layer of the bar of a part of the span.
type bar struct {
	layer
	X, Y, Wide, High int
	Href             string // address of what it counts
	Title            string
}

// layers are all layers, named in English. Every colour has a contrast of 3:1 to the page and to its neighbours' edges.
var (
	delivered = layer{language.Mark("Delivered"), "var(--app-accent)", "plain"}
	opened    = layer{language.Mark("Opened"), "var(--app-accent)", "plain"}
	accepted  = layer{language.Mark("Accepted"), "var(--app-accent)", "plain"}
	skipped   = layer{language.Mark("Skipped"), "var(--app-on-grey)", "lines"}
	unknown   = layer{language.Mark("Unknown"), "var(--app-on-warn)", "dots"}
	failed    = layer{language.Mark("Failed"), "var(--app-danger)", "slant"}
	median    = layer{language.Mark("Half waited no longer"), "var(--app-accent)", "plain"}
	p95       = layer{language.Mark("95% waited no longer"), "var(--app-on-warn)", "lines"}
)

// figures returns the numbers of the layers of a bar, from the bottom to the top.
type figures func(health.Bar) []float64

// chart draws the bars, stacked from the layers. words writes a number.
func (o overTime) chart(id, title string, layers []layer, of figures, words func(float64) string) chart {
	c := chart{ID: id, Title: title, Wide: chartWide, High: chartHigh}
	layers = slices.Clone(layers)
	for i := range layers {
		layers[i].Name = o.Text(layers[i].Name)
	}
	if len(layers) > 1 {
		c.Legend = layers
	}
	most := 0.0
	for _, b := range o.Bars {
		total := 0.0
		for _, n := range of(b) {
			total += n
		}
		most = max(most, total)
	}
	if most == 0 {
		return c
	}
	c.Most = words(most)
	each := chartWide / len(o.Bars)
	for i, b := range o.Bars {
		floor := chartHigh
		numbers := of(b)
		for l, one := range layers {
			if l >= len(numbers) || numbers[l] == 0 {
				continue
			}
			n := numbers[l]
			high := min(max(int(math.Round(n*chartHigh/most)), 2), floor) // so that one in a million is visible
			floor -= high
			c.Bars = append(c.Bars, bar{one, i*each + barApart/2, floor, each - barApart, high, period(b.From, b.To),
				o.Text("{time}. {what}: {number}", "time", o.At(b.From), "what", one.Name, "number", words(n))})
		}
	}
	return c
}

// charts are all charts of the span.
func (o overTime) charts() []chart {
	whole := func(n float64) string { return o.Number(int(n)) }
	wait := func(id, title string, of func(health.Bar) health.Wait) chart {
		return o.chart(id, title, []layer{median, p95}, func(b health.Bar) []float64 {
			w := of(b)
			if w.Median == nil {
				return nil
			}
			return []float64{*w.Median, *w.P95 - *w.Median} // up to the 95 percent
		}, o.inTime)
	}
	return []chart{
		o.chart("delivered", o.Text("Deliveries"), []layer{delivered}, func(b health.Bar) []float64 { return []float64{float64(b.Delivered)} }, whole),
		o.chart("alerts", o.Text("Alerts by state"), []layer{accepted, skipped, unknown, failed}, func(b health.Bar) []float64 {
			return []float64{float64(b.Accepted), float64(b.Skipped), float64(b.Unknown), float64(b.Failed)}
		}, whole),
		o.chart("opened", o.Text("Opened"), []layer{opened}, func(b health.Bar) []float64 { return []float64{float64(b.Opened)} }, whole),
		wait("readable", o.Text("From sending to readable"), func(b health.Bar) health.Wait { return b.Readable }),
		wait("alerted", o.Text("From sending to alerted"), func(b health.Bar) health.Wait { return b.Alerted }),
	}
}

// inTime writes a number of seconds.
func (o overTime) inTime(seconds float64) string {
	switch {
	case seconds < 10:
		return o.Decimal(seconds) + " s"
	case seconds < 120:
		return o.Number(int(math.Round(seconds))) + " s"
	case seconds < 2*3600:
		return o.Number(int(math.Round(seconds/60))) + " min"
	}
	return o.Number(int(math.Round(seconds/3600))) + " h"
}

// Floor is the height of the chart with the line under its bars.
func (c chart) Floor() int { return c.High + 1 }

// At writes the beginning of a part: a day by its date alone.
func (o overTime) At(from time.Time) string {
	from = zone.In(from)
	if o.Span == health.SpanWeek {
		return o.Text("{weekday}, {date}", "weekday", o.Text(weekdays[from.Weekday()]), "date", o.Date(from))
	}
	return o.DateTime(from, false)
}

var weekdays = [...]string{language.Mark("Sunday"), language.Mark("Monday"), language.Mark("Tuesday"), language.Mark("Wednesday"),
	language.Mark("Thursday"), language.Mark("Friday"), language.Mark("Saturday")}

// In writes a wait for the table.
func (o overTime) In(seconds *float64) string {
	if seconds == nil {
		return "–"
	}
	return o.inTime(*seconds)
}

// Any reports whether anything happened in a part of the span.
func (o overTime) Any(b health.Bar) bool {
	return b.Delivered+b.Accepted+b.Failed+b.Skipped+b.Unknown+b.Opened > 0
}

// Href is the address of what a part counts.
func (o overTime) Href(b health.Bar) string { return period(b.From, b.To) }

// Each says what a bar is, and when the first begins.
func (o overTime) Each() string { return o.Text(eachBar[o.Span], "time", o.At(o.Bars[0].From)) }

var eachBar = map[health.Span]string{
	health.SpanHour: language.Mark("Each bar is five minutes, from {time} on."),
	health.SpanDay:  language.Mark("Each bar is an hour, from {time} on."),
	health.SpanWeek: language.Mark("Each bar is a day, from {time} on."),
}

// spanWords names the spans.
var spanWords = map[health.Span]string{health.SpanHour: language.Mark("Last hour"), health.SpanDay: language.Mark("Last day"), health.SpanWeek: language.Mark("Last week")}

// seriesTimeout bounds the wait for the charts: the rest of the page matters more.
const seriesTimeout = 5 * time.Second

// overTime reads the charts of the span in the address.
func (p *Pages) overTime(r *http.Request) overTime {
	o := overTime{Language: language.From(r.Context()), Span: health.Span(r.FormValue("span"))}
	if !slices.Contains(health.Spans, o.Span) {
		o.Span = health.SpanDay
	}
	for _, s := range health.Spans {
		o.Spans = append(o.Spans, navigation.Item{Text: o.Text(spanWords[s]), Href: "/operations?span=" + string(s) + "#over-time", Current: s == o.Span})
	}
	ctx, cancel := context.WithTimeout(r.Context(), seriesTimeout)
	defer cancel()
	var err error
	if o.Bars, err = p.Health.Series(ctx, o.Span); err != nil {
		return o // the page says so, and shows the rest
	}
	o.Read, o.Charts = true, o.charts()
	return o
}

// period is the address of what happened from one time up to another.
func period(from, to time.Time) string {
	q := url.Values{"from": {from.UTC().Format(time.RFC3339)}, "to": {to.UTC().Format(time.RFC3339)}}
	return "/operations/messages?" + q.Encode()
}
