package health

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/text/zone"
)

// A Span is a length of time that [Status.Series] counts.
type Span string

// The spans: the last hour by five minutes, the last day by the hour, and the last week by the day.
const (
	SpanHour Span = "hour"
	SpanDay  Span = "day"
	SpanWeek Span = "week"
)

// Spans are all spans, the shortest first.
var Spans = []Span{SpanHour, SpanDay, SpanWeek}

// Bar is what happened in a part of a span.
type Bar struct {
	From      time.Time `json:"from" doc:"The beginning."`
	To        time.Time `json:"to" doc:"The end, which does not belong to it."`
	Delivered int       `json:"delivered" doc:"Deliveries that came to be readable."`
	Accepted  int       `json:"accepted" doc:"Alerts that were settled, and are accepted now."`
	Failed    int       `json:"failed" doc:"Alerts that were settled, and are failed now."`
	Skipped   int       `json:"skipped" doc:"Alerts that were settled, and are skipped now."`
	Unknown   int       `json:"unknown" doc:"Alerts that were settled, and are unknown now."`
	Opened    int       `json:"opened" doc:"Deliveries that were opened for the first time."`
	// Readable and Alerted are from the sending or the release of the message.
	Readable Wait `json:"readable" doc:"From the sending of a message to its deliveries being readable, in seconds."`
	Alerted  Wait `json:"alerted" doc:"From the sending of a message to its alerts being accepted at the first attempt, in seconds."`
}

// Wait is how long something took, of all to whom it happened.
type Wait struct {
	Median *float64 `json:"median" doc:"Half of them waited no longer; null where there are none."`
	P95    *float64 `json:"p95" doc:"95 percent of them waited no longer; null where there are none."`
}

// parts returns the bounds of the parts of a span that ends with the part of now: n+1 times for n
// parts. Days are those of now's zone.
func (s Span) parts(now time.Time) (bounds []time.Time) {
	switch s {
	case SpanHour:
		for at, i := now.Truncate(5*time.Minute).Add(-55*time.Minute), 0; i <= 12; at, i = at.Add(5*time.Minute), i+1 {
			bounds = append(bounds, at)
		}
	case SpanWeek:
		for i := -6; i <= 1; i++ {
			bounds = append(bounds, time.Date(now.Year(), now.Month(), now.Day()+i, 0, 0, 0, 0, now.Location()))
		}
	default:
		for at, i := now.Truncate(time.Hour).Add(-23*time.Hour), 0; i <= 24; at, i = at.Add(time.Hour), i+1 {
			bounds = append(bounds, at)
		}
	}
	return bounds
}

// Series counts what happened in the parts of a span, the earliest first. It reads a row for each
// chunk, exception and opening of the span, along indexes: see ADR 81 for the price.
func (h *Status) Series(ctx context.Context, span Span) ([]Bar, error) {
	bounds := span.parts(zone.In(h.cfg.Now()))
	bars := make([]Bar, len(bounds)-1)
	for i := range bars {
		bars[i].From, bars[i].To = bounds[i].UTC(), bounds[i+1].UTC()
	}
	for _, one := range []struct {
		sql string
		to  func(*Bar) []any
	}{
		{deliveredOver, func(b *Bar) []any { return []any{&b.Delivered, &b.Readable.Median, &b.Readable.P95} }},
		{alertsOver, func(b *Bar) []any { return []any{&b.Accepted, &b.Failed, &b.Skipped, &b.Unknown} }},
		{alertedOver, func(b *Bar) []any { return []any{new(int), &b.Alerted.Median, &b.Alerted.P95} }},
		{openedOver, func(b *Bar) []any { return []any{&b.Opened} }},
	} {
		rows, err := h.cfg.Pool.Query(ctx, one.sql, bounds)
		if err != nil {
			return nil, fmt.Errorf("counting over time: %w", err)
		}
		if err := readBars(rows, bars, one.to); err != nil {
			return nil, fmt.Errorf("counting over time: %w", err)
		}
	}
	return bars, nil
}

