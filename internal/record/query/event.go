package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/text/language"
)

// FullEvent is an event with all its stored data.
type FullEvent struct {
	Entry
	Subject string
	Headers map[string][]string
	Body    json.RawMessage // as stored, to the byte
	Leaf    []byte          // of the Merkle tree: [merkle.Leaf]
	// Projected is false if the event changed nothing: it repeats another, came too late, or
	// was parked.
	Projected bool
}

// Event parses the event, for [events.Decode].
func (w *FullEvent) Event() (events.Event, error) { return events.Parse(w.Headers, w.Body) }

// Event returns one event with all its data, or [ErrNotFound]. Before it returns, it records
// that who read it.
func (r *Reader) Event(ctx context.Context, who Actor, seq uint64) (FullEvent, error) {
	w, err := r.event(ctx, seq)
	if err != nil {
		return FullEvent{}, err
	}
	reading := newReading(events.ReadEvent, Filter{})
	reading.Seq, reading.Count = seq, 1
	if err := r.recordRead(ctx, who, reading); err != nil {
		return FullEvent{}, err
	}
	return w, nil
}

func (r *Reader) event(ctx context.Context, seq uint64) (w FullEvent, err error) {
	if seq >= 1<<63 {
		return w, ErrNotFound
	}
	at := int64(seq) // #nosec G115 -- bounded above
	names, err := staffNames(ctx, r.cfg.Pool)
	if err != nil {
		return w, err
	}
	rows, err := r.cfg.Pool.Query(ctx, selectEntries, []int64{at})
	if err == nil {
		w.Entry, err = pgx.CollectExactlyOneRow(rows, scanEntry(language.From(ctx), names))
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return w, ErrNotFound
	}
	if err != nil {
		return w, fmt.Errorf("reading event %d: %w", seq, err)
	}
	var copied []byte
	if err := r.cfg.Pool.QueryRow(ctx, `SELECT leaf, projected, stored FROM record.events WHERE seq = $1`, at).Scan(&w.Leaf, &w.Projected, &copied); err != nil {
		return w, fmt.Errorf("reading event %d: %w", seq, err)
	}
	s, err := merkle.Unpack(seq, copied)
	w.Subject, w.Headers, w.Body = s.Subject, s.Header, s.Data
	return w, err
}
