package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"postern/internal/content"
	"postern/internal/events"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/inboxrows"
)

// checkEntries compares the people whom an event hides with the root that its public part has, by
// which receipts prove them. That needs the content key.
func (v *Verifier) checkEntries(ctx context.Context, seq uint64, e events.Event) error {
	if v.entries == nil {
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
		v.faultAt(seq, "%v", err)
		return nil
	case len(all) != hidden.Entries:
		v.faultAt(seq, "names %d entries, and its public part says %d", len(all), hidden.Entries)
		return nil
	case len(all) == 0:
		return nil
	}
	seed, err := v.entries.Open(ctx, hidden.Seed)
	switch {
	case errors.Is(err, entrykey.ErrLost):
		return nil // receipts can't prove its entries; the event itself stands
	case errors.Is(err, content.ErrChanged):
		v.faultAt(seq, "%v", err)
		return nil
	case err != nil:
		return fmt.Errorf("opening the seed of event %d: %w", seq, err)
	}
	if seed.Root(all) != hidden.Root {
		v.faultAt(seq, "names others than its public part says: the root of its entries is another one")
	}
	return nil
}

// nosOf returns the numbers of the recipients of an outcome's chunk, in order.
func (v *Verifier) nosOf(ctx context.Context, o events.AlertOutcome) ([]int32, error) {
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
