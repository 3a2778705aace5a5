package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"postern/internal/archive"
	"postern/internal/checkpoint"
)

// signed is a checkpoint that some key of ours signed, and where it is kept.
type signed struct {
	checkpoint.Checkpoint
	where string
}

// readCheckpoints opens every checkpoint ever signed. What can't be opened is a
// fault: nobody but us puts any there.
func (v *Verifier) readCheckpoints(ctx context.Context) error {
	seen := map[string]bool{}
	add := func(where, text string) {
		if seen[text] {
			return
		}
		seen[text] = true
		c, err := checkpoint.Open(text, v.Keys)
		if err != nil {
			v.fault(where, 0, "%v", err)
			return
		}
		v.signed = append(v.signed, signed{c, where})
	}
	if v.Archive != nil {
		outside, err := v.Archive.Checkpoints(ctx)
		if err != nil {
			return err
		}
		for _, c := range outside {
			if v.Since != nil && c.Size < v.Since.Size {
				continue
			}
			text, err := v.Archive.Read(ctx, c.Name)
			if err != nil {
				return err
			}
			add("the archive's "+c.Name, string(text))
		}
	}
	var from uint64
	if v.Since != nil {
		from = v.Since.Size
		v.signed = append(v.signed, signed{*v.Since, "the checkpoint that was given"})
	}
	rows, err := v.Pool.Query(ctx, `SELECT nr, size, signed FROM app.checkpoints WHERE size >= $1 ORDER BY nr`, from)
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	var nr, size int64
	var text string
	_, err = pgx.ForEachRow(rows, []any{&nr, &size, &text}, func() error {
		add(fmt.Sprintf("checkpoint %d in Postgres, of %d events", nr, size), text)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	slices.SortStableFunc(v.signed, func(a, b signed) int { return cmp.Compare(a.Size, b.Size) })
	return nil
}

// passCheckpoints holds the tree against the checkpoints of its size.
func (v *Verifier) passCheckpoints(size uint64) {
	for len(v.signed) > 0 && v.signed[0].Size <= size {
		c := v.signed[0]
		v.signed = v.signed[1:]
		switch {
		case c.Size < size: // of before the walk
		case v.differs: // the events that differ were named
		case v.tree.Root() != c.Root:
			v.fault(c.where, c.Size, "the record up to event %d is not what was signed: something after event %d was changed", c.Size, v.report.Signed)
			v.differs = true
		default:
			v.report.Checkpoints++
			v.report.Signed = c.Size
		}
	}
}

// endAt finds checkpoints that cover more than there is.
func (v *Verifier) endAt(last uint64) {
	for _, c := range v.signed {
		if c.Size > last {
			v.fault(c.where, last+1, "%d events were signed, and the record ends at event %d: events %d to %d are gone, it was rolled back", c.Size, last, last+1, c.Size)
			return
		}
	}
}

func (v *Verifier) segments(ctx context.Context) (all []archive.Segment, err error) {
	if v.Archive == nil {
		return nil, nil
	}
	return v.Archive.Segments(ctx)
}
