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
	"postern/internal/store"
)

// A Settler repeats alerts whose answer was never learned and that no report of
// SendGrid has named within a wait: whichever a report names is unknown no more.
// Each alert is repeated once so; what is unknown again waits for an operator.
//
// Any number of processes may run one.
type Settler struct {
	*Book
	After  time.Duration // an alert is unknown for so long before it is repeated
	Logger *slog.Logger
}

const (
	settler     = "process:notify-worker"
	settleEvery = 5 * time.Second
	whySettled  = "SendGrid's answer was never learned, and no report of it came in time"
)

// Run settles until ctx ends.
func (s *Settler) Run(ctx context.Context) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		if err := s.Settle(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Warn("settling alerts whose answer was never learned", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Settle plans and starts a replay of what is due, unless one is under way, or another
// process does so. A crash between the two leaves a plan, which the next Settle starts.
func (s *Settler) Settle(ctx context.Context) error {
	err := store.TryAlone(ctx, s.Pool, store.LeaseSettler, func(_ *pgxpool.Conn, held func(context.Context) error) error {
		return s.settle(ctx, held)
	})
	if errors.Is(err, store.ErrLeaseTaken) {
		return nil
	}
	return err
}

func (s *Settler) settle(ctx context.Context, held func(context.Context) error) error {
	open, err := s.open(ctx)
	if err != nil {
		return err
	}
	if err := held(ctx); err != nil {
		return err
	}
	for _, id := range open[Planned] {
		if _, err := s.Start(ctx, settler, id, 0); err != nil {
			return err
		}
	}
	if len(open) > 0 {
		return nil
	}
	due := s.Now().Add(-s.After).UTC()
	f := Filter{State: []events.AlertState{events.AlertUnknown}, To: &due, Attempt: 1}
	if any, err := s.any(ctx, f); err != nil || !any {
		return err
	}
	if err := held(ctx); err != nil {
		return err
	}
	plan, err := s.Plan(ctx, settler, f, whySettled)
	if err != nil {
		return err
	}
	_, err = s.Start(ctx, settler, plan.ID, 0)
	return err
}

// open gives the settler's own replays that are not done, by state.
func (s *Settler) open(ctx context.Context) (map[string][]uuid.UUID, error) {
	rows, err := s.Pool.Query(ctx, `SELECT replay_id, status FROM record.replays
		WHERE status IN ('planned', 'running', 'paused') AND planned_by = $1`, settler)
	if err != nil {
		return nil, fmt.Errorf("looking for replays under way: %w", err)
	}
	open := map[string][]uuid.UUID{}
	var id uuid.UUID
	var status string
	_, err = pgx.ForEachRow(rows, []any{&id, &status}, func() error {
		open[status] = append(open[status], id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for replays under way: %w", err)
	}
	return open, nil
}
