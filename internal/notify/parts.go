package notify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// A part is the set of recipients of one chunk that a replay alerts at a time: a row of
// app.alert_work. No other part makes this attempt at its recipients: see
// app.alert_repeats.
type part struct {
	nr      int64
	replay  uuid.UUID
	attempt int
	nos     []int32 // of its recipients, ascending
	woundUp bool    // no more requests are made for it
}

func (p *part) concerns(no int32) bool {
	_, found := slices.BinarySearch(p.nos, no)
	return found
}

// closePart stores that the outcome of a part is recorded. After a crash before it the
// outcome is published again, under the same id. A shutdown does not interrupt it.
func (w *Worker) closePart(ctx context.Context, ref chunkRef, seq uint64) error {
	p := ref.part
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	// Where an answer came after the claims were read, the part continues with that answer.
	_, err := w.Pool.Exec(ctx, `UPDATE app.alert_work SET state = CASE WHEN amends THEN 'waiting' ELSE 'done' END, lease = NULL, leased_until = NULL,
		done_at = CASE WHEN NOT amends THEN $4::timestamptz END, due_at = CASE WHEN amends THEN $4 ELSE due_at END,
		wound_up = wound_up OR amends, amends = false, outcome = $5 WHERE message_id = $1 AND chunk = $2 AND part = $3 AND kind = 'replay'`,
		ref.message, ref.chunk, p.nr, w.Facts.Now(), seq)
	if err != nil {
		return fmt.Errorf("closing part %d of replay %s: %w", p.nr, p.replay, err)
	}
	return nil
}

// cancelPart ends a part whose replay was cancelled.
func (w *Worker) cancelPart(ctx context.Context, ref chunkRef, tries int) error {
	if !w.take(ref) {
		return fmt.Errorf("part %d of replay %s is in hand already", ref.part.nr, ref.part.replay)
	}
	defer w.giveBack(ref)
	again, err := w.windUp(ctx, ref, true)
	if err != nil || again == nil {
		return err
	}
	return w.deferRetry(ctx, ref, *again, max(tries-1, 0))
}

// windUp ends a part: it makes no more requests and publishes the outcome of the
// recipients for whom a request was made. Another replay may repeat the rest. If this
// replay was not cancelled, the rest were left out because they must not be alerted any
// more, and the reason is stored. A crash after the transaction leaves the outcome to be
// published. Where another worker waits for an answer of the part, windUp changes nothing
// and returns when to try again.
func (w *Worker) windUp(ctx context.Context, ref chunkRef, cancelled bool) (again *later, err error) {
	p := ref.part
	var left *work
	err = pgx.BeginFunc(ctx, w.Pool, func(tx pgx.Tx) error {
		// From here on no request of the part is claimed: see claim.insert.
		if _, err := tx.Exec(ctx, `SELECT FROM app.alert_work WHERE message_id = $1 AND chunk = $2 AND part = $3 FOR UPDATE`, ref.message, ref.chunk, p.nr); err != nil {
			return err
		}
		work, err := load(ctx, tx, ref)
		if err != nil || work.done {
			return err
		}
		if inHand, err := w.settleAbandoned(ctx, tx, work); err != nil {
			return err
		} else if inHand {
			again = w.inHandElsewhere()
			return nil
		}
		var called, rest []int32
		var why []string
		for i, f := range work.results() {
			switch {
			case f == notConcerned:
			case f.state == "" || f.state == events.AlertSkipped:
				rest = append(rest, work.recipients[i].no)
				why = append(why, f.reason)
			default:
				called = append(called, work.recipients[i].no)
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM app.alert_repeats WHERE part = $1 AND message_id = $2 AND attempt = $3
			AND portal_user_no = ANY($4)`, p.nr, ref.message, p.attempt, rest); err != nil {
			return err
		}
		if !cancelled {
			if _, err := tx.Exec(ctx, `INSERT INTO app.replay_left_out AS known (replay_id, reason, alerts)
				SELECT $1, reason, count(*) FROM unnest($2::text[]) reason GROUP BY reason
				ON CONFLICT (replay_id, reason) DO UPDATE SET alerts = known.alerts + excluded.alerts`, p.replay, why); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `UPDATE app.alert_work SET wound_up = true, recipients = coalesce($4::integer[], '{}'),
			state = CASE WHEN $5 THEN 'done' ELSE state END, done_at = CASE WHEN $5 THEN $6::timestamptz END,
			amends = amends AND NOT $5, lease = CASE WHEN NOT $5 THEN lease END, leased_until = CASE WHEN NOT $5 THEN leased_until END
			WHERE message_id = $1 AND chunk = $2 AND part = $3`,
			ref.message, ref.chunk, p.nr, called, len(called) == 0, w.Facts.Now())
		p.nos, left = called, work
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("winding up part %d of replay %s: %w", p.nr, p.replay, err)
	}
	if left == nil || len(p.nos) == 0 {
		return again, nil
	}
	return nil, w.publish(ctx, left, left.results())
}

// RunReplays carries out the running replays, until ctx ends. It reads from the record
// whether a replay was started, paused or cancelled; no other process notifies it.
func (w *Worker) RunReplays(ctx context.Context) error {
	tick := time.NewTicker(retryPoll)
	defer tick.Stop()
	for {
		if err := w.ReplayDue(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("carrying out a replay", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ReplayDue sends all alerts of replays that are due now. It takes one part and finishes it
// before the next, so that a pause or a cancellation takes effect at once.
func (w *Worker) ReplayDue(ctx context.Context) error {
	for {
		if err := w.awaitSettled(ctx); err != nil {
			return err
		}
		took, err := w.replays.Take(ctx)
		if err != nil {
			return err
		}
		ran, err := w.runDue(ctx, kindReplay)
		if err != nil {
			return err
		}
		if !took && !ran {
			return w.replays.Complete(ctx)
		}
	}
}
