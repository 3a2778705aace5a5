package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"postern/internal/proof/archive"
)

// The time within which the recorder writes to the archive, if there is no outage.
const (
	checkpointsWithin = 2 * time.Minute
	segmentsWithin    = 2 * time.Hour
)

// expected compares the checkpoints in Postgres with those in the archive.
type expected struct {
	outside map[string]bool // texts of the checkpoints in the archive
	largest uint64          // the size of the largest of them
	lacking int             // the number of checkpoints that the archive should have
	first   string          // the description of the first of those
}

// expectOutside counts a checkpoint of Postgres that the archive lacks although it has a
// later one, or should have it by now.
func (e *expected) expectOutside(size uint64, at time.Time, text string) {
	if e.outside == nil || e.outside[text] || size >= e.largest && time.Since(at) < checkpointsWithin {
		return
	}
	if e.lacking++; e.lacking == 1 {
		e.first = fmt.Sprintf("the checkpoint of %d events, signed at %s", size, at.UTC().Format(time.RFC3339))
	}
}

// readAtOnce is the number of concurrent reads from the archive.
const readAtOnce = 16

// checkpointsOutside reads the archive's checkpoints from a size on, in the order of their
// names.
func (v *Verifier) checkpointsOutside(ctx context.Context, from uint64, add func(where, text string) bool) error {
	if v.Archive == nil {
		return nil
	}
	all, foreign, err := v.Archive.Checkpoints(ctx)
	if err != nil {
		return err
	}
	v.foreign(foreign)
	texts := make([]string, len(all))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(readAtOnce)
	for i, c := range all {
		if c.Size < from {
			continue
		}
		group.Go(func() error {
			text, err := v.Archive.Read(reading, c.Name)
			texts[i] = string(text)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	v.outside = map[string]bool{}
	for i, c := range all {
		if c.Size >= from {
			v.outside[texts[i]], v.largest = true, max(v.largest, c.Size)
			add("the archive's "+c.Name, texts[i])
		}
	}
	return nil
}

func (v *Verifier) foreign(names []string) {
	for _, name := range names {
		v.fault("the archive's "+name, 0, "only the recorder should write there, and it did not write this")
	}
}

func (v *Verifier) segments(ctx context.Context) ([]archive.Segment, error) {
	if v.Archive == nil {
		return nil, nil
	}
	all, foreign, err := v.Archive.Segments(ctx)
	v.foreign(foreign)
	return all, err
}

// checkArchiveComplete looks for objects that the archive should have and does not: they
// were deleted, or never written.
func (v *Verifier) checkArchiveComplete(ctx context.Context, segments []archive.Segment) error {
	if v.Archive == nil {
		return nil
	}
	if v.lacking > 0 {
		v.fault("the archive", 0, "%d checkpoints are missing, the first is %s: they were deleted there, or the recorder has not reached it since", v.lacking, v.first)
	}
	var last uint64
	for _, s := range segments {
		if s.First > last+1 {
			v.fault("the archive", last+1, "no segment has events %d to %d: it was deleted", last+1, s.First-1)
		}
		last = max(last, s.Last)
	}
	var due int64
	var at time.Time
	err := v.Pool.QueryRow(ctx, `SELECT size, signed_at FROM app.checkpoints WHERE signed_at < now() - $1::interval AND size > $2
		ORDER BY size LIMIT 1`, segmentsWithin, last).Scan(&due, &at)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading which events should be sealed: %w", err)
	}
	v.fault("the archive", last+1, "no segment has events from %d on, of which %d were signed at %s: they were deleted there, or the recorder has not reached it since",
		last+1, due, at.UTC().Format(time.RFC3339))
	return nil
}
