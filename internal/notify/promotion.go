package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/notify/pause"
	"postern/internal/recorder/position"
)

// A failover of Postgres to a replica that lags loses the last commits. A restore loses more
// of them, and a lost database loses all. With lost claims, a request that was made looks as
// if it had not been made. There are three signs of the loss (docs/adr/0055):
//
//   - The timeline of the server (app.timeline) is not in app.timelines: the server was
//     promoted or restored.
//   - The recorder's position is behind the events that the workers have acknowledged:
//     Postgres was restored from older files.
//   - `postern recover` has stored that the database was lost.
//
// Until the loss is settled, no request is claimed. Settling it means to publish an outcome
// for every chunk that has deliveries on the record but no outcome: recipients who may have
// been alerted before the loss are unknown, with the reason.
//
// Every step can be repeated, by any worker and by several at once.

// A cause says how claims were lost; its values are those of app.timelines.
type cause string

const (
	promoted cause = "promoted"
	putBack  cause = "put_back"
	lost     cause = "lost"
)

// reason is the reason of the recipients who become unknown.
func (c cause) reason() string {
	switch c {
	case putBack:
		return reasonPutBack
	case lost:
		return reasonLost
	default:
		return reasonPromoted
	}
}

// certain says whether a recipient who would be skipped now, for a reason, was certainly not
// alerted before the loss. For most reasons that is not certain: the message may have been
// recalled, or the account deactivated, after the alert. A missing address is certain only
// where no more than the last commits were lost.
func (c cause) certain(reason string) bool {
	switch reason {
	case reasonEarlier, reasonCancelled:
		return true
	case reasonNoAddress:
		return c == promoted
	default:
		return false
	}
}

// promotionPoll is how often a worker looks for a new timeline, and, where there is one,
// whether it is settled.
const promotionPoll = 250 * time.Millisecond

