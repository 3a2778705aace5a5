package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/recorder/state"
	"postern/internal/store"
)

// UnknownAlerts repeats unknown alerts for which no report of SendGrid came within After. (A
// report gives an unknown alert its state.) It repeats each alert once; an alert that is
// unknown again waits for an operator.
//
// Any number of processes may run one.
type UnknownAlerts struct {
	*Replays
	After  time.Duration // how long an alert is unknown before it is repeated
	Logger *slog.Logger
}

const (
	notifyWorker = "process:notify-worker"
	repeatEvery  = 5 * time.Second
	whyRepeated  = "SendGrid's answer was never learned, and no report of it came in time"
)

// Run calls Repeat every few seconds until ctx ends.
func (s *UnknownAlerts) Run(ctx context.Context) error {
	tick := time.NewTicker(repeatEvery)
	defer tick.Stop()
	for {
		if err := s.Repeat(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Warn("repeating alerts whose answer was never received", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Repeat plans and starts a replay of the alerts that are due, unless such a replay is
// running or another process does so. A replay that only waits for pauses does not count
// as running: each other message with due alerts gets a replay of its own. A crash between
// a plan and its start leaves the plan, which the next call starts.
func (s *UnknownAlerts) Repeat(ctx context.Context) error {
	err := store.TryAlone(ctx, s.cfg.Pool, store.LeaseSettler, func(_ *pgxpool.Conn, held func(context.Context) error) error {
		return s.repeatDue(ctx, held)
	})
	if errors.Is(err, store.ErrLeaseTaken) {
		return nil
	}
	return err
}

func (s *UnknownAlerts) repeatDue(ctx context.Context, held func(context.Context) error) error {
	open, err := s.open(ctx)
	if err != nil {
		return err
	}
	if err := held(ctx); err != nil {
		return err
	}
	for _, id := range open[Planned] {
		if _, err := s.Start(ctx, notifyWorker, id, 0); err != nil {
			return err
		}
	}
	due := s.cfg.Facts.Now().Add(-s.After).UTC()
	f := Filter{State: []events.AlertState{events.AlertUnknown}, To: &due, Attempt: 1}
	if len(open) == 0 {
		return s.repeat(ctx, held, f)
	}
	if len(open[Planned]) > 0 || len(open[Paused]) > 0 {
		return nil
	}
	messages, err := s.messagesNotHeld(ctx, open[Running], due)
	if err != nil {
		return err
	}
	for _, id := range messages {
		of := f
		of.MessageID = &id
		if err := s.repeat(ctx, held, of); err != nil {
			return err
		}
	}
	return nil
}

// repeat plans and starts a replay of the alerts that the filter chooses, if there are any.
func (s *UnknownAlerts) repeat(ctx context.Context, held func(context.Context) error, f Filter) error {
	if any, err := s.any(ctx, f); err != nil || !any {
		return err
	}
	if err := held(ctx); err != nil {
		return err
	}
	plan, err := s.Plan(ctx, notifyWorker, f, whyRepeated)
	if err != nil {
		return err
	}
	_, err = s.Start(ctx, notifyWorker, plan.ID, 0)
	return err
}

// messagesNotHeld returns messages with due alerts while pauses hold the rest of all running
// replays: messages that no pause holds and that are in none of these replays. It returns
// none where a replay can continue.
func (s *UnknownAlerts) messagesNotHeld(ctx context.Context, running []uuid.UUID, due time.Time) ([]uuid.UUID, error) {
	rows, err := s.cfg.Pool.Query(ctx, `
		SELECT DISTINCT u.message_id
		FROM (SELECT message_id FROM record.alert_exceptions WHERE state = 'unknown' AND attempt = 1 AND at < $2
		      UNION ALL
		      SELECT message_id FROM record.chunks WHERE alert_state = 'unknown' AND alert_attempt = 1 AND alert_at < $2) u
		WHERE NOT EXISTS (SELECT FROM unnest($1::uuid[]) r (id) WHERE (
		        SELECT bool_and(w.pause IS NOT NULL) FROM app.alerts_waiting w WHERE w.replay_id = r.id) IS NOT true)
		  AND NOT EXISTS (SELECT FROM record.held_messages h WHERE h.message_id = u.message_id)
		  AND NOT EXISTS (SELECT FROM app.replay_sets s WHERE s.replay_id = ANY($1) AND s.message_id = u.message_id)
		ORDER BY u.message_id LIMIT 100`, running, due)
	if err != nil {
		return nil, fmt.Errorf("looking for alerts that no pause holds: %w", err)
	}
	messages, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("looking for alerts that no pause holds: %w", err)
	}
	return messages, nil
}

// open returns the this process's own replays that have not ended, by status.
func (s *UnknownAlerts) open(ctx context.Context) (map[state.Replay][]uuid.UUID, error) {
	rows, err := s.cfg.Pool.Query(ctx, `SELECT replay_id, status FROM record.replays
		WHERE status IN ('planned', 'running', 'paused') AND planned_by = $1`, notifyWorker)
	if err != nil {
		return nil, fmt.Errorf("looking for replays under way: %w", err)
	}
	open := map[state.Replay][]uuid.UUID{}
	var id uuid.UUID
	var status state.Replay
	_, err = pgx.ForEachRow(rows, []any{&id, &status}, func() error {
		open[status] = append(open[status], id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for replays under way: %w", err)
	}
	return open, nil
}
