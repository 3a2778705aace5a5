package health

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/eventlog/parked"
	"postern/internal/notify/pause"
)

func (b *Status) parked(ctx context.Context, s *State) error {
	open, err := parked.CountOpen(ctx, b.Pool)
	for _, n := range open {
		s.Parked += n
	}
	return err
}

// waiting counts by what holds the alerts, a pause before everything else, and by
// reason. What a worker has in hand for the first time waits for nothing.
func (b *Status) waiting(ctx context.Context, s *State) error {
	rows, err := b.Pool.Query(ctx, `
		SELECT CASE WHEN w.pause IS NULL THEN w.reason ELSE $1 END AS why, count(*), sum(w.alerts)::bigint,
		       min(w.due_at) FILTER (WHERE w.pause IS NULL), nullif(w.pause, $2), coalesce(p.reason, ''), p.paused_at
		FROM app.alerts_waiting w LEFT JOIN record.pauses p ON p.message_id = w.pause
		WHERE w.pause IS NOT NULL OR w.reason <> ''
		GROUP BY why, w.pause, p.reason, p.paused_at ORDER BY count(*) DESC, why, w.pause LIMIT 20`, pause.Held, uuid.Nil)
	if err != nil {
		return fmt.Errorf("counting the alerts that wait: %w", err)
	}
	if s.Waiting, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Waiting]); err != nil {
		return fmt.Errorf("counting the alerts that wait: %w", err)
	}
	return nil
}

// answersOf is how far back answers are counted, and alertsOf alerts.
const (
	answersOf = time.Hour
	alertsOf  = 24 * time.Hour
)

func (b *Status) answers(ctx context.Context, s *State) error {
	rows, err := b.Pool.Query(ctx, `
		SELECT date_trunc('minute', answered_at, 'UTC') AS minute,
		       count(*) FILTER (WHERE answer = 'accepted'), count(*) FILTER (WHERE answer = 'refused'),
		       count(*) FILTER (WHERE answer = 'again'), count(*) FILTER (WHERE answer = 'unknown')
		FROM app.attempts WHERE answered_at > $1 GROUP BY minute ORDER BY minute DESC`, s.At.Add(-answersOf))
	if err != nil {
		return fmt.Errorf("counting SendGrid's answers: %w", err)
	}
	if s.Answers, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Minute]); err != nil {
		return fmt.Errorf("counting SendGrid's answers: %w", err)
	}
	for i := range s.Answers {
		s.Answers[i].At = s.Answers[i].At.UTC()
	}
	return nil
}

// alerts counts the chunks of the last day by the hour in which they came to an end,
// each by its own state but for the recipients whose alert went otherwise: those are
// found by the messages that the chunks are of.
func (b *Status) alerts(ctx context.Context, s *State) error {
	first := s.At.Truncate(time.Hour).Add(time.Hour - alertsOf)
	rows, err := b.Pool.Query(ctx, `
		WITH ended AS (
			SELECT c.message_id, c.chunk, c.alert_state, c.deliveries, date_trunc('hour', c.alert_at, 'UTC') AS hour
			FROM record.chunks c WHERE c.alert_at >= $1),
		apart AS (
			SELECT e.hour, e.alert_state, x.state, count(*) AS n
			FROM ended e JOIN record.alert_exceptions x USING (message_id, chunk) GROUP BY 1, 2, 3),
		counted AS (
			SELECT hour, alert_state AS state, sum(deliveries) AS n FROM ended GROUP BY 1, 2
			UNION ALL SELECT hour, alert_state, -n FROM apart
			UNION ALL SELECT hour, state, n FROM apart)
		SELECT hour, coalesce(sum(n) FILTER (WHERE state = 'accepted'), 0)::bigint, coalesce(sum(n) FILTER (WHERE state = 'failed'), 0)::bigint,
		       coalesce(sum(n) FILTER (WHERE state = 'skipped'), 0)::bigint, coalesce(sum(n) FILTER (WHERE state = 'unknown'), 0)::bigint
		FROM counted GROUP BY hour`, first)
	if err != nil {
		return fmt.Errorf("counting alerts: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Hour])
	if err != nil {
		return fmt.Errorf("counting alerts: %w", err)
	}
	byHour := map[int64]Hour{}
	for _, h := range found {
		byHour[h.At.Unix()] = h
	}
	for at := first; at.Before(s.At); at = at.Add(time.Hour) {
		h := byHour[at.Unix()]
		h.At = at
		s.Alerts = append(s.Alerts, h)
	}
	return nil
}
