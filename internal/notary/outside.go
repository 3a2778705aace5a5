package notary

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/archive"
	"postern/internal/checkpoint"
)

// A segment is sealed, under a checkpoint that covers it, once it has so many
// bytes, or its first event has waited so long: a small clinic gets one an hour.
const (
	segmentBytes = 8 << 20
	segmentAge   = time.Hour
)

// carry brings to the archive the checkpoints that it lacks.
func (n *Notary) carry(ctx context.Context) error {
	type row struct {
		Size     int64
		Signed   string
		SignedAt time.Time
	}
	rows, err := n.Pool.Query(ctx, `SELECT size, signed, signed_at FROM app.checkpoints WHERE size > $1 ORDER BY nr`, n.outside.Size)
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	lacking, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	for _, c := range lacking {
		opened, err := checkpoint.Open(c.Signed, n.known)
		if err != nil {
			return fmt.Errorf("the checkpoint of %d events in Postgres: %w", c.Size, err)
		}
		if err := n.Archive.PutCheckpoint(ctx, opened.Size, c.SignedAt, c.Signed); err != nil {
			return err
		}
		n.outside = opened
	}
	return nil
}

// seal writes segments of the events up to a checkpoint, as many as are full, and
// what is left where that has waited long enough.
func (n *Notary) seal(ctx context.Context, signed uint64) error {
	for n.sealed < signed {
		if n.unsealed.IsZero() {
			if err := n.startWaiting(ctx); err != nil {
				return err
			}
		}
		last, size, err := n.nextRange(ctx, signed)
		if err != nil {
			return err
		}
		if size < segmentBytes && time.Since(n.unsealed) < segmentAge {
			return nil
		}
		segment, err := n.gather(ctx, n.sealed+1, last, size)
		if err != nil {
			return err
		}
		if err := n.Archive.PutSegment(ctx, n.sealed+1, last, segment); err != nil {
			return err
		}
		n.sealed, n.unsealed = last, time.Time{}
	}
	return nil
}

// startWaiting says since when the next event to be sealed has been covered by a
// checkpoint: a process that starts again starts no clock anew.
func (n *Notary) startWaiting(ctx context.Context) error {
	err := n.Pool.QueryRow(ctx, `SELECT signed_at FROM app.checkpoints WHERE size > $1 ORDER BY size LIMIT 1`, n.sealed).Scan(&n.unsealed)
	if err != nil {
		return fmt.Errorf("reading when event %d was signed: %w", n.sealed+1, err)
	}
	return nil
}

// nextRange says where the next segment would end, and about how large it would be.
func (n *Notary) nextRange(ctx context.Context, signed uint64) (last uint64, size int64, err error) {
	err = n.Pool.QueryRow(ctx, `SELECT max(seq), max(upto) FROM (
			SELECT seq, octet_length(stored) AS size, sum(octet_length(stored)) OVER (ORDER BY seq) AS upto
			FROM record.events WHERE seq > $1 AND seq <= $2) e
		WHERE upto - size < $3`, n.sealed, signed, segmentBytes).Scan(&last, &size)
	if err != nil {
		return 0, 0, fmt.Errorf("measuring the events to be sealed: %w", err)
	}
	return last, size, nil
}

func (n *Notary) gather(ctx context.Context, first, last uint64, size int64) ([]byte, error) {
	rows, err := n.Pool.Query(ctx, `SELECT seq, stored FROM record.events WHERE seq BETWEEN $1 AND $2 ORDER BY seq`, first, last)
	if err != nil {
		return nil, fmt.Errorf("reading the events to be sealed: %w", err)
	}
	segment := make([]byte, 0, size+size/8)
	var seq int64
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &stored}, func() error {
		segment = archive.AppendEvent(segment, uint64(seq), stored) // #nosec G115 -- a sequence
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the events to be sealed: %w", err)
	}
	return segment, nil
}
