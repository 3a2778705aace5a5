package query

import (
	"context"
	"fmt"

	"postern/internal/events"
)

// A Tail follows the record as it grows. It is recorded as one reading, for any duration.
type Tail struct {
	reader *Reader
	filter Filter
	seen   uint64
}

// Tail returns the last n events that match the filter, newest first, and a Tail for the
// events after them. Before it returns, it records that who follows the record.
func (r *Reader) Tail(ctx context.Context, who Actor, f Filter, n int) (*Tail, []Entry, error) {
	seen, err := r.position(ctx)
	if err != nil {
		return nil, nil, err
	}
	last, err := r.find(ctx, f, Cursor{}, n)
	if err != nil {
		return nil, nil, fmt.Errorf("searching the record: %w", err)
	}
	reading := newReading(events.ReadTail, f)
	reading.Count = len(last)
	if err := r.recordRead(ctx, who, reading); err != nil {
		return nil, nil, err
	}
	for _, e := range last {
		seen = max(seen, e.Seq) // recorded since position was read
	}
	return &Tail{r, f, seen}, last, nil
}

// Next calls each with the events recorded since the last call, in the order of the record.
func (t *Tail) Next(ctx context.Context, each func(*FullEvent) error) error {
	through, err := t.reader.position(ctx)
	if err != nil || through <= t.seen {
		return err
	}
	x := &Export{reader: t.reader, filter: t.filter, after: t.seen, Through: through}
	if err := x.Each(ctx, each); err != nil {
		return err
	}
	t.seen = through
	return nil
}
