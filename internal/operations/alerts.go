package operations

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/parked"
)

func (b *Board) parked(ctx context.Context, s *State) error {
	open, err := parked.CountOpen(ctx, b.Pool)
	for _, n := range open {
		s.Parked += n
	}
	return err
}

// waiting counts by reason; a chunk that is due only in thousands of years is paused.
func (b *Board) waiting(ctx context.Context, s *State) error {
	rows, err := b.Pool.Query(ctx, `
		SELECT reason, count(*), min(due_at) FILTER (WHERE due_at < $1::timestamptz + interval '1 year')
		FROM app.alert_retries GROUP BY reason ORDER BY count(*) DESC, reason LIMIT 20`, s.At)
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

func (b *Board) answers(ctx context.Context, s *State) error {
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
func (b *Board) alerts(ctx context.Context, s *State) error {
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