// readBars reads rows of which the first column is the number of a bar, counted from 1.
func readBars(rows pgx.Rows, bars []Bar, to func(*Bar) []any) error {
	defer rows.Close()
	for rows.Next() {
		var place int
		if err := rows.Scan(append([]any{&place}, to(&Bar{})...)...); err != nil { // which bar
			return fmt.Errorf("reading a bar: %w", err)
		}
		if err := rows.Scan(append([]any{&place}, to(&bars[place-1])...)...); err != nil {
			return fmt.Errorf("reading a bar: %w", err)
		}
	}
	return rows.Err()
}

// In these statements, $1 are the bounds of the parts, and within is the condition on a time.
const (
	first  = `($1::timestamptz[])[1]`
	beyond = `($1::timestamptz[])[array_upper($1::timestamptz[], 1)]`

	// weighed finds, of chunks with a bar, a wait in seconds and a number n, how long the half, and
	// 95 percent, of them waited at most.
	weighed = `, weighed AS (
	        SELECT bar, n, seconds, sum(n) OVER (PARTITION BY bar ORDER BY seconds ROWS UNBOUNDED PRECEDING) AS upto, sum(n) OVER (PARTITION BY bar) AS total
	        FROM waits)
	    SELECT bar, max(total)::bigint, min(seconds) FILTER (WHERE upto * 2 >= total), min(seconds) FILTER (WHERE upto * 20 >= total * 19)
	    FROM weighed GROUP BY bar`

	deliveredOver = `WITH waits AS (
	        SELECT width_bucket(c.delivered_at, $1::timestamptz[]) AS bar, c.deliveries AS n,
	               greatest(extract(epoch FROM c.delivered_at - coalesce(m.released_at, m.sent_at)), 0)::float8 AS seconds
	        FROM record.chunks c JOIN record.messages m USING (message_id)
	        WHERE c.delivered_at >= ` + first + ` AND c.delivered_at < ` + beyond + `)` + weighed

	alertedOver = `WITH waits AS (
	        SELECT width_bucket(c.alert_at, $1::timestamptz[]) AS bar, c.deliveries AS n,
	               greatest(extract(epoch FROM c.alert_at - coalesce(m.released_at, m.sent_at)), 0)::float8 AS seconds
	        FROM record.chunks c JOIN record.messages m USING (message_id)
	        WHERE c.alert_at >= ` + first + ` AND c.alert_at < ` + beyond + ` AND c.alert_state = 'accepted')` + weighed

	openedOver = `SELECT width_bucket(opened_at, $1::timestamptz[]), count(*) FROM record.opens
	    WHERE opened_at >= ` + first + ` AND opened_at < ` + beyond + ` GROUP BY 1`

	// Each chunk counts with its own state, except for recipients whose alert has another state.
	alertsOver = `WITH ended AS (
	        SELECT c.message_id, c.chunk, c.alert_state, c.deliveries, width_bucket(c.alert_at, $1::timestamptz[]) AS bar
	        FROM record.chunks c WHERE c.alert_at >= ` + first + ` AND c.alert_at < ` + beyond + `),
	    apart AS (
	        SELECT e.bar, e.alert_state, x.state, count(*) AS n
	        FROM ended e JOIN record.alert_exceptions x USING (message_id, chunk) GROUP BY 1, 2, 3),
	    counted AS (
	        SELECT bar, alert_state AS state, sum(deliveries) AS n FROM ended GROUP BY 1, 2
	        UNION ALL SELECT bar, alert_state, -n FROM apart
	        UNION ALL SELECT bar, state, n FROM apart)
	    SELECT bar, coalesce(sum(n) FILTER (WHERE state = 'accepted'), 0)::bigint, coalesce(sum(n) FILTER (WHERE state = 'failed'), 0)::bigint,
	           coalesce(sum(n) FILTER (WHERE state = 'skipped'), 0)::bigint, coalesce(sum(n) FILTER (WHERE state = 'unknown'), 0)::bigint
	    FROM counted GROUP BY bar`
)
