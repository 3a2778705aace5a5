package query

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/text/language"
)

// Entry is an event in a list.
type Entry struct {
	Seq       uint64
	ID        uuid.UUID
	Type      events.Type
	Time      time.Time
	Actor     string
	MessageID uuid.UUID // [uuid.Nil] if it is not about a message
	Summary   string
	Repeats   uint64 // the sequence of the first event with this id, the only one that counts; 0: this is the first
}

// Cursor is the position at which a page ended. Events are in order of their time and, for the
// same time, of their sequence; the type or the actor may come first (see [Filter]). None of them
// ever changes, so pages neither repeat nor skip an event, even if events are recorded in between.
type Cursor struct {
	Time time.Time
	Seq  uint64
}

// Cursor returns the position of a page that ends with the entry.
func (e Entry) Cursor() Cursor { return Cursor{e.Time, e.Seq} }

// Find returns up to limit events that match the filter, in its order, after a position; the zero Cursor is the beginning. Before it returns, it records that who read
// them. Stored data that is not one of our events has no time and is left out.
func (r *Reader) Find(ctx context.Context, who Actor, f Filter, from Cursor, limit int) ([]Entry, error) {
	found, _, err := r.Page(ctx, who, f, from, limit)
	return found, err
}

// Page is [Reader.Find], and reports whether there are more.
func (r *Reader) Page(ctx context.Context, who Actor, f Filter, from Cursor, limit int) (found []Entry, more bool, err error) {
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

func (r *Reader) find(ctx context.Context, f Filter, from Cursor, limit int) (page []Entry, err error) {
	err = pgx.BeginTxFunc(ctx, r.cfg.Pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		got, err := f.allDeliveries(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, f.settings()); err != nil {
			return err
		}
		key, err := f.keyAt(ctx, tx, from)
		if err != nil {
			return err
		}
		var args arguments
		rows, err := tx.Query(ctx, f.page(&args, got, from, key, limit), args...)
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
		page, err = pgx.CollectRows(rows, scanEntry(language.From(ctx), names))
		return err
	})
	return page, err
}

// Right after a blast, Postgres may have no statistics of it, and would read all of it. So a
// page is read along an index that has its order, and the events about a person are looked up
// one by one. Where no index has the order (see Filter.alongIndex), all events that match are read
// along an index of the filter, and sorted.
const (
	alongIndexes = `SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_bitmapscan', 'enable_seqscan', 'enable_sort']) AS name`
	oneByOne     = `SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_hashjoin', 'enable_mergejoin', 'enable_seqscan']) AS name`
)

func (f Filter) settings() string {
	if f.ofPerson() || !f.alongIndex() {
		return oneByOne
	}
	return alongIndexes
}

// alongIndex reports whether an index of record.events has the order of the list. None has the
// events of one type or message in order of actor, or those of one actor in order of type.
func (f Filter) alongIndex() bool {
	switch f.SortBy {
	case ByType:
		return f.Actor == ""
	case ByActor:
		return f.Actor != "" || f.Type == "" && f.MessageID == uuid.Nil
	}
	return true
}

// keyAt returns the type or actor of the event at a position, by which the list is ordered.
func (f Filter) keyAt(ctx context.Context, q querier, from Cursor) (key string, err error) {
	if f.SortBy == ByTime || from.Seq == 0 {
		return "", nil
	}
	rows, err := q.Query(ctx, `SELECT e.`+string(f.SortBy)+` FROM record.events e WHERE e.seq = $1`, int64(from.Seq)) // #nosec G115 -- a sequence
	if err != nil {
		return "", err
	}
	key, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil // no event has the position: the list begins anew, or is empty
	}
	return key, err
}

// page returns the query for the sequences of a page, in its order. The deliveries are all
// those of the filter's person; key is that of the position.
func (f Filter) page(a *arguments, got []delivery, from Cursor, key string, limit int) string {
	with, table := "", "record.events e"
	if f.ofPerson() {
		with, table = "WITH"+f.about(a, got), "about CROSS JOIN LATERAL (SELECT * FROM record.events e WHERE e.seq = about.seq OFFSET 0) e"
	}
	where := "e.time IS NOT NULL" + f.conditions(a)
	columns := f.SortBy.columns()
	descending, behind := " DESC", "<"
	if f.Ascending {
		descending, behind = "", ">"
	}
	if from.Seq != 0 {
		position := a.add(from.Time) + ", " + a.add(int64(from.Seq)) // #nosec G115 -- a sequence
		if f.SortBy != ByTime {
			position = a.add(key) + ", " + position
		}
		where += " AND (" + strings.Join(columns, ", ") + ") " + behind + " (" + position + ")"
	}
	return with + " SELECT e.seq FROM " + table + " WHERE " + where + " ORDER BY " + strings.Join(columns, descending+", ") + descending + " LIMIT " + a.add(limit)
}

// selectEntries reads events for a list. The number of deliveries of a chunk comes from its
// table, so that its event of a hundred kilobytes need not be read.
const selectEntries = `
	SELECT e.seq, e.id, e.type, e.time, e.actor, e.message_id, e.repeats, k.chunk, k.chunks, c.deliveries,
	       CASE WHEN c.deliveries IS NULL THEN e.stored END
	FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (seq, place)
	JOIN record.events e USING (seq)
	LEFT JOIN record.chunk_events k ON k.seq = wanted.seq
	LEFT JOIN record.chunks c ON e.type = 'deliveries.created' AND c.message_id = k.message_id AND c.chunk = k.chunk
	ORDER BY wanted.place`

func scanEntry(l language.Language, names events.Names) pgx.RowToFunc[Entry] {
	return func(row pgx.CollectableRow) (Entry, error) { return readEntry(row, l, names) }
}

func readEntry(row pgx.CollectableRow, l language.Language, names events.Names) (Entry, error) {
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
		e.Summary = events.ChunkSummary(l, e.Actor, names, int(*deliveries), &events.ChunkRef{Index: int(*index), Of: int(*of)}) + repeating(l, e.Repeats)
		return e, nil
	}
	s, err := merkle.Unpack(e.Seq, stored)
	if err != nil {
		return e, err
	}
	parsed, err := events.Parse(s.Header, s.Data)
	if err != nil {
		e.Summary = l.Text(notAnEvent)
		return e, nil
	}
	e.Summary = summaryOf(l, parsed, names, e.Repeats)
	return e, nil
}

// notAnEvent is the summary of stored data that is not one of our events.
var notAnEvent = language.Mark("what stands here is not an event")

func summaryOf(l language.Language, e events.Event, names events.Names, repeats uint64) string {
	return events.SummaryIn(l, e, names) + repeating(l, repeats)
}

// staffNames reads the names of all staff members; there are few.
func staffNames(ctx context.Context, q querier) (events.Names, error) {
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

func repeating(l language.Language, first uint64) string {
	if first == 0 {
		return ""
	}
	return " " + l.Text("(a repeat of event {seq})", "seq", strconv.FormatUint(first, 10))
}