// RunPromotions notices lost claims and settles them, until ctx ends.
func (w *Worker) RunPromotions(ctx context.Context) error {
	tick := time.NewTicker(promotionPoll)
	defer tick.Stop()
	for {
		if err := w.settlePromotion(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("settling alerts whose claims Postgres may have lost", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// awaitSettled waits until no loss of claims is unsettled, so that requests may be made.
func (w *Worker) awaitSettled(ctx context.Context) error {
	for {
		settled, err := w.settled.do(ctx, struct{}{})
		if err != nil || settled {
			return err
		}
		if err := sleep(ctx, promotionPoll); err != nil {
			return err
		}
	}
}

// areSettled is isSettled for several handlers that ask at the same time.
func (w *Worker) areSettled(ctx context.Context, asked []struct{}) ([]bool, error) {
	settled, err := w.isSettled(ctx)
	return slices.Repeat([]bool{settled}, len(asked)), err
}

func (w *Worker) isSettled(ctx context.Context) (settled bool, err error) {
	reached, err := w.reached(ctx)
	if err != nil {
		return false, err
	}
	if err := w.Pool.QueryRow(ctx, `SELECT app.notice_timeline($1)`, int64(reached)).Scan(&settled); err != nil { // #nosec G115 -- a sequence
		return false, fmt.Errorf("looking for a failover or a restore of Postgres: %w", err)
	}
	return settled, nil
}

// reached returns an event that the recorder has certainly reached: all workers have
// acknowledged their events up to it, or this worker has claimed a request for it. Postgres
// keeps the position over a crash, because the claim was committed later and waited for the
// disk.
func (w *Worker) reached(ctx context.Context) (uint64, error) {
	if w.Acked != nil && !w.knowsAcked.Load() {
		acked, err := w.Acked(ctx)
		if err != nil {
			return 0, fmt.Errorf("asking which events were acknowledged: %w", err)
		}
		w.reaches(acked)
		w.knowsAcked.Store(true)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.furthest, nil
}

// reaches stores that the recorder has reached an event.
func (w *Worker) reaches(seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.furthest = max(w.furthest, seq)
}

// settlePromotion settles the alerts whose claims were lost, as far as that is possible now.
func (w *Worker) settlePromotion(ctx context.Context) error {
	settled, err := w.isSettled(ctx)
	if err != nil || settled {
		return err
	}
	last, why, err := w.promotedAt(ctx)
	if err != nil {
		return err
	}
	// Postgres has all recorded outcomes again once the recorder has reached the last event.
	if at, err := position.Read(ctx, w.Pool); err != nil || at < last {
		return err
	}
	if err := w.replays.EndLost(ctx); err != nil {
		return err
	}
	if err := w.replays.TakeDoubtful(ctx); err != nil {
		return err
	}
	refs, err := w.doubtful(ctx, last)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if err := w.settleDoubtful(ctx, ref, last, why); err != nil {
			return fmt.Errorf("chunk %d of message %s: %w", ref.chunk, ref.message, err)
		}
	}
	// After a crash before this line all of it is done again, with the same outcomes.
	if _, err := w.Pool.Exec(ctx, `UPDATE app.timelines SET settled_at = now() WHERE timeline = app.timeline() AND settled_at IS NULL`); err != nil {
		return fmt.Errorf("storing that the lost alerts are settled: %w", err)
	}
	w.Logger.Error("POSTGRES HAS LOST COMMITS (a failover, a restore or a lost database): alerts that may have been sent are unknown; alerts go on",
		"cause", string(why), "up_to_event", last, "chunks", len(refs))
	return nil
}

// promotedAt returns the last event whose claims may have been lost, and the cause. That is
// the last event of the record when the loss was noticed: claims for later events can't have
// been lost. The first worker that asks stores it.
func (w *Worker) promotedAt(ctx context.Context) (last uint64, why cause, err error) {
	if last, err = w.Last(ctx); err != nil {
		return 0, "", fmt.Errorf("asking for the last event of the record: %w", err)
	}
	var noted int64
	err = w.Pool.QueryRow(ctx, `UPDATE app.timelines SET last = coalesce(last, $1) WHERE timeline = app.timeline() RETURNING last, cause`,
		int64(last)).Scan(&noted, &why) // #nosec G115 -- a sequence
	if err != nil {
		return 0, "", fmt.Errorf("storing that Postgres has lost commits: %w", err)
	}
	return uint64(noted), why, nil // #nosec G115 -- a sequence
}

// doubtful returns the chunks and the parts of replays whose alerts may have been sent although
// Postgres has no claim: all chunks without an outcome, and all parts. It leaves out a chunk
// that a pause has held since its deliveries: its row says that it was held, and the record
// has no resumption after them.
func (w *Worker) doubtful(ctx context.Context, last uint64) ([]chunkRef, error) {
	rows, err := w.Pool.Query(ctx, `
		SELECT c.message_id, c.chunk, (m.audience + $4 - 1) / $4, c.seq
		FROM record.chunks c JOIN record.messages m USING (message_id)
		WHERE c.alert_state = 'pending' AND c.seq <= $1
		  AND NOT (EXISTS (SELECT FROM app.alert_work w WHERE w.message_id = c.message_id AND w.chunk = c.chunk AND w.part = 0 AND w.reason = $2)
		       AND EXISTS (SELECT FROM record.pauses p WHERE p.message_id IN (c.message_id, $3))
		       AND NOT EXISTS (SELECT FROM record.events e WHERE e.type = 'alerting.resumed' AND e.seq > c.seq
		                       AND coalesce(e.message_id, $3) IN (c.message_id, $3)))
		ORDER BY c.seq`, int64(last), pause.ReasonPaused, uuid.Nil, events.ChunkSize) // #nosec G115 -- a sequence
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
	rows, err = w.Pool.Query(ctx, `SELECT part, replay_id, attempt, recipients, message_id, chunk, chunks FROM app.alert_work WHERE kind = 'replay' AND state <> 'done' ORDER BY part`)
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

// settleDoubtful publishes an outcome for a chunk or a part of a replay. Recipients without a
// result become unknown, and so do recipients who must not be alerted now but may have been
// alerted before.
func (w *Worker) settleDoubtful(ctx context.Context, ref chunkRef, last uint64, why cause) error {
	if !w.take(ref) {
		return errors.New("this worker has been alerting it since before the loss")
	}
	defer w.giveBack(ref)
	if ref.part != nil {
		known, err := w.isKnown(ctx, ref)
		if err != nil {
			return err
		}
		if known {
			return w.closePart(ctx, ref, last)
		}
	}
	work, err := load(ctx, w.Pool, ref)
	if err != nil || work.done {
		return err
	}
	if inHand, err := w.settleAbandoned(ctx, w.Pool, work); err != nil {
		return err
	} else if inHand {
		return errors.New("another worker has waited for an answer since before the failover")
	}
	c := claim{request: work.number(), id: uuid.New(), claimedBy: w.id, answer: answerUnknown}
	for i, f := range work.results() {
		if f.state == "" || f.state == events.AlertSkipped && !why.certain(f.reason) {
			c.positions = append(c.positions, i)
			c.refusals = append(c.refusals, refusal{Position: i, Reason: why.reason()})
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
	if err := w.publish(ctx, work, work.results()); err != nil {
		return err
	}
	return w.clearRetry(ctx, ref, 0)
}

// isKnown says whether the outcome of a part is recorded although its row does not say so.
func (w *Worker) isKnown(ctx context.Context, ref chunkRef) (known bool, err error) {
	err = w.Pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM record.chunks c CROSS JOIN unnest($3::integer[]) AS no
		    WHERE c.message_id = $1 AND c.chunk = $2 AND coalesce(
		        (SELECT x.attempt FROM record.alert_exceptions x WHERE x.message_id = c.message_id AND x.portal_user_no = no), c.alert_attempt) >= $4)`,
		ref.message, ref.chunk, ref.part.nos, ref.part.attempt).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("looking for the outcome of part %d of replay %s: %w", ref.part.nr, ref.part.replay, err)
	}
	return known, nil
}

// insertUnknown writes a claim for a request that may have been made before commits were
// lost. It returns false where another claim has its number.
func (c *claim) insertUnknown(ctx context.Context, q *pgxpool.Pool, ref chunkRef) (bool, error) {
	tag, err := q.Exec(ctx, `
		INSERT INTO app.attempts (message_id, chunk, attempt, request, request_id, claimed_by, recipients, part, answer, refusals, answered_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'unknown', $9, now()) ON CONFLICT DO NOTHING`,
		ref.message, ref.chunk, ref.attempt(), c.request, c.id, c.claimedBy, bitmap(c.positions), ref.partNr(), c.refusals)
	if err != nil {
		return false, fmt.Errorf("claiming alerts that may have been sent: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}
