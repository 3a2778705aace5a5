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
func (sr *Signer) Behind() time.Duration {
	complete := sr.complete.Load()
	if sr.Archive == nil || complete == 0 {
		return 0
	}
	return time.Since(time.Unix(0, complete))
}

func (sr *Signer) readArchive(ctx context.Context) error {
	latest, err := sr.Archive.Latest(ctx)
	if err != nil {
		return err
	}
	if sr.last = (checkpoint.Checkpoint{}); latest.Size > 0 {
		text, err := sr.Archive.Read(ctx, latest.Name)
		if err != nil {
			return err
		}
		if sr.last, err = checkpoint.Open(string(text), sr.known); err != nil {
			return fmt.Errorf("the archive's %s: %w", latest.Name, err)
		}
	}
	sr.archivedSize, sr.day = sr.last.Size, latest.Day
	segments, _, err := sr.Archive.Segments(ctx)
	if err != nil {
		return err
	}
	sr.sealed, sr.unsealed = 0, time.Time{}
	for _, s := range segments {
		sr.sealed = max(sr.sealed, s.Last)
	}
	return nil
}

// keepArchiving writes everything that is due to the archive until ctx ends. After an outage
// it also writes everything that became due during it, because it reads Postgres, where all
// of it is stored.
func (sr *Signer) keepArchiving(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := sr.updateArchive(ctx); err != nil {
			sr.logError(ctx, "checkpoints and segments could not be written to the archive; trying again", err)
		} else {
			sr.complete.Store(time.Now().UnixNano())
		}
		pause(ctx, sr.Every)
	}
	return ctx.Err()
}

func (sr *Signer) updateArchive(ctx context.Context) error {
	if err := sr.archiveCheckpoints(ctx); err != nil {
		return err
	}
	return sr.seal(ctx, sr.archivedSize)
}

// archiveCheckpoints writes the missing checkpoints to the archive.
func (sr *Signer) archiveCheckpoints(ctx context.Context) error {
	type row struct {
		Size     int64
		Signed   string
		SignedAt time.Time
	}
	rows, err := sr.Pool.Query(ctx, `SELECT size, signed, signed_at FROM app.checkpoints WHERE size > $1 ORDER BY nr`, sr.archivedSize)
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	lacking, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	for _, c := range lacking {
		opened, err := checkpoint.Open(c.Signed, sr.known)
		if err != nil { // a forged checkpoint: `postern verify` reports it, and the others are still archived
			sr.Logger.Error("an invalid checkpoint in Postgres is not written to the archive", "size", c.Size, "error", err)
			continue
		}
		// If a clock was set back, use the latest day (see [archive.Archive.PutCheckpoint]).
		if c.SignedAt.After(sr.day) {
			sr.day = c.SignedAt
		}
		if err := sr.lease.Held(ctx); err != nil {
			return err
		}
		if err := sr.Archive.PutCheckpoint(ctx, opened.Size, sr.day, c.Signed); err != nil {
			return err
		}
		sr.archivedSize = opened.Size
	}
	return nil
}

// seal writes all full segments of the events up to a checkpoint, and one of the remaining
// events if they have waited long enough.
func (sr *Signer) seal(ctx context.Context, signed uint64) error {
	for sr.sealed < signed {
		if sr.unsealed.IsZero() {
			if err := sr.loadUnsealedSince(ctx); err != nil {
				return err
			}
		}
		last, size, err := sr.nextRange(ctx, signed)
		if err != nil {
			return err
		}
		if size < segmentBytes && time.Since(sr.unsealed) < segmentAge {
			return nil
		}
		segment, err := sr.gather(ctx, sr.sealed+1, last, size)
		if err != nil {
			return err
		}
		if err := sr.lease.Held(ctx); err != nil {
			return err
		}
		if err := sr.Archive.PutSegment(ctx, sr.sealed+1, last, segment); err != nil {
			return err
		}
		sr.sealed, sr.unsealed = last, time.Time{}
	}
	return nil
}

// loadUnsealedSince sets the time since which a checkpoint covers the next event to seal. It
// is read from Postgres, so that a restart of the process does not reset it.
func (sr *Signer) loadUnsealedSince(ctx context.Context) error {
	err := sr.Pool.QueryRow(ctx, `SELECT signed_at FROM app.checkpoints WHERE size > $1 ORDER BY size LIMIT 1`, sr.sealed).Scan(&sr.unsealed)
	if err != nil {
		return fmt.Errorf("reading the time when event %d was signed: %w", sr.sealed+1, err)
	}
	return nil
}

// nextRange returns the last event of the next segment, and its approximate size in bytes.
func (sr *Signer) nextRange(ctx context.Context, signed uint64) (last uint64, size int64, err error) {
	err = sr.Pool.QueryRow(ctx, `SELECT max(seq), max(upto) FROM (
			SELECT seq, octet_length(stored) AS size, sum(octet_length(stored)) OVER (ORDER BY seq) AS upto
			FROM record.events WHERE seq > $1 AND seq <= $2) e
		WHERE upto - size < $3`, sr.sealed, signed, segmentBytes).Scan(&last, &size)
	if err != nil {
		return 0, 0, fmt.Errorf("measuring the events to be sealed: %w", err)
	}
	return last, size, nil
}

func (sr *Signer) gather(ctx context.Context, first, last uint64, size int64) ([]byte, error) {
	rows, err := sr.Pool.Query(ctx, `SELECT seq, stored FROM record.events WHERE seq BETWEEN $1 AND $2 ORDER BY seq`, first, last)
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
