package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/text/language"
)

// An Export has all events that match a filter, in the order of the record, up to the last
// event at the time of its start.
type Export struct {
	ID      uuid.UUID
	Through uint64

	after  uint64 // events up to this sequence are left out
	reader *Reader
	who    Actor
	filter Filter
	format string
}

// A Manifest describes a completed export: its filter, its size and the digest of its file.
type Manifest struct {
	events.RecordExported
	Seq uint64    // of the manifest's event
	By  string    // the actor
	At  time.Time // when the export ended
	// Proof is the first signed checkpoint that covers the whole export and the manifest
	// itself; "" until it is signed, which takes up to ten seconds.
	Proof string
}

// Begin starts an export, and records that who reads it. Give out no data before it returns.
// An interrupted export has no other event than this one.
func (r *Reader) Begin(ctx context.Context, who Actor, f Filter, format string) (*Export, error) {
	x := &Export{reader: r, who: who, filter: f, format: format}
	var err error
	if x.Through, err = r.position(ctx); err != nil {
		return nil, err
	}
	reading := newReading(events.ReadExport, f)
	reading.Format = format
	x.ID = reading.Reading
	if err := r.recordRead(ctx, who, reading); err != nil {
		return nil, err
	}
	return x, nil
}

func (r *Reader) position(ctx context.Context) (uint64, error) {
	var seq int64
	if err := r.cfg.Pool.QueryRow(ctx, `SELECT seq FROM record.position`).Scan(&seq); err != nil {
		return 0, fmt.Errorf("reading the recorder's position: %w", err)
	}
	return uint64(seq), nil // #nosec G115 -- a sequence
}

// Filter returns the filter of the export.
func (x *Export) Filter() Filter { return x.filter }

// perBatch is how many events are fetched at a time. A chunk of a thousand deliveries takes
// about thirty kilobytes as stored, and a hundred unpacked. Unpacked events are passed on in
// groups of perGroup events, or fewer if they reach groupBytes.
const (
	perBatch   = 500
	perGroup   = 100
	groupBytes = 1 << 20
)

// Each calls each with every event of the export, with all its data, in the order of the
// record. The next events are read and unpacked while each runs. Only a batch is in memory,
// and no transaction is open between batches, so that a slow reader does not hold back
// VACUUM. It stops at the first error of each.
func (x *Export) Each(ctx context.Context, each func(*FullEvent) error) error {
	ahead := make(chan []*FullEvent, 4)
	var readErr error // valid once ahead is closed
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		readErr = x.read(ctx, ahead)
		close(ahead)
	}()
	var failed error
	for group := range ahead {
		for _, w := range group {
			if failed == nil {
				failed = each(w)
			}
		}
		if failed != nil {
			stop() // the loop then waits for the goroutine to end
		}
	}
	if failed != nil {
		return failed
	}
	return readErr
}

