package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/internal/events"
)

// A part is what a replay takes of one chunk at a time: a row of
// app.replay_parts. Nobody else ever makes this attempt at its recipients: see
// app.alert_repeats.
type part struct {
	nr      int64
	replay  uuid.UUID
	attempt int
	nos     []int32 // of its recipients, ascending
}

func (p *part) concerns(no int32) bool {
	_, found := slices.BinarySearch(p.nos, no)
	return found
}

// burst is the share of a minute's alerts that a replay takes at a time.
const burst = 6

// take gives how many alerts a replay takes at a time: at no limit a whole chunk.
func take(rate int) int {
	if rate == 0 {
		return events.ChunkSize
	}
	return min(events.ChunkSize, max(1, rate/burst))
}

// cut takes the next part of a replay that runs and whose pace allows it, and
// gives false where there is none.
//
// The part, who is in it, and when the next may be taken are committed at once. A
// crash before leaves nothing; after, a part that is due, and that no call was
// made for.
func (w *Worker) cut(ctx context.Context) (found bool, err error) {
	err = pgx.BeginFunc(ctx, w.Pool, func(tx pgx.Tx) error {
		var replay uuid.UUID
		var rate int
		err := tx.QueryRow(ctx, `
			SELECT replay_id, r.rate FROM app.replay_pace p JOIN record.replays r USING (replay_id)
			WHERE r.status = 'running' AND NOT p.taken AND p.next_at <= $1
			ORDER BY p.next_at LIMIT 1 FOR UPDATE OF p SKIP LOCKED`, w.Now()).Scan(&replay, &rate)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		return w.cutOf(ctx, tx, replay, rate)
	})
	if err != nil {
		return false, fmt.Errorf("taking the next part of a replay: %w", err)
	}
	return found, nil
}

