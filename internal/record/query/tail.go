package query

import (
	"context"
	"fmt"

	"postern/internal/events"
)

// A Tail follows the record as it grows. It is one reading, however long it lasts.
type Tail struct {
	room   *Reader
	filter Filter
	seen   uint64
}

// Tail gives the last n events that the filter chooses, newest first, and what follows
// them from then on. That who follows was recorded before.
func (r *Reader) Tail(ctx context.Context, who Actor, f Filter, n int) (*Tail, []Entry, error) {
	seen, err := r.position(ctx)
	if err != nil {
		return nil, nil, err
	}
	last, err := r.find(ctx, f, Place{}, n)
	if err != nil {
		return nil, nil, fmt.Errorf("searching the record: %w", err)
	}
	reading := newReading(events.ReadTail, f)
	reading.Count = len(last)
	if err := r.recordRead(ctx, who, reading); err != nil {
		return nil, nil, err
	}
	for _, e := range last {
		seen = max(seen, e.Seq) // recorded while we looked
	}
	return &Tail{r, f, seen}, last, nil
}

// Next gives what was recorded since the last call, in the order of the record.
func (t *Tail) Next(ctx context.Context, each func(*Whole) error) error {
	through, err := t.room.position(ctx)
	if err != nil || through <= t.seen {
		return err
	}
	x := &Export{room: t.room, filter: t.filter, after: t.seen, Through: through}
	if err := x.Each(ctx, each); err != nil {
		return err
	}
	t.seen = through
	return nil
}
