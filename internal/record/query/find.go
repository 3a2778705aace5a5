package query

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/proof/merkle"
)

// Entry is an event as a list shows it.
type Entry struct {
	Seq       uint64
	ID        uuid.UUID
	Type      events.Type
	Time      time.Time
	Actor     string
	MessageID uuid.UUID // [uuid.Nil] where it speaks of none
	Summary   string
	Repeats   uint64 // the first event with this id, which alone counts; 0: it is the first
}

// Place is where a page ended. Events are in order of their time and, where that is
// the same, of their sequence; neither ever changes, so pages neither repeat an event
// nor leave one out, whatever is recorded in the meantime.
type Place struct {
	Time time.Time
	Seq  uint64
}

// Place is where a page that ends with the entry ended.
func (e Entry) Place() Place { return Place{e.Time, e.Seq} }

// Find gives up to limit events that the filter chooses, newest or oldest first, from
// those behind a place on; the zero Place is the beginning. What it gives was recorded as
// read by who. What is not an event of ours, which has no time, is not among them.
func (r *Reader) Find(ctx context.Context, who Actor, f Filter, from Place, limit int) ([]Entry, error) {
	found, _, err := r.Page(ctx, who, f, from, limit)
	return found, err
}

// Page is [Reader.Find], and tells whether there are more.
func (r *Reader) Page(ctx context.Context, who Actor, f Filter, from Place, limit int) (found []Entry, more bool, err error) {
	if found, err = r.find(ctx, f, from, limit+1); err != nil {
		return nil, false, fmt.Errorf("searching the record: %w", err)
	}
	if more = len(found) > limit; more {
		found = found[:limit]
	}
	reading := newReading(events.ReadList, f)
	reading.Count = len(found)
	if err := r.recordRead(ctx, who, reading); err != nil {
		return nil, false, err
	}
	return found, more, nil
}

func (r *Reader) find(ctx context.Context, f Filter, from Place, limit int) (page []Entry, err error) {
	err = pgx.BeginTxFunc(ctx, r.cfg.Pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, f.settings()); err != nil {
			return err
		}
		var args arguments
		rows, err := tx.Query(ctx, f.page(&args, from, limit), args...)
		if err != nil {
			return err
		}
		places, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		names, err := staffNames(ctx, tx)
		if err != nil {
			return err
		}
		rows, err = tx.Query(ctx, selectEntries, places)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, scanEntry(names))
		return err
	})
	return page, err
}

// Postgres may not have looked yet at what a blast has just left, and would read all
// of it. So a page is read along an index that is in its order, and what speaks of a
// person is looked up one by one.
const (
	alongIndexes = `SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_bitmapscan', 'enable_seqscan', 'enable_sort']) AS name`
	oneByOne     = `SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_hashjoin', 'enable_mergejoin', 'enable_seqscan']) AS name`
)

func (f Filter) settings() string {
	if f.ofPerson() {
		return oneByOne
	}
	return alongIndexes
}

// page is the query for the sequences of a page, in its order.
func (f Filter) page(a *arguments, from Place, limit int) string {
	with, table := "", "record.events e"
	if f.ofPerson() {
		with, table = "WITH"+f.spoken(a), "spoken CROSS JOIN LATERAL (SELECT * FROM record.events e WHERE e.seq = spoken.seq OFFSET 0) e"
	}
	where := "e.time IS NOT NULL" + f.conditions(a)
	order, behind := "e.time DESC, e.seq DESC", "<"
	if f.OldestFirst {
		order, behind = "e.time, e.seq", ">"
	}
	if from.Seq != 0 {
		where += " AND (e.time, e.seq) " + behind + " (" + a.add(from.Time) + ", " + a.add(int64(from.Seq)) + ")" // #nosec G115 -- a sequence
	}
	return with + " SELECT e.seq FROM " + table + " WHERE " + where + " ORDER BY " + order + " LIMIT " + a.add(limit)
}

// selectEntries gives what a list shows of events. How many deliveries a chunk has is
// in a table: its hundred kilobytes are left where they are.
const selectEntries = `
	SELECT e.seq, e.id, e.type, e.time, e.actor, e.message_id, e.repeats, k.chunk, k.chunks, c.deliveries,
	       CASE WHEN c.deliveries IS NULL THEN e.stored END
	FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (seq, place)
	JOIN record.events e USING (seq)
	LEFT JOIN record.chunk_events k ON k.seq = wanted.seq
	LEFT JOIN record.chunks c ON e.type = 'deliveries.created' AND c.message_id = k.message_id AND c.chunk = k.chunk
	ORDER BY wanted.place`

func scanEntry(names events.Names) pgx.RowToFunc[Entry] {
	return func(row pgx.CollectableRow) (Entry, error) { return readEntry(row, names) }
}

func readEntry(row pgx.CollectableRow, names events.Names) (Entry, error) {
	var (
		e                  Entry
		seq                int64
		id, message        *uuid.UUID
		at                 *time.Time
		repeats, index, of *int64
		deliveries         *int32
		stored             []byte
	)
	if err := row.Scan(&seq, &id, &e.Type, &at, &e.Actor, &message, &repeats, &index, &of, &deliveries, &stored); err != nil {
		return e, err
	}
	e.Seq = uint64(seq) // #nosec G115 -- a sequence
	if id != nil {
		e.ID, e.Time = *id, at.UTC()
	}
	if message != nil {
		e.MessageID = *message
	}
	if repeats != nil {
		e.Repeats = uint64(*repeats) // #nosec G115 -- a sequence
	}
	if deliveries != nil {
		e.Summary = events.ChunkSummary(e.Actor, names, int(*deliveries), &events.ChunkRef{Index: int(*index), Of: int(*of)}) + repeating(e.Repeats)
		return e, nil
	}
	s, err := merkle.Unpack(e.Seq, stored)
	if err != nil {
		return e, err
	}
	parsed, err := events.Parse(s.Header, s.Data)
	if err != nil {
		e.Summary = notAnEvent
		return e, nil
	}
	e.Summary = summaryOf(parsed, names, e.Repeats)
	return e, nil
}

// notAnEvent is said of what stands on the record and is none.
const notAnEvent = "what stands here is not an event"

func summaryOf(e events.Event, names events.Names, repeats uint64) string {
	return events.Summary(e, names) + repeating(repeats)
}

// staffNames reads the names of all staff, who are few.
func staffNames(ctx context.Context, q interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}) (events.Names, error) {
	rows, err := q.Query(ctx, `SELECT staff_id, name FROM record.staff`)
	if err != nil {
		return nil, fmt.Errorf("reading the names of staff: %w", err)
	}
	names := map[string]string{}
	var id, name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { names[id] = name; return nil }); err != nil {
		return nil, fmt.Errorf("reading the names of staff: %w", err)
	}
	return func(id string) string { return names[id] }, nil
}

func repeating(first uint64) string {
	if first == 0 {
		return ""
	}
	return fmt.Sprintf(" (a repeat of event %d)", first)
}