func (w *Worker) cutOf(ctx context.Context, tx pgx.Tx, replay uuid.UUID, rate int) error {
	var set int
	var nos []int32
	err := tx.QueryRow(ctx, `
		UPDATE app.replay_sets s SET taken = least(s.taken + $2, cardinality(s.recipients))
		FROM (SELECT nr, taken FROM app.replay_sets WHERE replay_id = $1 AND taken < cardinality(recipients) ORDER BY nr LIMIT 1) next
		WHERE s.replay_id = $1 AND s.nr = next.nr
		RETURNING s.nr, s.recipients[next.taken + 1 : s.taken]`, replay, take(rate)).Scan(&set, &nos)
	if errors.Is(err, pgx.ErrNoRows) {
		_, err = tx.Exec(ctx, `UPDATE app.replay_pace SET taken = true WHERE replay_id = $1`, replay)
		return err
	}
	if err != nil {
		return err
	}
	// Accepted, opened or repeated since the plan: whoever is, is left out here, and
	// of two replays that come to the same alert the first claims it for good.
	tag, err := tx.Exec(ctx, `
		WITH own AS (SELECT nextval('app.replay_part') AS part), claimed AS (
		    INSERT INTO app.alert_repeats (message_id, portal_user_no, attempt, part)
		    SELECT s.message_id, no, s.attempt + 1, own.part
		    FROM own, app.replay_sets s, unnest($3::integer[]) no
		    CROSS JOIN LATERAL (
		        SELECT * FROM record.delivery_status d
		        WHERE d.message_id = s.message_id AND d.portal_user_no = no LIMIT 1) d
		    WHERE s.replay_id = $1 AND s.nr = $2 AND d.opened_at IS NULL
		      AND d.alert_state IN ('failed', 'unknown') AND d.alert_attempts = s.attempt
		    ORDER BY no
		    ON CONFLICT DO NOTHING RETURNING portal_user_no)
		INSERT INTO app.replay_parts (part, replay_id, message_id, chunk, chunks, attempt, recipients, due_at)
		SELECT own.part, s.replay_id, s.message_id, s.chunk, s.chunks, s.attempt + 1,
		       (SELECT array_agg(portal_user_no ORDER BY portal_user_no) FROM claimed), $4
		FROM own, app.replay_sets s WHERE s.replay_id = $1 AND s.nr = $2 AND EXISTS (SELECT FROM claimed)`,
		replay, set, nos, w.Now())
	if err != nil || rate == 0 || tag.RowsAffected() == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE app.replay_pace SET next_at = $2::timestamptz + (SELECT cardinality(recipients) FROM app.replay_parts
		    WHERE replay_id = $1 ORDER BY part DESC LIMIT 1) * interval '1 minute' / $3::integer
		WHERE replay_id = $1`, replay, w.Now(), rate)
	return err
}

// runPart takes up a part that is due, and gives false where there is none. What
// is left of a replay that was cancelled is wound up.
func (w *Worker) runPart(ctx context.Context) (found bool, err error) {
	now := w.Now()
	ends := now.Add(retryLease)
	p, ref := &part{}, chunkRef{}
	var tries int
	var status string
	err = w.Pool.QueryRow(ctx, `
		UPDATE app.replay_parts p SET due_at = $2
		FROM (SELECT part, r.status FROM app.replay_parts JOIN record.replays r USING (replay_id)
		      WHERE done_at IS NULL AND due_at <= $1 AND r.status IN ('running', 'cancelled')
		      ORDER BY due_at, part LIMIT 1 FOR UPDATE OF replay_parts SKIP LOCKED) due
		WHERE p.part = due.part
		RETURNING p.part, p.replay_id, p.message_id, p.chunk, p.chunks, p.attempt, p.recipients, p.tries, due.status`,
		now, ends).Scan(&p.nr, &p.replay, &ref.message, &ref.chunk, &ref.chunks, &p.attempt, &p.nos, &tries, &status)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for parts of replays that are due: %w", err)
	}
	ref.part = p
	defer w.renewing(ctx, ends, func(ctx context.Context, from, to time.Time) (pgconn.CommandTag, error) {
		return w.Pool.Exec(ctx, `UPDATE app.replay_parts SET due_at = $3 WHERE part = $1 AND due_at = $2`, p.nr, from, to)
	})()
	if status == "cancelled" {
		return true, w.windUp(ctx, ref)
	}
	return true, w.alertOrDefer(ctx, ref, tries)
}

func (w *Worker) deferPart(ctx context.Context, p *part, l later) error {
	_, err := w.Pool.Exec(ctx, `UPDATE app.replay_parts SET due_at = $2, tries = tries + 1, waits_for = $3 WHERE part = $1`,
		p.nr, l.due, l.reason)
	if err != nil {
		return fmt.Errorf("putting off part %d of replay %s: %w", p.nr, p.replay, err)
	}
	return nil
}

// closePart notes that the outcome of a part is on the record. A crash before it
// has the outcome published again, under the same id; being stopped has not.
func (w *Worker) closePart(ctx context.Context, p *part, seq uint64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, err := w.Pool.Exec(ctx, `UPDATE app.replay_parts SET done_at = $2, outcome = $3 WHERE part = $1`, p.nr, w.Now(), seq)
	if err != nil {
		return fmt.Errorf("closing part %d of replay %s: %w", p.nr, p.replay, err)
	}
	return nil
}

// windUp ends a part of a cancelled replay: what was called for has its outcome,
// and the rest may be repeated by another replay.
func (w *Worker) windUp(ctx context.Context, ref chunkRef) error {
	p := ref.part
	err := pgx.BeginFunc(ctx, w.Pool, func(tx pgx.Tx) error {
		// From here on nobody claims a request of the part: see claim.insert.
		if _, err := tx.Exec(ctx, `SELECT FROM app.replay_parts WHERE part = $1 FOR UPDATE`, p.nr); err != nil {
			return err
		}
		work, err := load(ctx, w.Pool, ref)
		if err != nil || work.done {
			return err
		}
		if err := w.settleAbandoned(ctx, work); err != nil {
			return err
		}
		var called, rest []int32
		for i, f := range work.fates() {
			switch {
			case f == notConcerned:
			case f.state == "" || f.state == events.AlertSkipped:
				rest = append(rest, work.recipients[i].no)
			default:
				called = append(called, work.recipients[i].no)
			}
		}
		if _, err := tx.Exec(ctx, `DELETE FROM app.alert_repeats WHERE part = $1 AND message_id = $2 AND attempt = $3
			AND portal_user_no = ANY($4)`, p.nr, ref.message, p.attempt, rest); err != nil {
			return err
		}
		var done *time.Time
		if len(called) == 0 {
			now := w.Now()
			done = &now
		}
		_, err = tx.Exec(ctx, `UPDATE app.replay_parts SET recipients = coalesce($2::integer[], '{}'), due_at = $3, done_at = $4, wound_up = true WHERE part = $1`,
			p.nr, called, w.Now(), done)
		p.nos = called
		return err
	})
	if err != nil {
		return fmt.Errorf("winding up part %d of replay %s: %w", p.nr, p.replay, err)
	}
	if len(p.nos) == 0 {
		return nil
	}
	return w.alertOrDefer(ctx, ref, 0) // all is settled: it publishes the outcome
}

// completeReplays says of every replay whose parts all have their outcomes on the
// record, and in the tables, that it is complete.
func (w *Worker) completeReplays(ctx context.Context) error {
	rows, err := w.Pool.Query(ctx, `
		SELECT replay_id, r.accepted, r.failed, r.skipped, r.unknown, r.count - r.accepted - r.failed - r.skipped - r.unknown
		FROM record.replays r JOIN app.replay_pace p USING (replay_id)
		WHERE r.status IN ('running', 'paused') AND p.taken
		  AND NOT EXISTS (SELECT FROM app.replay_parts q WHERE q.replay_id = r.replay_id
		      AND (q.done_at IS NULL OR q.outcome > (SELECT seq FROM record.position)))`)
	if err != nil {
		return fmt.Errorf("looking for replays that are complete: %w", err)
	}
	complete, err := pgx.CollectRows(rows, pgx.RowToStructByPos[events.ReplayCompleted])
	if err != nil {
		return fmt.Errorf("looking for replays that are complete: %w", err)
	}
	for _, body := range complete {
		// A crash before the acknowledgement leaves it to be said again, under the same id.
		if err := w.announce(ctx, body); err != nil {
			return fmt.Errorf("completing replay %s: %w", body.ReplayID, err)
		}
	}
	return nil
}

// announce publishes what the recorder has not come to yet, once.
func (w *Worker) announce(ctx context.Context, body events.ReplayCompleted) error {
	if w.announced[body.ReplayID] {
		return nil
	}
	e, err := events.New(source, actor, w.Now(), body)
	if err != nil {
		return err
	}
	if _, err := w.Publish(ctx, e); err != nil {
		return err
	}
	w.announced[body.ReplayID] = true
	return nil
}

// RunReplays carries out the replays that the record has running, until ctx ends.
// That one was started, paused or cancelled is read there; nobody has to be told.
func (w *Worker) RunReplays(ctx context.Context) error {
	tick := time.NewTicker(retryPoll)
	defer tick.Stop()
	for {
		if err := w.replayDue(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("carrying out a replay", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// replayDue does all that can be done now: one part is cut and done before the
// next, so that a pause or a cancellation holds at once.
func (w *Worker) replayDue(ctx context.Context) error {
	for {
		cut, err := w.cut(ctx)
		if err != nil {
			return err
		}
		ran, err := w.runPart(ctx)
		if err != nil {
			return err
		}
		if !cut && !ran {
			return w.completeReplays(ctx)
		}
	}
}
