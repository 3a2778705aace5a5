package replay

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// EndLost ends the replays whose set Postgres has lost: it is not known any more which
// alerts they were to repeat. These alerts count as left out, with the reason, and another
// plan can find them.
func (x *Executor) EndLost(ctx context.Context) error {
	_, err := x.Pool.Exec(ctx, `
		WITH ended AS (
		    INSERT INTO app.replay_pace (replay_id, taken)
		    SELECT replay_id, true FROM record.replays WHERE status IN ('planned', 'running', 'paused')
		    ON CONFLICT DO NOTHING RETURNING replay_id), left_of AS (
		    SELECT replay_id, count - accepted - failed - skipped - unknown AS alerts FROM record.replays JOIN ended USING (replay_id))
		INSERT INTO app.replay_left_out (replay_id, reason, alerts) SELECT replay_id, $1, alerts FROM left_of WHERE alerts > 0
		ON CONFLICT DO NOTHING`, events.LeftOutLost)
	if err != nil {
		return fmt.Errorf("ending replays whose plan was lost: %w", err)
	}
	return nil
}

// TakeDoubtful takes parts with all alerts that each running replay may have taken before
// commits were lost: as many alerts as its rate allowed since the last commit that Postgres
// kept, or all that are left where it has no rate or where that time is not known. As in
// every part, recipients whose outcome is recorded are left out.
func (x *Executor) TakeDoubtful(ctx context.Context) error {
	rows, err := x.Pool.Query(ctx, `
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
		for n := 0.0; r.Most == nil || n < *r.Most; n += float64(batch(r.Rate)) {
			more, err := x.takeNext(ctx, r.Replay, r.Rate)
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

func (x *Executor) takeNext(ctx context.Context, replay uuid.UUID, rate int) (more bool, err error) {
	err = pgx.BeginFunc(ctx, x.Pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT NOT taken FROM app.replay_pace WHERE replay_id = $1 FOR UPDATE`, replay).Scan(&more)
		if err != nil || !more {
			return err
		}
		return x.takeOf(ctx, tx, replay, rate)
	})
	return more, err
}
