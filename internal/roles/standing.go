package roles

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/position"
	"postern/internal/telemetry"
)

// standing reads how far the recorder is behind the record.
func (b *base) standing(ctx context.Context) (telemetry.Standing, error) {
	state, err := b.log.State(ctx)
	if err != nil {
		return telemetry.Standing{}, err
	}
	s := telemetry.Standing{Last: state.Last, Bytes: state.Bytes}
	if s.Position, err = position.Read(ctx, b.pool); err != nil {
		return s, err
	}
	if s.Position >= s.Last {
		return s, nil
	}
	next, err := b.log.Get(ctx, s.Position+1)
	if errors.Is(err, eventlog.ErrNotFound) {
		return s, nil // a hole: the check of the record speaks of it
	}
	if err != nil {
		return s, err
	}
	// What is no event has no time; it is recorded as such, and parked.
	if e, err := events.Parse(next.Header, next.Data); err == nil {
		s.Behind = max(0, time.Since(e.Time))
	}
	return s, nil
}

// everything reads what /metrics of the api tells besides.
func (b *base) everything(ctx context.Context) (telemetry.Standing, error) {
	s, err := b.standing(ctx)
	if err != nil {
		return s, err
	}
	s.Whole = b.position.Whole(ctx) == nil
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM app.alert_retries`).Scan(&s.Waiting); err != nil {
		return s, fmt.Errorf("counting the alerts that wait: %w", err)
	}
	s.Parked = map[string]int{eventlog.Recorder: 0}
	for _, c := range eventlog.ConsumerConfigs() {
		s.Parked[c.Durable] = 0
	}
	rows, err := b.pool.Query(ctx, `SELECT consumer, count(*) FROM app.parked GROUP BY consumer`)
	if err != nil {
		return s, fmt.Errorf("counting parked events: %w", err)
	}
	var consumer string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&consumer, &n}, func() error { s.Parked[consumer] = n; return nil }); err != nil {
		return s, fmt.Errorf("counting parked events: %w", err)
	}
	return s, nil
}
