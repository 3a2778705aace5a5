package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
)

// An Executor takes the alerts of running replays, part by part and at their rate, and
// writes them as rows of app.alert_work for the notify worker. It also publishes when a
// replay is complete. Any number of processes may have one; only one goroutine at a time
// may call Complete.
type Executor struct {
	Pool  *pgxpool.Pool // as postern_notify
	Facts facts.Publisher

	announced map[uuid.UUID]bool // replays whose completion it has published
}

// burst: a replay takes 1/burst of a minute's alerts at a time.
const burst = 6

// batch returns how many alerts a replay takes at a time: without a limit a whole chunk.
func batch(rate int) int {
	if rate == 0 {
		return events.ChunkSize
	}
	return min(events.ChunkSize, max(1, rate/burst))
}

// open is a condition in SQL: a part can be taken from the set s. Alerts that a pause holds
// stay in the set, so that the replay keeps its rate after the pause too.
const open = `s.taken < cardinality(s.recipients) AND (SELECT h.pause FROM record.held_messages h WHERE h.message_id = s.message_id) IS NULL`

// Take takes the next part of a running replay whose rate allows it, and returns false
// where there is none.
//
// The part, its recipients and the time of the next part are committed together. A crash
// before the commit leaves nothing; after it, a part that is due and for which no request
// was made.
func (x *Executor) Take(ctx context.Context) (found bool, err error) {
	err = pgx.BeginFunc(ctx, x.Pool, func(tx pgx.Tx) error {
		var replay uuid.UUID
		var rate int
		err := tx.QueryRow(ctx, `
			SELECT replay_id, r.rate FROM app.replay_pace p JOIN record.replays r USING (replay_id)
			WHERE r.status = 'running' AND NOT p.taken AND (p.next_at IS NULL OR p.next_at <= $1)
			  AND (EXISTS (SELECT FROM app.replay_sets s WHERE s.replay_id = p.replay_id AND `+open+`)
			    OR NOT EXISTS (SELECT FROM app.replay_sets s WHERE s.replay_id = p.replay_id AND s.taken < cardinality(s.recipients)))
			ORDER BY p.next_at NULLS FIRST LIMIT 1 FOR UPDATE OF p SKIP LOCKED`, x.Facts.Now()).Scan(&replay, &rate)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		return x.takeOf(ctx, tx, replay, rate)
	})
	if err != nil {
		return false, fmt.Errorf("taking the next part of a replay: %w", err)
	}
	return found, nil
}

func (x *Executor) takeOf(ctx context.Context, tx pgx.Tx, replay uuid.UUID, rate int) error {
	var set int
	var nos []int32
	err := tx.QueryRow(ctx, `
		UPDATE app.replay_sets s SET taken = least(s.taken + $2, cardinality(s.recipients))
		FROM (SELECT nr, taken FROM app.replay_sets s WHERE replay_id = $1 AND `+open+` ORDER BY nr LIMIT 1) next
		WHERE s.replay_id = $1 AND s.nr = next.nr
		RETURNING s.nr, s.recipients[next.taken + 1 : s.taken]`, replay, batch(rate)).Scan(&set, &nos)
	if errors.Is(err, pgx.ErrNoRows) {
		// A pause may have begun since: the alerts that it holds are not taken.
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
		        app.why_not_repeated(o.opened_at IS NOT NULL, coalesce(x.state, c.alert_state), coalesce(x.reason, c.alert_reason),
		            coalesce(x.attempt, c.alert_attempt), s.attempt, false) AS left_out
		    FROM app.replay_sets s JOIN record.chunks c USING (message_id, chunk) CROSS JOIN unnest($3::integer[]) AS no
		    LEFT JOIN LATERAL (SELECT * FROM record.alert_exceptions x WHERE x.message_id = s.message_id AND x.portal_user_no = no LIMIT 1) x ON true
		    LEFT JOIN LATERAL (SELECT * FROM record.opens o WHERE o.message_id = s.message_id AND o.portal_user_no = no LIMIT 1) o ON true
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
		SELECT count(*) FROM claimed`, replay, set, nos, x.Facts.Now()).Scan(&claimed)
	if err != nil || rate == 0 || claimed == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE app.replay_pace SET next_at = $2 WHERE replay_id = $1`,
		replay, x.Facts.Now().Add(time.Duration(claimed)*time.Minute/time.Duration(rate)))
	return err
}

// Complete publishes the completion of every replay whose parts all have their outcomes on
// the record and in the tables.
func (x *Executor) Complete(ctx context.Context) error {
	rows, err := x.Pool.Query(ctx, `
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
		// After a crash before the acknowledgement the event is published again, under the same id.
		if err := x.announce(ctx, body); err != nil {
			return fmt.Errorf("completing replay %s: %w", body.ReplayID, err)
		}
	}
	return nil
}

// announce publishes the completion of a replay once, and not again while the recorder has
// not reached it.
func (x *Executor) announce(ctx context.Context, body events.ReplayCompleted) error {
	if x.announced[body.ReplayID] {
		return nil
	}
	if _, err := x.Facts.Publish(ctx, notifyWorker, x.Facts.Now(), body); err != nil {
		return err
	}
	if x.announced == nil {
		x.announced = map[uuid.UUID]bool{}
	}
	x.announced[body.ReplayID] = true
	return nil
}
