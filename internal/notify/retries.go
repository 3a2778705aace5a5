package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const retryPoll = 250 * time.Millisecond

// deferRetry writes down when a chunk is to be taken up again. Once it returns
// nil the event that spoke of the chunk may be acknowledged: the row is what
// remembers it from here on.
func (w *Worker) deferRetry(ctx context.Context, ref chunkRef, l later, tries int) error {
	if l.due.IsZero() {
		l.due = w.Now().Add(backoff(tries+1, maxHandlerWait, longBackoff))
	}
	if ref.part != nil {
		return w.deferPart(ctx, ref.part, l, tries)
	}
	_, err := w.Pool.Exec(ctx, `
		INSERT INTO app.alert_retries (message_id, chunk, chunks, seq, due_at, tries, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (message_id, chunk) DO UPDATE
		SET due_at = excluded.due_at, tries = excluded.tries, reason = excluded.reason`,
		ref.message, ref.chunk, ref.chunks, ref.seq, l.due, tries+1, l.reason)
	if err != nil {
		return fmt.Errorf("putting off chunk %d of message %s: %w", ref.chunk, ref.message, err)
	}
	return nil
}

// clearRetry deletes the row of a chunk that was taken up with so many tries.
func (w *Worker) clearRetry(ctx context.Context, ref chunkRef, tries int) error {
	if ref.part != nil {
		return nil // it was closed
	}
	// An answer that came meanwhile has its outcome still to come, and counted as a try.
	_, err := w.Pool.Exec(ctx, `DELETE FROM app.alert_retries WHERE message_id = $1 AND chunk = $2 AND (NOT amends OR $3 AND tries = $4)`,
		ref.message, ref.chunk, ref.amends, tries)
	if err != nil {
		return fmt.Errorf("clearing the retry of chunk %d of message %s: %w", ref.chunk, ref.message, err)
	}
	return nil
}

// RunRetries takes up the chunks whose wait is over, until ctx ends.
func (w *Worker) RunRetries(ctx context.Context) error {
	tick := time.NewTicker(retryPoll)
	defer tick.Stop()
	for {
		if err := w.retryDue(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("taking up alerts that waited", "error", err)
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
		now := w.Now()
		ends := now.Add(retryLease)
		rows, err := w.Pool.Query(ctx, `
			UPDATE app.alert_retries r SET due_at = $2
			FROM (SELECT message_id, chunk FROM app.alert_retries q WHERE due_at <= $1 AND (`+fmt.Sprintf(notHeld, "q.message_id")+`
			          OR amends AND EXISTS (SELECT FROM record.chunks c WHERE c.message_id = q.message_id AND c.chunk = q.chunk AND c.alert_state <> 'pending'))
			      ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) due
			WHERE r.message_id = due.message_id AND r.chunk = due.chunk
			RETURNING r.message_id, r.chunk, r.chunks, r.seq, r.tries, r.amends`, now, ends)
		if err != nil {
			return fmt.Errorf("looking for alerts that are due: %w", err)
		}
		var ref chunkRef
		var tries int
		found := false
		_, err = pgx.ForEachRow(rows, []any{&ref.message, &ref.chunk, &ref.chunks, &ref.seq, &tries, &ref.amends}, func() error {
			found = true
			return nil
		})
		if err != nil {
			return fmt.Errorf("looking for alerts that are due: %w", err)
		}
		if !found {
			return nil
		}
		stop := w.renewing(ctx, ends, func(ctx context.Context, from, to time.Time) (pgconn.CommandTag, error) {
			return w.Pool.Exec(ctx, `UPDATE app.alert_retries SET due_at = $4 WHERE message_id = $1 AND chunk = $2 AND due_at = $3`,
				ref.message, ref.chunk, from, to)
		})
		err = w.alertOrDefer(ctx, ref, tries)
		stop()
		if err != nil {
			return err
		}
	}
}
