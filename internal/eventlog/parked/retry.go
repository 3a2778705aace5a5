package parked

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/store"
)

// retryPoll is how often a worker looks for decisions.
const retryPoll = 500 * time.Millisecond

// Retry passes parked events for which an operator requested a retry to their lanes'
// handlers, one after another, until ctx ends.
func Retry(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool, logger *slog.Logger, lanes ...consume.Lane) error {
	byName := map[string]consume.Lane{}
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
	lanes map[string]consume.Lane
}

// retryLease is how long the row of an event belongs to the worker that retries it, counted
// from the last renewal. The database's clock decides.
const retryLease = 5 * time.Second

// taken is a parked event that this worker has leased.
type taken struct {
	id       uuid.UUID
	lease    uuid.UUID
	consumer string
	seq      int64
}

// next retries one event, and returns false where none waits. It leases the row, so that
// another worker takes another event; no transaction is open while the handler runs. After
// a crash the lease ends and the event is retried again, so a handler must tolerate that
// as it tolerates a redelivery.
func (r retrier) next(ctx context.Context) (more bool, err error) {
	t, err := r.take(ctx)
	if err != nil || t == nil {
		return false, err
	}
	stop := store.RenewRow(ctx, retryLease, func(ctx context.Context) (pgconn.CommandTag, error) {
		return r.pool.Exec(ctx, `UPDATE app.parked SET leased_until = now() + $2::interval WHERE lease = $1`, t.lease, retryLease)
	})
	failure := consume.Rerun(ctx, r.log, r.lanes[t.consumer], uint64(t.seq)) // #nosec G115 -- a sequence
	stop()
	if failure != nil && (store.Transient(failure) || errors.Is(failure, eventlog.ErrUnavailable)) {
		return false, errors.Join(fmt.Errorf("event %d is tried again later: %w", t.seq, failure), r.release(ctx, t))
	}
	return true, r.settle(ctx, t, failure)
}

// take leases the next event to retry, and returns nil where there is none.
func (r retrier) take(ctx context.Context) (*taken, error) {
	t := &taken{lease: uuid.New()}
	err := r.pool.QueryRow(ctx, `
		UPDATE app.parked SET lease = $2, leased_until = now() + $3::interval
		WHERE parked_id = (
		    SELECT p.parked_id FROM app.parked p
		    JOIN record.parked_decisions d ON d.parked_id = p.parked_id AND d.tries = p.tries AND d.verdict = 'retried'
		    WHERE p.handled_at IS NULL AND p.consumer = ANY($1) AND (p.lease IS NULL OR p.leased_until < now())
		    ORDER BY p.seq LIMIT 1 FOR UPDATE OF p SKIP LOCKED)
		RETURNING parked_id, consumer, seq`,
		slices.Collect(maps.Keys(r.lanes)), t.lease, retryLease).Scan(&t.id, &t.consumer, &t.seq)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for parked events to retry: %w", err)
	}
	return t, nil
}

// release ends the lease of the row, so that the event is tried again.
func (r retrier) release(ctx context.Context, t *taken) error {
	_, err := r.pool.Exec(ctx, `UPDATE app.parked SET lease = NULL, leased_until = NULL WHERE lease = $1`, t.lease)
	return err
}

// settle stores the result of a retry: the event was handled, or is parked again with one
// more try. If another worker leased the row since, settle changes nothing and the other
// worker's result counts.
func (r retrier) settle(ctx context.Context, t *taken, failure error) error {
	sql, args := `UPDATE app.parked SET handled_at = now(), lease = NULL, leased_until = NULL WHERE lease = $1`, []any{t.lease}
	if failure != nil {
		reason, stack := consume.Describe(failure)
		sql = `UPDATE app.parked SET tries = tries + 1, reason = $2, stack = $3, parked_at = now(), lease = NULL, leased_until = NULL WHERE lease = $1`
		args = append(args, reason, stack)
	}
	if _, err := r.pool.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("storing the result of a retry: %w", err)
	}
	return nil
}
