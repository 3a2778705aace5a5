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
)

// An Export is all that a filter chooses, in the order of the record, up to where the
// record had come when it began.
type Export struct {
	ID      uuid.UUID
	Through uint64

	after  uint64 // events up to here are left out
	room   *Reader
	who    Actor
	filter Filter
	format string
}

// A Manifest says what an export is: of what, how much, and which file.
type Manifest struct {
	events.RecordExported
	Seq uint64    // where it stands on the record
	By  string    // the actor
	At  time.Time // when the export ended
	// Proof is the first signed checkpoint that covers all of the export and the
	// manifest itself; "" until it is signed, which is within ten seconds.
	Proof string
}

// Begin begins an export, and puts on the record that who reads it: nothing may be
// handed out before. Where the export is broken off, that stays all there is of it.
func (r *Reader) Begin(ctx context.Context, who Actor, f Filter, format string) (*Export, error) {
	x := &Export{room: r, who: who, filter: f, format: format}
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
		return 0, fmt.Errorf("reading how far the record has come: %w", err)
	}
	return uint64(seq), nil // #nosec G115 -- a sequence
}

// Filter is what the export was asked for.
func (x *Export) Filter() Filter { return x.filter }

// perBatch is how many events are fetched at a time: chunks of a thousand deliveries are
// some thirty kilobytes each as they are kept. Unpacked they are a hundred, and handed
// over by the group: perGroup events, or as many as have groupBytes.
const (
	perBatch   = 500
	perGroup   = 100
	groupBytes = 1 << 20
)

// Each gives every event of the export, whole, in the order of the record. The next are
// read and unpacked while each works on some; only a batch of them is held at a time, and
// no transaction between two, so that a slow reader does not hold back VACUUM. It stops
// at the first error of each.
func (x *Export) Each(ctx context.Context, each func(*Whole) error) error {
	ahead := make(chan []*Whole, 4)
	var broken error // read once ahead is closed
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		broken = x.read(ctx, ahead)
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
			stop() // and wait until it has ended
		}
	}
	if failed != nil {
		return failed
	}
	return broken
}

// read hands over all events of the export, until ctx ends.
func (x *Export) read(ctx context.Context, to chan<- []*Whole) (err error) {
	names, err := staffNames(ctx, x.room.cfg.Pool)
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
			var group []*Whole
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

// unpack makes a group of the first events of a batch, and gives the rest of it.
func unpack(batch []copied, names events.Names) (group []*Whole, rest []copied, err error) {
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

// personal gives the sequences of what speaks of a person: as many as one person has
// events.
func (x *Export) personal(ctx context.Context) ([]int64, error) {
	var a arguments
	sql := "WITH" + x.filter.spoken(&a) + " SELECT seq FROM spoken ORDER BY seq"
	places, err := collect(ctx, x.room.cfg.Pool, pgx.RowTo[int64], oneByOne, sql, a)
	if places == nil {
		places = []int64{} // nobody's, and not everybody's
	}
	return places, err
}

// copied is an event as record.events has it.
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
	// In the order of the record, along its own index, and sorting nothing.
	return collect(ctx, x.room.cfg.Pool, pgx.RowToStructByPos[copied], alongIndexes,
		"SELECT e.seq, e.repeats, e.projected, e.leaf, e.stored FROM record.events e WHERE "+where+" ORDER BY e.seq LIMIT "+a.add(perBatch), a)
}

// collect reads all rows of a query that is planned under settings. Both go to Postgres
// at once, which takes them for one transaction.
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

// whole unpacks an event. What is not one of ours has no more than its place.
func (c copied) whole(names events.Names) (*Whole, error) {
	w := &Whole{Leaf: c.Leaf, Projected: c.Projected}
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
	w.Summary = summaryOf(e, names, w.Repeats)
	return w, nil
}

// End puts on the record that an export was written to its end, with its manifest.
// Call it when the last byte is written, and tell the reader of the end only then.
func (x *Export) End(ctx context.Context, written events.RecordExported) (Manifest, error) {
	written.Export, written.Format, written.Filter, written.Through = x.ID, x.format, x.filter.onRecord(), x.Through
	var size int64
	err := x.room.cfg.Pool.QueryRow(ctx, `SELECT signed, size FROM app.checkpoints ORDER BY nr DESC LIMIT 1`).Scan(&written.Checkpoint, &size)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Manifest{}, fmt.Errorf("reading the latest checkpoint: %w", err)
	}
	written.Covers = uint64(size) // #nosec G115 -- a count
	m := Manifest{RecordExported: written, By: string(x.who)}
	m.Seq, m.At, err = x.room.publish(ctx, x.who, written)
	if err != nil {
		return Manifest{}, fmt.Errorf("recording an export: %w", err)
	}
	return m, nil
}

// Manifest gives that of an export that came to its end, or [ErrNotFound].
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
	w, err := c.whole(nil) // its summary is not asked for
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
