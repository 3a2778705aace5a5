// Package entries checks the people whom events hide: they must be those of the root by which
// receipts prove them.
package entries

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/events"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/inboxrows"
)

// A Check checks entries. It is not safe for concurrent use.
type Check struct {
	Pool *pgxpool.Pool
	// Keys opens the seeds. If nil, nothing is checked.
	Keys *entrykey.Opening
	// Fault is called for each fault, with the sequence of its event.
	Fault func(seq uint64, format string, args ...any)
}

// Event compares the people whom an event hides with the root that its public part has.
func (v *Check) Event(ctx context.Context, seq uint64, e events.Event) error {
	if v.Keys == nil {
		return nil
	}
	body, err := events.DecodeHiding(e)
	if err != nil || body == nil || body.HiddenBy() == nil {
		return nil //nolint:nilerr // it was not projected either
	}
	if o, ok := body.(events.AlertOutcome); ok && o.HiddenBy().Entries > 0 && o.ReplayID == nil {
		if o.Nos, err = v.nosOf(ctx, o); err != nil {
			return err
		}
		body = o
	}
	all, err := body.Entries()
	hidden := body.HiddenBy()
	switch {
	case err != nil:
		v.Fault(seq, "%v", err)
		return nil
	case len(all) != hidden.Entries:
		v.Fault(seq, "names %d entries, and its public part says %d", len(all), hidden.Entries)
		return nil
	case len(all) == 0:
		return nil
	}
	seed, err := v.Keys.Open(ctx, hidden.Seed)
	switch {
	case errors.Is(err, entrykey.ErrLost):
		return nil // receipts can't prove its entries; the event itself stands
	case errors.Is(err, content.ErrChanged):
		v.Fault(seq, "%v", err)
		return nil
	case err != nil:
		return fmt.Errorf("opening the seed of event %d: %w", seq, err)
	}
	if seed.Root(all) != hidden.Root {
		v.Fault(seq, "names others than its public part says: the root of its entries is another one")
	}
	return nil
}

// nosOf returns the numbers of the recipients of an outcome's chunk, in order.
func (v *Check) nosOf(ctx context.Context, o events.AlertOutcome) ([]int32, error) {
	var seq int64
	var stored []byte
	err := v.Pool.QueryRow(ctx, `SELECT e.seq, e.stored FROM record.chunks c JOIN record.events e USING (seq) WHERE c.message_id = $1 AND c.chunk = $2`,
		o.MessageID, o.Chunk).Scan(&seq, &stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil // reported where the tables are compared
	}
	if err != nil {
		return nil, fmt.Errorf("reading the chunk of an outcome: %w", err)
	}
	s, err := merkle.Unpack(uint64(seq), stored) // #nosec G115 -- a sequence
	if err != nil {
		return nil, err
	}
	e, err := events.Parse(s.Header, s.Data)
	if err != nil {
		return nil, err
	}
	chunk, err := inboxrows.Of(&e)
	if err != nil {
		return nil, err
	}
	return slices.Collect(chunk.Nos()), nil
}
