package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Replay is a plan and what has become of it.
type Replay struct {
	ID                                          uuid.UUID
	Filter                                      Filter
	Reason                                      string
	Count                                       int
	Digest                                      string
	ByReason, Excluded                          map[string]int
	Oldest, Newest                              *time.Time // of the outcomes in the set
	Status                                      string
	PlannedAt                                   time.Time
	PlannedBy                                   string
	Rate                                        int // alerts a minute; 0: no limit
	StartedAt                                   *time.Time
	StartedBy                                   *string
	EndedAt                                     *time.Time
	EndedBy                                     *string
	Accepted, Failed, Skipped, Unknown, LeftOut int
}

// Done is how many of the set have come to an end.
func (r Replay) Done() int { return r.Accepted + r.Failed + r.Skipped + r.Unknown + r.LeftOut }

// Opened is how many were left out because they had opened the message.
func (r Replay) Opened() int { return r.Excluded[Opened] }

// Undeliverable is how many were left out because they would have failed again.
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
func (b *Book) Get(ctx context.Context, id uuid.UUID) (Replay, error) {
	rows, err := b.Pool.Query(ctx, `SELECT `+columns+` FROM record.replays WHERE replay_id = $1`, id)
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
	return r, nil
}

// List gives up to limit replays that were planned before the one named, newest
// first.
func (b *Book) List(ctx context.Context, before uuid.UUID, limit int) ([]Replay, error) {
	rows, err := b.Pool.Query(ctx, `SELECT `+columns+` FROM record.replays WHERE replay_id < $1 ORDER BY replay_id DESC LIMIT $2`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("listing replays: %w", err)
	}
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("listing replays: %w", err)
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
