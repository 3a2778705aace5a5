package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/alerting"
	"postern/internal/events"
	"postern/internal/position"
)

// A failover of Postgres to a replica that lags, and a restore, lose the last commits:
// claims among them, so that a request that was made looks as if it never was. The server
// tells by its timeline (app.timeline, docs/adr/0055): one that is not in app.timelines, or
// not settled there, is new. Until it is settled no request is claimed. Settling names as
// unknown what may have been alerted before, which is what has deliveries on the record and
// no outcome.
//
// Every step can be repeated, by any worker, and by several at once.

// promotionPoll is how often a worker looks for a new timeline, and, where there is one,
// whether it is settled.
const promotionPoll = 250 * time.Millisecond

// RunPromotions notices failovers and settles them, until ctx ends.
func (w *Worker) RunPromotions(ctx context.Context) error {
	tick := time.NewTicker(promotionPoll)
	defer tick.Stop()
	for {
		if err := w.settlePromotion(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("settling what a failover of Postgres may have lost", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// awaitSettled returns once requests may be made in this history of Postgres.
func (w *Worker) awaitSettled(ctx context.Context) error {
	for {
		settled, err := w.isSettled(ctx)
		if err != nil || settled {
			return err
		}
		if err := sleep(ctx, promotionPoll); err != nil {
			return err
		}
	}
}

func (w *Worker) isSettled(ctx context.Context) (settled bool, err error) {
	if err := w.Pool.QueryRow(ctx, `SELECT app.notice_timeline()`).Scan(&settled); err != nil {
		return false, fmt.Errorf("looking for a failover of Postgres: %w", err)
	}
	return settled, nil
}

// settlePromotion settles a new timeline, as far as that can be done now.
func (w *Worker) settlePromotion(ctx context.Context) error {
	settled, err := w.isSettled(ctx)
	if err != nil || settled {
		return err
	}
	last, err := w.promotedAt(ctx)
	if err != nil {
		return err
	}
	// What has an outcome on the record is known again once the recorder has come there.
	if at, err := position.Read(ctx, w.Pool); err != nil || at < last {
		return err
	}
	if err := w.doubtReplays(ctx); err != nil {
		return err
	}
	refs, err := w.doubtful(ctx, last)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if err := w.doubt(ctx, ref, last); err != nil {
			return fmt.Errorf("chunk %d of message %s: %w", ref.chunk, ref.message, err)
		}
	}
	// A crash before this has all of it done again, which finds the same outcomes.
	if _, err := w.Pool.Exec(ctx, `UPDATE app.timelines SET settled_at = now() WHERE timeline = app.timeline() AND settled_at IS NULL`); err != nil {
		return fmt.Errorf("noting that the failover is settled: %w", err)
	}
	w.Logger.Error("POSTGRES WAS PROMOTED OR RESTORED: what it may have lost is named as unknown; alerts go on",
		"up_to_event", last, "chunks", len(refs))
	return nil
}

// promotedAt gives the last event of the record when the timeline was noticed: alerts of
// what came after it can't have been lost. The first worker that asks keeps it.
func (w *Worker) promotedAt(ctx context.Context) (uint64, error) {
	last, err := w.Last(ctx)
	if err != nil {
		return 0, fmt.Errorf("asking how far the record goes: %w", err)
	}
	var kept int64
	err = w.Pool.QueryRow(ctx, `UPDATE app.timelines SET last = coalesce(last, $1) WHERE timeline = app.timeline() RETURNING last`,
		int64(last)).Scan(&kept) // #nosec G115 -- a sequence
	if err != nil {
		return 0, fmt.Errorf("noting a failover of Postgres: %w", err)
	}
	return uint64(kept), nil // #nosec G115 -- a sequence
}

// doubtful gives what may have been alerted without its claim being there any more: every
// chunk without an outcome, and every part of a replay. A chunk that a pause has held ever
// since was not: its row says that it was held, and no resumption stands on the record
// after its deliveries.
func (w *Worker) doubtful(ctx context.Context, last uint64) ([]chunkRef, error) {
	rows, err := w.Pool.Query(ctx, `
		SELECT c.message_id, c.chunk, (m.audience + $4 - 1) / $4, c.seq
		FROM record.chunks c JOIN record.messages m USING (message_id)
		WHERE c.alert_state = 'pending' AND c.seq <= $1
		  AND NOT (EXISTS (SELECT FROM app.alert_retries r WHERE r.message_id = c.message_id AND r.chunk = c.chunk AND r.reason = $2)
		       AND EXISTS (SELECT FROM record.pauses p WHERE p.message_id IN (c.message_id, $3))
		       AND NOT EXISTS (SELECT FROM record.events e WHERE e.type = 'alerting.resumed' AND e.seq > c.seq
		                       AND coalesce(e.message_id, $3) IN (c.message_id, $3)))
		ORDER BY c.seq`, int64(last), alerting.Held, uuid.Nil, events.ChunkSize) // #nosec G115 -- a sequence
	if err != nil {
		return nil, fmt.Errorf("looking for chunks without an outcome: %w", err)
	}
	refs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r chunkRef, err error) {
		err = row.Scan(&r.message, &r.chunk, &r.chunks, &r.seq)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for chunks without an outcome: %w", err)
	}
	rows, err = w.Pool.Query(ctx, `SELECT part, replay_id, attempt, recipients, message_id, chunk, chunks FROM app.replay_parts WHERE done_at IS NULL ORDER BY part`)
	if err != nil {
		return nil, fmt.Errorf("looking for parts of replays without an outcome: %w", err)
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r chunkRef, err error) {
		r.part = &part{}
		err = row.Scan(&r.part.nr, &r.part.replay, &r.part.attempt, &r.part.nos, &r.message, &r.chunk, &r.chunks)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for parts of replays without an outcome: %w", err)
	}
	return append(refs, parts...), nil
}

// doubt brings a chunk, or a part of a replay, to its end: whoever nothing is known of is
// unknown. Those to whom no alert was due were not alerted by a claim that was lost either.
func (w *Worker) doubt(ctx context.Context, ref chunkRef, last uint64) error {
	if !w.take(ref) {
		return errors.New("it is in hand since before the failover")
	}
	defer w.giveBack(ref)
	if ref.part != nil {
		known, err := w.isKnown(ctx, ref)
		if err != nil {
			return err
		}
		if known {
			return w.closePart(ctx, ref.part, last)
		}
	}
	work, err := load(ctx, w.Pool, ref)
	if err != nil || work.done {
		return err
	}
	if inHand, err := w.settleAbandoned(ctx, work); err != nil {
		return err
	} else if inHand {
		return errors.New("another worker has had it in hand since before the failover")
	}
	c := claim{request: work.number(), id: uuid.New(), claimedBy: w.id, answer: answerUnknown}
	for i, f := range work.fates() {
		if f.state == "" {
			c.positions = append(c.positions, i)
			c.refusals = append(c.refusals, refusal{Position: i, Reason: reasonPromoted})
		}
	}
	if len(c.positions) > 0 {
		claimed, err := c.insertUnknown(ctx, w.Pool, ref)
		if err != nil {
			return err
		}
		if !claimed {
			return errors.New("another worker settles it")
		}
		work.claims = append(work.claims, c)
	}
	if err := w.publish(ctx, work, work.fates()); err != nil {
		return err
	}
	return w.clearRetry(ctx, ref, 0)
}

// isKnown says whether the outcome of a part is on the record, though its row lost that.
func (w *Worker) isKnown(ctx context.Context, ref chunkRef) (known bool, err error) {
	err = w.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM record.delivery_status
		WHERE message_id = $1 AND portal_user_no = ANY($2) AND alert_attempts >= $3)`, ref.message, ref.part.nos, ref.part.attempt).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("looking for the outcome of part %d of replay %s: %w", ref.part.nr, ref.part.replay, err)
	}
	return known, nil
}

// insertUnknown writes a claim whose request may have been made before a failover. It gives
// false where that number is taken.
func (c *claim) insertUnknown(ctx context.Context, q *pgxpool.Pool, ref chunkRef) (bool, error) {
	tag, err := q.Exec(ctx, `
		INSERT INTO app.attempts (message_id, chunk, attempt, request, request_id, claimed_by, recipients, part, answer, refusals, answered_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'unknown', $9, now()) ON CONFLICT DO NOTHING`,
		ref.message, ref.chunk, ref.attempt(), c.request, c.id, c.claimedBy, bitmap(c.positions), ref.partNr(), c.refusals)
	if err != nil {
		return false, fmt.Errorf("claiming what may have been sent: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// doubtReplays takes, of every replay under way, what it may have taken before the
// failover, as parts: as many as its pace allowed since the last commit that was kept, and
// all of them where it has none. Whoever is in an outcome on the record is left out, as in
// every part.
func (w *Worker) doubtReplays(ctx context.Context) error {
	rows, err := w.Pool.Query(ctx, `
		SELECT replay_id, rate, CASE WHEN rate = 0 OR t.replayed_at IS NULL THEN NULL
		    ELSE ceil(rate * (2 + greatest(0, extract(epoch FROM t.noticed_at - t.replayed_at)) / 60)) END::float8
		FROM record.replays JOIN app.replay_pace USING (replay_id), app.timelines t
		WHERE status IN ('running', 'paused') AND t.timeline = app.timeline()`)
	if err != nil {
		return fmt.Errorf("looking for replays under way: %w", err)
	}
	type underWay struct {
		Replay uuid.UUID
		Rate   int
		Most   *float64 // nil: all
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[underWay])
	if err != nil {
		return fmt.Errorf("looking for replays under way: %w", err)
	}
	for _, r := range found {
		for n := 0.0; r.Most == nil || n < *r.Most; n += float64(take(r.Rate)) {
			more, err := w.doubtPart(ctx, r.Replay, r.Rate)
			if err != nil {
				return fmt.Errorf("taking what replay %s may have taken: %w", r.Replay, err)
			}
			if !more {
				break
			}
		}
	}
	return nil
}

func (w *Worker) doubtPart(ctx context.Context, replay uuid.UUID, rate int) (more bool, err error) {
	err = pgx.BeginFunc(ctx, w.Pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT NOT taken FROM app.replay_pace WHERE replay_id = $1 FOR UPDATE`, replay).Scan(&more)
		if err != nil || !more {
			return err
		}
		return w.cutOf(ctx, tx, replay, rate)
	})
	return more, err
}
