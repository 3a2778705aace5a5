package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/notify/pause"
	"postern/internal/recorder/state"
)

// Replay is a plan with its status and results.
type Replay struct {
	ID                                          uuid.UUID
	Filter                                      Filter
	Reason                                      string
	Count                                       int
	Digest                                      string
	ByReason, Excluded                          map[string]int
	Oldest, Newest                              *time.Time // of the outcomes in the set
	Status                                      state.Replay
	PlannedAt                                   time.Time
	PlannedBy                                   string
	Rate                                        int // alerts a minute; 0: no limit
	StartedAt                                   *time.Time
	StartedBy                                   *string
	EndedAt                                     *time.Time
	EndedBy                                     *string
	Accepted, Failed, Skipped, Unknown, LeftOut int
	// LeftOutBy counts alerts of the set that were not repeated, by reason: something had
	// changed since the plan. It grows while the replay runs; LeftOut is known at its end.
	LeftOutBy map[string]int `db:"-"`
	// Held are the pauses of alerting that hold remaining alerts of the replay.
	Held []pause.Hold `db:"-"`
}

// Done is how many alerts of the set have an outcome or were left out.
func (r Replay) Done() int { return r.Accepted + r.Failed + r.Skipped + r.Unknown + r.LeftOut }

// Opened is how many alerts were left out of the plan because the recipient had opened the
// message.
func (r Replay) Opened() int { return r.Excluded[Opened] }

// Undeliverable is how many alerts were left out of the plan because they would fail again.
func (r Replay) Undeliverable() int {
	n := 0
	for why, count := range r.Excluded {
		if why != Opened && why != Repeated {
			n += count
		}
	}
	return n
}

const columns = `replay_id, filter, reason, count, digest, by_reason, excluded, oldest, newest, status, planned_at, planned_by,
	rate, started_at, started_by, ended_at, ended_by, accepted, failed, skipped, unknown, left_out`

// Get reads a replay.
func (rs *Replays) Get(ctx context.Context, id uuid.UUID) (Replay, error) {
	rows, err := rs.cfg.Pool.Query(ctx, `SELECT `+columns+` FROM record.replays WHERE replay_id = $1`, id)
	if err != nil {
		return Replay{}, fmt.Errorf("reading replay %s: %w", id, err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return Replay{}, ErrNotFound
	}
	if err != nil {
		return Replay{}, fmt.Errorf("reading replay %s: %w", id, err)
	}
	one := []Replay{r}
	if err := rs.addProgress(ctx, one); err != nil {
		return Replay{}, err
	}
	return one[0], nil
}

// addProgress adds the data that is not on the record: the pauses that hold replays, and
// why alerts were left out of them.
func (rs *Replays) addProgress(ctx context.Context, replays []Replay) error {
	place := make(map[uuid.UUID]int, len(replays))
	ids := make([]uuid.UUID, len(replays))
	for i := range replays {
		ids[i], place[replays[i].ID] = replays[i].ID, i
		replays[i].LeftOutBy = map[string]int{}
	}
	holds, err := pause.HoldsOfReplays(ctx, rs.cfg.Pool, ids)
	if err != nil {
		return err
	}
	for id, held := range holds {
		replays[place[id]].Held = held
	}
	rows, err := rs.cfg.Pool.Query(ctx, `SELECT replay_id, reason, alerts FROM app.replay_left_out WHERE replay_id = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("reading who was left out of replays: %w", err)
	}
	var id uuid.UUID
	var reason string
	var alerts int
	_, err = pgx.ForEachRow(rows, []any{&id, &reason, &alerts}, func() error {
		replays[place[id]].LeftOutBy[reason] = alerts
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading who was left out of replays: %w", err)
	}
	return nil
}

// List returns up to limit replays that were planned before the given one, newest first.
func (rs *Replays) List(ctx context.Context, before uuid.UUID, limit int) ([]Replay, error) {
	rows, err := rs.cfg.Pool.Query(ctx, `SELECT `+columns+` FROM record.replays WHERE replay_id < $1 ORDER BY replay_id DESC LIMIT $2`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("listing replays: %w", err)
	}
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("listing replays: %w", err)
	}
	return all, rs.addProgress(ctx, all)
}

// Open is a replay that is not over, and how many alerts of one message it has.
type Open struct {
	ID     uuid.UUID
	Status state.Replay
	Alerts int
}

// Of returns the replays with alerts of a message that are not over, the newest first, up to
// limit.
func (rs *Replays) Of(ctx context.Context, message uuid.UUID, limit int) ([]Open, error) {
	rows, err := rs.cfg.Pool.Query(ctx, `SELECT r.replay_id, r.status, sum(cardinality(s.recipients))::bigint
		FROM record.replays r JOIN app.replay_sets s USING (replay_id)
		WHERE r.status IN ('planned', 'running', 'paused') AND s.message_id = $1
		GROUP BY r.replay_id, r.status ORDER BY r.replay_id DESC LIMIT $2`, message, limit)
	if err != nil {
		return nil, fmt.Errorf("looking for replays of message %s: %w", message, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Open])
	if err != nil {
		return nil, fmt.Errorf("looking for replays of message %s: %w", message, err)
	}
	return all, nil
}

// Failing is a message with failed or unknown alerts.
type Failing struct {
	ID              uuid.UUID
	SentAt          time.Time
	SenderID        string
	Failed, Unknown int
}

// failingFor is how long ago the messages of [Replays.Failing] were sent at most.
const failingFor = 90 * 24 * time.Hour

// Failing returns the newest messages of the last 90 days with failed or unknown alerts, up to
// limit. Recalled messages are left out: their alerts are not repeated.
func (rs *Replays) Failing(ctx context.Context, limit int) ([]Failing, error) {
	rows, err := rs.cfg.Pool.Query(ctx, `SELECT message_id, sent_at, sender_id, alert_failed, alert_unknown FROM record.messages
		WHERE alert_failed + alert_unknown > 0 AND status <> 'recalled' AND sent_at > $1 ORDER BY message_id DESC LIMIT $2`,
		rs.cfg.Facts.Now().Add(-failingFor), limit)
	if err != nil {
		return nil, fmt.Errorf("listing messages with failed alerts: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Failing])
	if err != nil {
		return nil, fmt.Errorf("listing messages with failed alerts: %w", err)
	}
	return all, nil
}

func scan(row pgx.CollectableRow) (Replay, error) {
	r, err := pgx.RowToStructByPos[Replay](row)
	r.PlannedAt = r.PlannedAt.UTC()
	for _, at := range []*(*time.Time){&r.Oldest, &r.Newest, &r.StartedAt, &r.EndedAt} {
		if *at != nil {
			utc := (*at).UTC()
			*at = &utc
		}
	}
	return r, err
}
