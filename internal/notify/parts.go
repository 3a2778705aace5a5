package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// A part is what a replay takes of one chunk at a time: a row of
// app.alert_work. No other part makes this attempt at its recipients: see
// app.alert_repeats.
type part struct {
	nr      int64
	replay  uuid.UUID
	attempt int
	nos     []int32 // of its recipients, ascending
	woundUp bool    // no request is made for it any more
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

// open is a condition in SQL: a part can be taken of the set s. What a pause holds is
// left in its set, so that the pace of the replay is kept after the pause too.
var open = `s.taken < cardinality(s.recipients) AND ` + fmt.Sprintf(notHeld, "s.message_id")

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
			WHERE r.status = 'running' AND NOT p.taken AND (p.next_at IS NULL OR p.next_at <= $1)
			  AND (EXISTS (SELECT FROM app.replay_sets s WHERE s.replay_id = p.replay_id AND `+open+`)
			    OR NOT EXISTS (SELECT FROM app.replay_sets s WHERE s.replay_id = p.replay_id AND s.taken < cardinality(s.recipients)))
			ORDER BY p.next_at NULLS FIRST LIMIT 1 FOR UPDATE OF p SKIP LOCKED`, w.Now()).Scan(&replay, &rate)
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
		FROM (SELECT nr, taken FROM app.replay_sets s WHERE replay_id = $1 AND `+open+` ORDER BY nr LIMIT 1) next
		WHERE s.replay_id = $1 AND s.nr = next.nr
		RETURNING s.nr, s.recipients[next.taken + 1 : s.taken]`, replay, take(rate)).Scan(&set, &nos)
	if errors.Is(err, pgx.ErrNoRows) {
		// A pause may have begun meanwhile: what it holds is not taken.
		_, err = tx.Exec(ctx, `UPDATE app.replay_pace SET taken = true WHERE replay_id = $1
			AND NOT EXISTS (SELECT FROM app.replay_sets WHERE replay_id = $1 AND taken < cardinality(recipients))`, replay)
		return err
	}
	if err != nil {
		return err
	}
	// A recipient who was accepted, has opened the message or was repeated since the plan
	// is left out here, and the reason is kept. Of two replays of the same alert the first
	// claims it for good.
	var claimed int
	err = tx.QueryRow(ctx, `
		WITH own AS (SELECT nextval('app.replay_part') AS part), judged AS (
		    SELECT s.message_id, no, s.attempt + 1 AS attempt,
		        app.why_not_repeated(d.opened_at IS NOT NULL, d.alert_state, d.alert_reason, d.alert_attempts, s.attempt, false) AS left_out
		    FROM app.replay_sets s, unnest($3::integer[]) no
		    CROSS JOIN LATERAL (
		        SELECT * FROM record.delivery_status d
		        WHERE d.message_id = s.message_id AND d.portal_user_no = no LIMIT 1) d
		    WHERE s.replay_id = $1 AND s.nr = $2), claimed AS (
		    INSERT INTO app.alert_repeats (message_id, portal_user_no, attempt, part)
		    SELECT message_id, no, attempt, own.part FROM own, judged WHERE left_out = '' ORDER BY no
		    ON CONFLICT DO NOTHING RETURNING portal_user_no), part AS (
		    INSERT INTO app.alert_work (part, kind, replay_id, message_id, chunk, chunks, attempt, recipients, due_at)
		    SELECT own.part, 'replay', s.replay_id, s.message_id, s.chunk, s.chunks, s.attempt + 1,
		           (SELECT array_agg(portal_user_no ORDER BY portal_user_no) FROM claimed), $4
		    FROM own, app.replay_sets s WHERE s.replay_id = $1 AND s.nr = $2 AND EXISTS (SELECT FROM claimed)), left_out AS (
		    INSERT INTO app.replay_left_out AS known (replay_id, reason, alerts)
		    SELECT $1, coalesce(nullif(left_out, ''), '`+events.LeftOutRepeated+`') AS reason, count(*) FROM judged
		    WHERE no NOT IN (SELECT portal_user_no FROM claimed) GROUP BY 2
		    ON CONFLICT (replay_id, reason) DO UPDATE SET alerts = known.alerts + excluded.alerts)
		SELECT count(*) FROM claimed`, replay, set, nos, w.Now()).Scan(&claimed)
	if err != nil || rate == 0 || claimed == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE app.replay_pace SET next_at = $2 WHERE replay_id = $1`,
		replay, w.Now().Add(time.Duration(claimed)*time.Minute/time.Duration(rate)))
	return err
}

// closePart notes that the outcome of a part is on the record. A crash before it
// has the outcome published again, under the same id; being stopped has not.
func (w *Worker) closePart(ctx context.Context, ref chunkRef, seq uint64) error {
	p := ref.part
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	// Where an answer came after the claims were read, the part goes on with it.
	_, err := w.Pool.Exec(ctx, `UPDATE app.alert_work SET state = CASE WHEN amends THEN 'waiting' ELSE 'done' END, lease = NULL, leased_until = NULL,
		done_at = CASE WHEN NOT amends THEN $4::timestamptz END, due_at = CASE WHEN amends THEN $4 ELSE due_at END,
		wound_up = wound_up OR amends, amends = false, outcome = $5 WHERE message_id = $1 AND chunk = $2 AND part = $3 AND kind = 'replay'`,
		ref.message, ref.chunk, p.nr, w.Now(), seq)
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

// windUp ends the calls of a part and publishes its outcome, which is of those that
// were called for. The rest may be repeated by another replay; unless this one was
// cancelled, they were left out of it because no alert was due to them any more, and
// it is kept why. A crash after the transaction leaves an outcome to be published. Where
// another worker has a request of the part in hand, nothing is done until later.
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
		for i, f := range work.fates() {
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
			ref.message, ref.chunk, p.nr, called, len(called) == 0, w.Now())
		p.nos, left = called, work
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("winding up part %d of replay %s: %w", p.nr, p.replay, err)
	}
	if left == nil || len(p.nos) == 0 {
		return again, nil
	}
	return nil, w.publish(ctx, left, left.fates())
}

// completeReplays says of every replay whose parts all have their outcomes on the
// record, and in the tables, that it is complete.
func (w *Worker) completeReplays(ctx context.Context) error {
	rows, err := w.Pool.Query(ctx, `
		SELECT replay_id, r.accepted, r.failed, r.skipped, r.unknown, r.count - r.accepted - r.failed - r.skipped - r.unknown
		FROM record.replays r JOIN app.replay_pace p USING (replay_id)
		WHERE r.status IN ('running', 'paused') AND p.taken
		  AND NOT EXISTS (SELECT FROM app.alert_work q WHERE q.kind = 'replay' AND q.replay_id = r.replay_id
		      AND (q.state <> 'done' OR q.outcome > (SELECT seq FROM record.position)))`)
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

// ReplayDue does all of replays that can be done now: one part is cut and done before the
// next, so that a pause or a cancellation holds at once.
func (w *Worker) ReplayDue(ctx context.Context) error {
	for {
		if err := w.awaitSettled(ctx); err != nil {
			return err
		}
		cut, err := w.cut(ctx)
		if err != nil {
			return err
		}
		ran, err := w.runDue(ctx, kindReplay)
		if err != nil {
			return err
		}
		if !cut && !ran {
			return w.completeReplays(ctx)
		}
	}
}
