package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/internal/recorder/state"
	"postern/internal/store"
)

// Alerts that wait are rows of app.alert_work. See docs/states.md for the states of a row, and
// the view app.alerts_due for the rows that may be taken.

// kind is the kind of a row of app.alert_work.
type kind string

const (
	kindFirst  kind = "first"  // the first attempt at a chunk
	kindReplay kind = "replay" // a part of a replay
)

const (
	retryPoll = 250 * time.Millisecond
	// retryLease is how long a row belongs to the worker that took it, counted from the last
	// renewal. After that another worker may take the row: a crash delays the chunk by that
	// much and loses nothing.
	retryLease = 2 * time.Second
)

// deferRetry stores when a chunk, or a part of a replay, is to be tried again, and releases
// the lease. Once it returns nil the event of the chunk may be acknowledged: from then on the
// row keeps the chunk.
func (w *Worker) deferRetry(ctx context.Context, ref chunkRef, l later, tries int) error {
	if l.due.IsZero() {
		l.due = w.Facts.Now().Add(backoff(tries+1, maxHandlerWait, longBackoff))
	}
	sql := `
		INSERT INTO app.alert_work (message_id, chunk, part, kind, chunks, seq, due_at, tries, reason)
		VALUES ($1, $2, $3, 'first', $7, $8, $4, $5, $6)
		ON CONFLICT (message_id, chunk, part) DO UPDATE
		SET state = 'waiting', lease = NULL, leased_until = NULL, due_at = excluded.due_at, tries = excluded.tries, reason = excluded.reason`
	args := []any{ref.message, ref.chunk, ref.partNr(), l.due, tries + 1, l.reason, ref.chunks, ref.seq}
	if ref.part != nil {
		sql = `UPDATE app.alert_work SET state = 'waiting', lease = NULL, leased_until = NULL, due_at = $4, tries = $5, reason = $6
			WHERE message_id = $1 AND chunk = $2 AND part = $3 AND state <> 'done'`
		args = args[:6]
	}
	if _, err := w.Pool.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("storing the retry of chunk %d of message %s: %w", ref.chunk, ref.message, err)
	}
	return nil
}

// clearRetry deletes the row of a chunk; tries is the number of tries with which it was
// taken. The row of a part was closed, see closePart.
func (w *Worker) clearRetry(ctx context.Context, ref chunkRef, tries int) error {
	if ref.part != nil {
		return nil
	}
	// An answer that came since counted as a try, and its outcome is not published yet: the
	// row is due again.
	_, err := w.Pool.Exec(ctx, `
		WITH cleared AS (
		    DELETE FROM app.alert_work WHERE message_id = $1 AND chunk = $2 AND part = 0 AND (NOT amends OR $3 AND tries = $4) RETURNING 1)
		UPDATE app.alert_work SET state = 'waiting', lease = NULL, leased_until = NULL
		WHERE message_id = $1 AND chunk = $2 AND part = 0 AND NOT EXISTS (SELECT FROM cleared)`,
		ref.message, ref.chunk, ref.amends, tries)
	if err != nil {
		return fmt.Errorf("clearing the retry of chunk %d of message %s: %w", ref.chunk, ref.message, err)
	}
	return nil
}

// RunRetries retries the chunks whose wait is over, until ctx ends.
func (w *Worker) RunRetries(ctx context.Context) error {
	tick := time.NewTicker(retryPoll)
	defer tick.Stop()
	for {
		if err := w.retryDue(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("retrying alerts", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *Worker) retryDue(ctx context.Context) error {
	for {
		if found, err := w.runDue(ctx, kindFirst); err != nil || !found {
			return err
		}
	}
}

// taken is a row of app.alert_work that this worker has leased.
type taken struct {
	chunkRef
	lease  uuid.UUID
	tries  int
	replay state.Replay // the status of its replay
}

// runDue takes the next row of a kind that is due, and returns false where there is none.
func (w *Worker) runDue(ctx context.Context, k kind) (found bool, err error) {
	t, err := w.takeDue(ctx, k)
	if err != nil || t == nil {
		return false, err
	}
	defer store.RenewRow(ctx, retryLease, func(ctx context.Context) (pgconn.CommandTag, error) {
		return w.Pool.Exec(ctx, `UPDATE app.alert_work SET leased_until = $5 WHERE message_id = $1 AND chunk = $2 AND part = $3 AND lease = $4`,
			t.message, t.chunk, t.partNr(), t.lease, w.Facts.Now().Add(retryLease))
	})()
	if t.replay == state.ReplayCancelled {
		return true, w.cancelPart(ctx, t.chunkRef, t.tries)
	}
	return true, w.alertOrDefer(ctx, t.chunkRef, t.tries)
}

// takeDue leases the next row of a kind that is due, and returns nil where there is none.
func (w *Worker) takeDue(ctx context.Context, k kind) (*taken, error) {
	now := w.Facts.Now()
	t, p := &taken{lease: uuid.New()}, &part{}
	err := w.Pool.QueryRow(ctx, `
		UPDATE app.alert_work w SET state = 'leased', lease = $3, leased_until = $4
		FROM (SELECT message_id, chunk, part FROM app.alerts_due WHERE kind = $1 AND ready_at <= $2
		      ORDER BY ready_at, part LIMIT 1 FOR UPDATE SKIP LOCKED) due
		WHERE w.message_id = due.message_id AND w.chunk = due.chunk AND w.part = due.part
		RETURNING w.message_id, w.chunk, w.chunks, w.seq, w.amends AND kind = 'first', w.tries,
		    w.part, coalesce(w.replay_id, $5), w.attempt, coalesce(w.recipients, '{}'), w.wound_up,
		    coalesce((SELECT r.status FROM record.replays r WHERE r.replay_id = w.replay_id), '')`,
		string(k), now, t.lease, now.Add(retryLease), uuid.Nil).
		Scan(&t.message, &t.chunk, &t.chunks, &t.seq, &t.amends, &t.tries, &p.nr, &p.replay, &p.attempt, &p.nos, &p.woundUp, &t.replay)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for alerts that are due: %w", err)
	}
	if k == kindReplay {
		t.part = p
	}
	return t, nil
}
