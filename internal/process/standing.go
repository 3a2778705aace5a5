package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"postern/internal/eventlog"
	"postern/internal/eventlog/parked"
	"postern/internal/events"
	"postern/internal/recorder/position"
	"postern/internal/telemetry"
)

// last gives the sequence of the last event on the record.
func (b *base) last(ctx context.Context) (uint64, error) {
	state, err := b.log.State(ctx)
	return state.Last, err
}

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
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM app.alert_work WHERE kind = 'first'`).Scan(&s.Waiting); err != nil {
		return s, fmt.Errorf("counting the alerts that wait: %w", err)
	}
	s.Parked = map[string]int{eventlog.Recorder: 0}
	for _, c := range eventlog.ConsumerConfigs() {
		s.Parked[c.Durable] = 0
	}
	open, err := parked.CountOpen(ctx, b.pool)
	if err != nil {
		return s, err
	}
	maps.Copy(s.Parked, open)
	return s, nil
}
