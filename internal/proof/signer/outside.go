package signer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/proof/archive"
	"postern/internal/proof/checkpoint"
)

// A segment is sealed, under a checkpoint that covers it, once it has so many
// bytes, or its first event has waited so long: a small clinic gets one an hour.
// With an event on top, of at most 8 MiB, it stays one PUT to S3.
const (
	segmentBytes = 7 << 20
	segmentAge   = time.Hour
)

// carrier is how far the archive has come.
type carrier struct {
	carried  uint64    // the size of the last checkpoint there
	day      time.Time // under which it stands
	sealed   uint64    // the last event in a segment
	unsealed time.Time // since when events have been waiting for one
	complete atomic.Int64
}

// Behind says how long ago the archive was last seen to hold all that was due there.
// It is 0 where nobody carries: the recorder stands by, or there is no archive.
func (n *Signer) Behind() time.Duration {
	complete := n.complete.Load()
	if n.Archive == nil || complete == 0 {
		return 0
	}
	return time.Since(time.Unix(0, complete))
}

func (n *Signer) lookOutside(ctx context.Context) error {
	latest, err := n.Archive.Latest(ctx)
	if err != nil {
		return err
	}
	if n.last = (checkpoint.Checkpoint{}); latest.Size > 0 {
		text, err := n.Archive.Read(ctx, latest.Name)
		if err != nil {
			return err
		}
		if n.last, err = checkpoint.Open(string(text), n.known); err != nil {
			return fmt.Errorf("the archive's %s: %w", latest.Name, err)
		}
	}
	n.carried, n.day = n.last.Size, latest.Day
	segments, _, err := n.Archive.Segments(ctx)
	if err != nil {
		return err
	}
	n.sealed, n.unsealed = 0, time.Time{}
	for _, s := range segments {
		n.sealed = max(n.sealed, s.Last)
	}
	return nil
}

// keepCarrying brings to the archive what is due there, and over an outage
// everything that came due meanwhile: it asks Postgres, which forgets nothing.
func (n *Signer) keepCarrying(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := n.bringOut(ctx); err != nil {
			n.complain(ctx, "the archive does not get what was signed; it is tried again", err)
		} else {
			n.complete.Store(time.Now().UnixNano())
		}
		pause(ctx, n.Every)
	}
	return ctx.Err()
}

func (n *Signer) bringOut(ctx context.Context) error {
	if err := n.carry(ctx); err != nil {
		return err
	}
	return n.seal(ctx, n.carried)
}

// carry brings to the archive the checkpoints that it lacks.
func (n *Signer) carry(ctx context.Context) error {
	type row struct {
		Size     int64
		Signed   string
		SignedAt time.Time
	}
	rows, err := n.Pool.Query(ctx, `SELECT size, signed, signed_at FROM app.checkpoints WHERE size > $1 ORDER BY nr`, n.carried)
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	lacking, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	for _, c := range lacking {
		opened, err := checkpoint.Open(c.Signed, n.known)
		if err != nil { // somebody else's: `postern verify` names it, and it holds up no other
			n.Logger.Error("a checkpoint in Postgres is not carried to the archive", "size", c.Size, "error", err)
			continue
		}
		// A clock that is set back makes no day come before one that there is.
		if c.SignedAt.After(n.day) {
			n.day = c.SignedAt
		}
		if err := n.lease.Held(ctx); err != nil {
			return err
		}
		if err := n.Archive.PutCheckpoint(ctx, opened.Size, n.day, c.Signed); err != nil {
			return err
		}
		n.carried = opened.Size
	}
	return nil
}

// seal writes segments of the events up to a checkpoint, as many as are full, and
// what is left where that has waited long enough.
func (n *Signer) seal(ctx context.Context, signed uint64) error {
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
		if err := n.lease.Held(ctx); err != nil {
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
func (n *Signer) startWaiting(ctx context.Context) error {
	err := n.Pool.QueryRow(ctx, `SELECT signed_at FROM app.checkpoints WHERE size > $1 ORDER BY size LIMIT 1`, n.sealed).Scan(&n.unsealed)
	if err != nil {
		return fmt.Errorf("reading when event %d was signed: %w", n.sealed+1, err)
	}
	return nil
}

// nextRange says where the next segment would end, and about how large it would be.
func (n *Signer) nextRange(ctx context.Context, signed uint64) (last uint64, size int64, err error) {
	err = n.Pool.QueryRow(ctx, `SELECT max(seq), max(upto) FROM (
			SELECT seq, octet_length(stored) AS size, sum(octet_length(stored)) OVER (ORDER BY seq) AS upto
			FROM record.events WHERE seq > $1 AND seq <= $2) e
		WHERE upto - size < $3`, n.sealed, signed, segmentBytes).Scan(&last, &size)
	if err != nil {
		return 0, 0, fmt.Errorf("measuring the events to be sealed: %w", err)
	}
	return last, size, nil
}

func (n *Signer) gather(ctx context.Context, first, last uint64, size int64) ([]byte, error) {
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
