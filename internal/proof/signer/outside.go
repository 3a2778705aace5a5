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

// A segment is sealed once it has segmentBytes, or its first event has waited for
// segmentAge, and a checkpoint covers it. So a small clinic gets one segment an hour. Even
// with one more event of at most 8 MiB, a segment needs only one PUT to S3.
const (
	segmentBytes = 7 << 20
	segmentAge   = time.Hour
)

// archiveState is the known state of the archive.
type archiveState struct {
	archivedSize uint64    // the size of the last checkpoint there
	day          time.Time // the day in the name of that checkpoint
	sealed       uint64    // the last event in a segment
	unsealed     time.Time // since when events have been waiting for one
	complete     atomic.Int64
}

// Behind returns the time since the archive was last complete. It is 0 if this process does
// not write to an archive: the recorder is on standby, or there is no archive.
func (n *Signer) Behind() time.Duration {
	complete := n.complete.Load()
	if n.Archive == nil || complete == 0 {
		return 0
	}
	return time.Since(time.Unix(0, complete))
}

func (n *Signer) readArchive(ctx context.Context) error {
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
	n.archivedSize, n.day = n.last.Size, latest.Day
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

// keepArchiving writes everything that is due to the archive until ctx ends. After an outage
// it also writes everything that became due during it, because it reads Postgres, where all
// of it is stored.
func (n *Signer) keepArchiving(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := n.updateArchive(ctx); err != nil {
			n.logError(ctx, "checkpoints and segments could not be written to the archive; trying again", err)
		} else {
			n.complete.Store(time.Now().UnixNano())
		}
		pause(ctx, n.Every)
	}
	return ctx.Err()
}

func (n *Signer) updateArchive(ctx context.Context) error {
	if err := n.archiveCheckpoints(ctx); err != nil {
		return err
	}
	return n.seal(ctx, n.archivedSize)
}

// archiveCheckpoints writes the missing checkpoints to the archive.
func (n *Signer) archiveCheckpoints(ctx context.Context) error {
	type row struct {
		Size     int64
		Signed   string
		SignedAt time.Time
	}
	rows, err := n.Pool.Query(ctx, `SELECT size, signed, signed_at FROM app.checkpoints WHERE size > $1 ORDER BY nr`, n.archivedSize)
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	lacking, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	for _, c := range lacking {
		opened, err := checkpoint.Open(c.Signed, n.known)
		if err != nil { // a forged checkpoint: `postern verify` reports it, and the others are still archived
			n.Logger.Error("an invalid checkpoint in Postgres is not written to the archive", "size", c.Size, "error", err)
			continue
		}
		// If a clock was set back, use the latest day (see [archive.Archive.PutCheckpoint]).
		if c.SignedAt.After(n.day) {
			n.day = c.SignedAt
		}
		if err := n.lease.Held(ctx); err != nil {
			return err
		}
		if err := n.Archive.PutCheckpoint(ctx, opened.Size, n.day, c.Signed); err != nil {
			return err
		}
		n.archivedSize = opened.Size
	}
	return nil
}

// seal writes all full segments of the events up to a checkpoint, and one of the remaining
// events if they have waited long enough.
func (n *Signer) seal(ctx context.Context, signed uint64) error {
	for n.sealed < signed {
		if n.unsealed.IsZero() {
			if err := n.loadUnsealedSince(ctx); err != nil {
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

// loadUnsealedSince sets the time since which a checkpoint covers the next event to seal. It
// is read from Postgres, so that a restart of the process does not reset it.
func (n *Signer) loadUnsealedSince(ctx context.Context) error {
	err := n.Pool.QueryRow(ctx, `SELECT signed_at FROM app.checkpoints WHERE size > $1 ORDER BY size LIMIT 1`, n.sealed).Scan(&n.unsealed)
	if err != nil {
		return fmt.Errorf("reading the time when event %d was signed: %w", n.sealed+1, err)
	}
	return nil
}

// nextRange returns the last event of the next segment, and its approximate size in bytes.
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
