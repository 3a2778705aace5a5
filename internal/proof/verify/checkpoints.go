package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/proof/checkpoint"
)

// signed is a checkpoint that one of the known keys signed, and where it is stored.
type signed struct {
	checkpoint.Checkpoint
	where string
}

// readCheckpoints opens every checkpoint ever signed. One that can't be opened is a fault,
// because only the recorder should write checkpoints.
func (v *Verifier) readCheckpoints(ctx context.Context) error {
	seen := map[string]bool{}
	add := func(where, text string) (opened bool) {
		if seen[text] {
			return true
		}
		seen[text] = true
		c, err := checkpoint.Open(text, v.Keys)
		if err == nil && c.Origin != v.Keys.Origin() {
			err = fmt.Errorf("it belongs to the record %s, and this one is %s", c.Origin, v.Keys.Origin())
		}
		if err != nil {
			v.fault(where, 0, "%v", err)
			return false
		}
		v.signed = append(v.signed, signed{c, where})
		return true
	}
	var from uint64
	if v.Since != nil {
		from = v.Since.Size
		v.signed = append(v.signed, signed{*v.Since, "the checkpoint that was given"})
	}
	if err := v.checkpointsOutside(ctx, from, add); err != nil {
		return err
	}
	rows, err := v.Pool.Query(ctx, `SELECT nr, size, signed, signed_at FROM app.checkpoints WHERE size >= $1 ORDER BY nr`, from)
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	var nr, size int64
	var text string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&nr, &size, &text, &at}, func() error {
		if add(fmt.Sprintf("checkpoint %d in Postgres, of %d events", nr, size), text) {
			v.expectOutside(uint64(size), at, text) // #nosec G115 -- a size
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the checkpoints: %w", err)
	}
	slices.SortStableFunc(v.signed, func(a, b signed) int { return cmp.Compare(a.Size, b.Size) })
	return nil
}

// compareCheckpoints compares the tree with the checkpoints of its size.
func (v *Verifier) compareCheckpoints(size uint64) {
	for len(v.signed) > 0 && v.signed[0].Size <= size {
		c := v.signed[0]
		v.signed = v.signed[1:]
		if c.Size == size {
			v.compared = append(v.compared, comparedCheckpoint{c, v.tree.Root() == c.Root})
		}
		switch {
		case c.Size < size: // from before the first event of the walk
		case v.differs: // the differing events were reported already
		case v.tree.Root() != c.Root:
			v.fault(c.where, c.Size, "the record up to event %d is not what was signed: something after event %d was changed", c.Size, v.report.Signed)
			v.differs = true
		default:
			v.report.Checkpoints++
			v.report.Signed = c.Size
		}
	}
}

// checkEnd finds checkpoints that cover more events than the record has.
func (v *Verifier) checkEnd(last uint64) {
	for _, c := range v.signed {
		if c.Size > last {
			v.fault(c.where, last+1, "%d events were signed, and the record ends at event %d: events %d to %d are gone, it was rolled back", c.Size, last, last+1, c.Size)
			return
		}
	}
}
