package parked

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/store"
)

// retryPoll is how often a worker looks for decisions.
const retryPoll = 500 * time.Millisecond

// Retry hands the parked events of some lanes to their handlers that an operator
// wants retried, one after another, until ctx ends.
func Retry(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool, logger *slog.Logger, lanes ...eventlog.Lane) error {
	byName := map[string]eventlog.Lane{}
	for _, lane := range lanes {
		byName[lane.Consumer] = lane
	}
	r := retrier{log, pool, byName}
	tick := time.NewTicker(retryPoll)
	defer tick.Stop()
	for {
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = r.next(ctx); err != nil && ctx.Err() == nil {
				logger.Warn("retrying a parked event", "error", err)
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

type retrier struct {
	log   *eventlog.Log
	pool  *pgxpool.Pool
	lanes map[string]eventlog.Lane
}

// next sees one event through, and gives false where none waits. The row is locked
// meanwhile: another worker takes another. A crash before the commit leaves the
// decision to be carried out again, which a handler must stand as it stands a
// redelivery.
func (r retrier) next(ctx context.Context) (more bool, err error) {
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		var id uuid.UUID
		var consumer string
		var seq int64
		err := tx.QueryRow(ctx, `
			SELECT p.parked_id, p.consumer, p.seq FROM app.parked p
			JOIN record.parked_decisions d ON d.parked_id = p.parked_id AND d.tries = p.tries AND d.verdict = 'retried'
			WHERE p.handled_at IS NULL AND p.consumer = ANY($1)
			ORDER BY p.seq LIMIT 1 FOR UPDATE OF p SKIP LOCKED`, r.consumers()).Scan(&id, &consumer, &seq)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking for parked events to retry: %w", err)
		}
		failure := r.log.Again(ctx, r.lanes[consumer], uint64(seq)) // #nosec G115 -- a sequence
		if failure != nil && (store.Transient(failure) || errors.Is(failure, eventlog.ErrUnavailable)) {
			return fmt.Errorf("event %d is tried on: %w", seq, failure)
		}
		more = true
		return settle(ctx, tx, id, failure)
	})
	return more, err
}

func (r retrier) consumers() (names []string) {
	for name := range r.lanes {
		names = append(names, name)
	}
	return names
}

// settle writes down what came of a retry: it was handled, or is parked again with a
// try more.
func settle(ctx context.Context, tx pgx.Tx, id uuid.UUID, failure error) error {
	sql, args := `UPDATE app.parked SET handled_at = now() WHERE parked_id = $1`, []any{id}
	if failure != nil {
		reason, stack := eventlog.Describe(failure)
		sql = `UPDATE app.parked SET tries = tries + 1, reason = $2, stack = $3, parked_at = now() WHERE parked_id = $1`
		args = append(args, reason, stack)
	}
	if _, err := tx.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("writing down what came of a retry: %w", err)
	}
	return nil
}