// read sends all events of the export, until ctx ends.
func (x *Export) read(ctx context.Context, to chan<- []*FullEvent) (err error) {
	names, err := staffNames(ctx, x.reader.cfg.Pool)
	if err != nil {
		return err
	}
	var places []int64
	if x.filter.ofPerson() {
		if places, err = x.personal(ctx); err != nil {
			return fmt.Errorf("searching the record: %w", err)
		}
	}
	for after := x.after; ; {
		batch, err := x.batch(ctx, after, places)
		if err != nil {
			return fmt.Errorf("reading the record after event %d: %w", after, err)
		}
		for rest := batch; len(rest) > 0; {
			var group []*FullEvent
			if group, rest, err = unpack(rest, names); err != nil {
				return err
			}
			select {
			case to <- group:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if len(batch) < perBatch {
			return nil
		}
		after = uint64(batch[len(batch)-1].Seq) // #nosec G115 -- a sequence
	}
}

// unpack unpacks a group of events at the start of a batch, and returns the rest of the batch.
func unpack(batch []copied, names events.Names) (group []*FullEvent, rest []copied, err error) {
	bytes := 0
	for len(group) < min(perGroup, len(batch)) && bytes < groupBytes {
		w, err := batch[len(group)].whole(names)
		if err != nil {
			return nil, nil, err
		}
		bytes += len(w.Body)
		group = append(group, w)
	}
	return group, batch[len(group):], nil
}

// personal returns the sequences of all events about the person that the filter names.
func (x *Export) personal(ctx context.Context) ([]int64, error) {
	got, err := x.filter.allDeliveries(ctx, x.reader.cfg.Pool)
	if err != nil {
		return nil, err
	}
	var a arguments
	sql := "WITH" + x.filter.about(&a, got) + " SELECT seq FROM about ORDER BY seq"
	places, err := collect(ctx, x.reader.cfg.Pool, pgx.RowTo[int64], oneByOne, sql, a)
	if places == nil {
		places = []int64{} // not nil, which would select the events about all people
	}
	return places, err
}

// copied is a row of record.events.
type copied struct {
	Seq          int64
	Repeats      *int64
	Projected    bool
	Leaf, Stored []byte
}

func (x *Export) batch(ctx context.Context, after uint64, places []int64) ([]copied, error) {
	var a arguments
	where := "e.seq > " + a.add(int64(after)) + " AND e.seq <= " + a.add(int64(x.Through)) // #nosec G115 -- sequences
	if places != nil {
		where += " AND e.seq = ANY(" + a.add(places) + "::bigint[])"
	}
	where += x.filter.conditions(&a)
	// In the order of the record, along its index, without sorting.
	return collect(ctx, x.reader.cfg.Pool, pgx.RowToStructByPos[copied], alongIndexes,
		"SELECT e.seq, e.repeats, e.projected, e.leaf, e.stored FROM record.events e WHERE "+where+" ORDER BY e.seq LIMIT "+a.add(perBatch), a)
}

// collect reads all rows of a query that is planned with settings. Both go to Postgres in one
// batch, which it runs as one transaction.
func collect[T any](ctx context.Context, pool *pgxpool.Pool, to pgx.RowToFunc[T], settings, sql string, args arguments) ([]T, error) {
	q := &pgx.Batch{}
	q.Queue(settings)
	q.Queue(sql, args...)
	results := pool.SendBatch(ctx, q)
	defer func() { _ = results.Close() }()
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, to)
}

// whole unpacks an event. If it is not one of our events, the result has only its sequence and
// stored data.
func (c copied) whole(names events.Names) (*FullEvent, error) {
	w := &FullEvent{Leaf: c.Leaf, Projected: c.Projected}
	w.Seq = uint64(c.Seq) // #nosec G115 -- a sequence
	if c.Repeats != nil {
		w.Repeats = uint64(*c.Repeats) // #nosec G115 -- a sequence
	}
	s, err := merkle.Unpack(w.Seq, c.Stored)
	if err != nil {
		return nil, err
	}
	w.Subject, w.Headers, w.Body = s.Subject, s.Header, s.Data
	e, err := events.Parse(s.Header, s.Data)
	if err != nil {
		w.Summary = notAnEvent
		return w, nil
	}
	w.ID, w.Type, w.Time, w.Actor, w.MessageID = e.ID, e.Type, e.Time, e.Actor, e.MessageID
	w.Summary = summaryOf(language.English, e, names, w.Repeats) // an export is evidence, in one language
	return w, nil
}

// End records that an export is complete, with its manifest. Call it after the last byte is
// written, and report the end to the reader only after it returns.
func (x *Export) End(ctx context.Context, written events.RecordExported) (Manifest, error) {
	written.Export, written.Format, written.Filter, written.Through = x.ID, x.format, x.filter.onRecord(), x.Through
	var size int64
	err := x.reader.cfg.Pool.QueryRow(ctx, `SELECT signed, size FROM app.checkpoints ORDER BY nr DESC LIMIT 1`).Scan(&written.Checkpoint, &size)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Manifest{}, fmt.Errorf("reading the latest checkpoint: %w", err)
	}
	written.Covers = uint64(size) // #nosec G115 -- a count
	m := Manifest{RecordExported: written, By: string(x.who)}
	m.Seq, m.At, err = x.reader.publish(ctx, x.who, written)
	if err != nil {
		return Manifest{}, fmt.Errorf("recording an export: %w", err)
	}
	return m, nil
}

// Manifest returns the manifest of a completed export, or [ErrNotFound].
func (r *Reader) Manifest(ctx context.Context, id uuid.UUID) (m Manifest, err error) {
	var c copied
	err = r.cfg.Pool.QueryRow(ctx, `SELECT seq, repeats, projected, leaf, stored FROM record.events WHERE id = $1 AND repeats IS NULL`,
		events.IDOf(events.TypeRecordExported, id.String())).Scan(&c.Seq, &c.Repeats, &c.Projected, &c.Leaf, &c.Stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return m, ErrNotFound
	}
	if err != nil {
		return m, fmt.Errorf("looking for an export: %w", err)
	}
	w, err := c.whole(nil) // its summary is not used
	if err != nil {
		return m, err
	}
	e, err := w.Event()
	if err != nil {
		return m, err
	}
	m.Seq, m.By, m.At = w.Seq, w.Actor, w.Time
	if m.RecordExported, err = events.Decode[events.RecordExported](e); err != nil {
		return m, err
	}
	err = r.cfg.Pool.QueryRow(ctx, `SELECT signed FROM app.checkpoints WHERE size >= $1 ORDER BY size, nr LIMIT 1`, c.Seq).Scan(&m.Proof)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return m, fmt.Errorf("looking for a checkpoint that covers an export: %w", err)
	}
	return m, nil
}
