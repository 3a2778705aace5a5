package project

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/recorder/inboxrows"
	"postern/internal/recorder/position"
)

// A batch is a run of events that becomes readable at once: one transaction
// holds the events, everything that they change, and the new position. A crash
// before its commit leaves nothing of it; after, all of it. The contents of the
// tables never depend on where one batch ends and the next begins.
//
// Tables are named without their schema: the connection's search_path chooses
// between the real one and a rebuild's.
type batch struct {
	ctx  context.Context // of the transaction; a batch lives no longer
	tx   pgx.Tx
	from uint64 // position before it

	writes pgx.Batch // statements that wait to be sent, see queue

	events     []*Prepared
	parked     []parkedRow
	messages   map[uuid.UUID]*messageRow
	chunks     map[chunkKey]*chunkRow
	bcc        [][]any
	inbox      [][]any
	delivered  map[blockKey]block.Members // of blocks that may be in several chunks
	exceptions map[chunkKey]map[int32]*exceptionRow
	reports    map[chunkKey]map[alertKey]*reportRow
	dead       deadRows
	opens      [][]any
	openSeqs   []int64 // of opens
	downloads  [][]any
	accounts   [][]any
	outcome    []outcomeRow // per event: whether it was projected
}

type outcomeRow struct {
	repeats   *int64
	projected bool
}

type parkedRow struct {
	p      *Prepared
	reason string
}

type chunkKey struct {
	message uuid.UUID
	chunk   int
}

// blockKey names the deliveries of a message to a block of portal users.
type blockKey struct {
	message uuid.UUID
	block   block.No
}

// chunkRow is a row of chunks.
type chunkRow struct {
	key             chunkKey
	isNew, dirty    bool
	seq             uint64
	firstNo, lastNo int32
	deliveries      int
	deliveredAt     time.Time
	state           events.AlertState
	reason          string
	attempt         int
	at              *time.Time
}

// writeBatch puts a run of events, the first of which follows from, into tx, and returns the
// events that could not be projected.
func writeBatch(ctx context.Context, tx pgx.Tx, from uint64, run []*Prepared) ([]parkedRow, error) {
	b := &batch{ctx: ctx, tx: tx, from: from, events: run,
		messages: map[uuid.UUID]*messageRow{}, chunks: map[chunkKey]*chunkRow{}, delivered: map[blockKey]block.Members{},
		exceptions: map[chunkKey]map[int32]*exceptionRow{}, reports: map[chunkKey]map[alertKey]*reportRow{}, dead: deadRows{}}
	for _, step := range []func() error{b.load, b.projectAll, b.flushMessages, b.flushChunks, b.flushExceptions,
		b.flushReports, b.flushRows, b.flushEvents, b.growTree, b.send} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.parked, nil
}

// queue adds a statement that writes. Statements are sent together: one at a time, the round
// trips of a small run would take most of its time.
func (b *batch) queue(sql string, args ...any) { b.writes.Queue(sql, args...) }

// send sends the queued statements, in order.
func (b *batch) send() error {
	if b.writes.Len() == 0 {
		return nil
	}
	q := b.writes
	b.writes = pgx.Batch{}
	if err := b.tx.SendBatch(b.ctx, &q).Close(); err != nil {
		return fmt.Errorf("writing rows: %w", err)
	}
	return nil
}

// fewRows is the number of rows up to which they are inserted by queued statements. A COPY takes
// three round trips.
const fewRows = 32

// insert adds rows to a table, after the statements that are queued.
func (b *batch) insert(table string, columns []string, rows [][]any) error {
	if len(rows) <= fewRows {
		sql := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ("
		for i := range columns {
			if i > 0 {
				sql += ", "
			}
			sql += "$" + strconv.Itoa(i+1)
		}
		for _, row := range rows {
			b.queue(sql+")", row...)
		}
		return nil
	}
	if err := b.send(); err != nil {
		return err
	}
	if _, err := b.tx.CopyFrom(b.ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows)); err != nil {
		return fmt.Errorf("writing %s: %w", table, err)
	}
	return nil
}

// move advances the position. It fails where another recorder has moved the position
// since: of two recorders that start from the same position only one can move it.
func (b *batch) move(q *pgx.Batch) {
	last := b.events[len(b.events)-1].Stored.Seq
	q.Queue(`UPDATE position SET seq = $1 WHERE seq = $2`, last, b.from).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("moving the position from %d: %w", b.from, errOvertaken)
		}
		return nil
	})
	q.Queue(`SELECT pg_notify($1, $2::bigint::text)`, position.Channel, last)
}

// load moves the position, and reads the rows that the events of the batch depend on: which
// events are repeats, and the messages and chunks that the events refer to. It is one round
// trip.
func (b *batch) load() error {
	ids := make([]uuid.UUID, 0, len(b.events))
	var messages []uuid.UUID
	var chunkOf []uuid.UUID
	var chunkNo []int
	var within []blockKey
	for _, p := range b.events {
		if p.Chunk != nil {
			for _, row := range p.Chunk.Rows {
				if row.Roster == nil { // the key of record.inbox refuses a second row of a cited block
					within = append(within, blockKey{p.Chunk.Message, row.Block})
				}
			}
		}
		if p.Event.ID != uuid.Nil {
			ids = append(ids, p.Event.ID)
		}
		if m := p.Event.MessageID; m != uuid.Nil && p.Event.Type != events.TypeMessageSent {
			messages = append(messages, m)
		}
		if p.Event.Type.IsOutcome() && p.Event.Chunk != nil {
			chunkOf = append(chunkOf, p.Event.MessageID)
			chunkNo = append(chunkNo, p.Event.Chunk.Index)
		}
		if p.reports != nil {
			for _, request := range p.reports.Requests {
				chunkOf = append(chunkOf, p.Event.MessageID)
				chunkNo = append(chunkNo, request.Chunk)
			}
		}
	}
	q := &pgx.Batch{}
	seen := map[uuid.UUID]int64{}
	b.move(q)
	firstSeen(q, ids, seen)
	b.loadMessages(q, messages)
	b.loadChunks(q, chunkOf, chunkNo)
	b.loadDelivered(q, within)
	b.loadReports(q)
	if err := b.tx.SendBatch(b.ctx, q).Close(); err != nil {
		return fmt.Errorf("moving the position and loading rows: %w", err)
	}
	b.markRepeats(seen)
	return nil
}

func firstSeen(q *pgx.Batch, ids []uuid.UUID, seen map[uuid.UUID]int64) {
	q.Queue(`SELECT id, min(seq) FROM events WHERE id = ANY($1) GROUP BY id`, ids).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		var seq int64
		_, err := pgx.ForEachRow(rows, []any{&id, &seq}, func() error {
			seen[id] = seq
			return nil
		})
		if err != nil {
			return fmt.Errorf("looking for repeats: %w", err)
		}
		return nil
	})
}

// markRepeats marks the events that have the same ID as an earlier one.
func (b *batch) markRepeats(seen map[uuid.UUID]int64) {
	b.outcome = make([]outcomeRow, len(b.events))
	for i, p := range b.events {
		if p.Event.ID == uuid.Nil {
			continue
		}
		if first, ok := seen[p.Event.ID]; ok {
			b.outcome[i].repeats = &first
			continue
		}
		seen[p.Event.ID] = int64(p.Stored.Seq) // #nosec G115 -- a sequence
	}
}

func (b *batch) projectAll() error {
	for i, p := range b.events {
		if b.outcome[i].repeats != nil {
			continue
		}
		if p.Bad != nil {
			b.parked = append(b.parked, parkedRow{p, p.Bad.Error()})
			continue
		}
		var err error
		if p.project != nil {
			err = p.project(b, p)
		}
		switch reason, refused := asRefusal(err); {
		case err == nil:
			b.outcome[i].projected = true
		case refused && reason != "":
			b.parked = append(b.parked, parkedRow{p, reason})
		case refused:
		default:
			return fmt.Errorf("projecting event %d (%s): %w", p.Stored.Seq, p.Event.Type, err)
		}
	}
	return nil
}

func (b *batch) flushEvents() error {
	rows := make([][]any, len(b.events))
	for i, p := range b.events {
		o := b.outcome[i]
		var id, message *uuid.UUID
		var at *time.Time
		if p.Event.ID != uuid.Nil {
			id, at = &p.Event.ID, &p.Event.Time
		}
		if p.Event.MessageID != uuid.Nil {
			message = &p.Event.MessageID
		}
		rows[i] = []any{p.Stored.Seq, id, string(p.Event.Type), p.Event.Actor, at, message,
			o.repeats, o.projected, p.Leaf[:], p.packed}
	}
	err := b.insert("events", []string{"seq", "id", "type", "actor", "time", "message_id", "repeats", "projected", "leaf", "stored"}, rows)
	if err != nil {
		return err
	}
	return b.flushChunkEvents()
}

// flushChunkEvents writes the index by which the events of a chunk are found.
func (b *batch) flushChunkEvents() error {
	var rows [][]any
	for _, p := range b.events {
		if c := p.Event.Chunk; c != nil && p.Event.MessageID != uuid.Nil {
			rows = append(rows, []any{p.Stored.Seq, p.Event.MessageID, c.Index, c.Of})
		}
	}
	return b.insert("chunk_events", []string{"seq", "message_id", "chunk", "chunks"}, rows)
}

func (b *batch) flushRows() error {
	for _, t := range []struct {
		name    string
		columns []string
		rows    [][]any
	}{
		{"inbox", inboxrows.Columns, b.inbox},
		{"message_bcc", []string{"staff_id", "message_id"}, b.bcc},
		{"opens", []string{"message_id", "portal_user_no", "opened_at"}, b.opens},
		{"downloads", []string{"seq", "message_id", "portal_user_no", "attachment_id", "downloaded_at"}, b.downloads},
		{"account_events", []string{"portal_user_id", "seq"}, b.accounts},
	} {
		if err := b.insert(t.name, t.columns, t.rows); err != nil {
			return err
		}
	}
	b.countOpens()
	return nil
}

// countOpens adds the openings of the batch to the blocks of the inbox, so that a search for
// those who have not opened a message passes over full blocks. An opening counts if its
// delivery is before it in the record, also if both are in the batch.
func (b *batch) countOpens() {
	if len(b.opens) == 0 {
		return
	}
	messages, nos := make([]uuid.UUID, len(b.opens)), make([]int32, len(b.opens))
	for i, o := range b.opens {
		messages[i], nos[i] = o[0].(uuid.UUID), o[1].(int32)
	}
	b.queue(`
		UPDATE inbox i SET opened = i.opened + counted.opens
		FROM (SELECT message_id, block, part, count(*)::integer AS opens
		      FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) AS o (message_id, no, seq)
		      JOIN inbox USING (message_id)
		      JOIN chunks c USING (message_id, chunk)
		      WHERE block = record.block_of(o.no) AND record.has_member(members, record.place_of(o.no)) AND c.seq < o.seq
		      GROUP BY message_id, block, part) AS counted
		WHERE i.message_id = counted.message_id AND i.block = counted.block AND i.part = counted.part`, messages, nos, b.openSeqs)
}

func (b *batch) loadChunks(q *pgx.Batch, messages []uuid.UUID, nos []int) {
	if len(messages) == 0 {
		return
	}
	q.Queue(`
		SELECT c.message_id, c.chunk, c.first_no, c.last_no, c.deliveries, c.alert_state, c.alert_reason, c.alert_attempt, c.alert_at
		FROM unnest($1::uuid[], $2::integer[]) AS wanted (message_id, chunk)
		JOIN chunks c USING (message_id, chunk)`, messages, nos).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			c := &chunkRow{}
			if err := rows.Scan(&c.key.message, &c.key.chunk, &c.firstNo, &c.lastNo, &c.deliveries,
				&c.state, &c.reason, &c.attempt, &c.at); err != nil {
				return fmt.Errorf("loading chunks: %w", err)
			}
			b.chunks[c.key] = c
		}
		return rows.Err()
	})
}

// loadDelivered reads who of some blocks has their message already.
func (b *batch) loadDelivered(q *pgx.Batch, blocks []blockKey) {
	if len(blocks) == 0 {
		return
	}
	messages, nos := make([]uuid.UUID, len(blocks)), make([]int32, len(blocks))
	for i, k := range blocks {
		messages[i], nos[i] = k.message, int32(k.block)
	}
	q.Queue(`SELECT DISTINCT i.message_id, i.block, i.members
		FROM unnest($1::uuid[], $2::integer[]) AS wanted (message_id, block) JOIN inbox i USING (message_id, block)`, messages, nos).Query(func(rows pgx.Rows) error {
		var k blockKey
		var stored []byte
		_, err := pgx.ForEachRow(rows, []any{&k.message, (*int32)(&k.block), &stored}, func() error {
			members, err := block.Parse(stored)
			b.deliver(k, members)
			return err
		})
		if err != nil {
			return fmt.Errorf("loading blocks of the inbox: %w", err)
		}
		return nil
	})
}

// deliver adds members to those of a block who have the message.
func (b *batch) deliver(k blockKey, members block.Members) {
	all := b.delivered[k]
	for place := range members.All() {
		all.Add(place)
	}
	b.delivered[k] = all
}

func (b *batch) flushChunks() error {
	var fresh [][]any
	for _, c := range sortedBy(b.chunks, func(x, y *chunkRow) int {
		if d := bytes.Compare(x.key.message[:], y.key.message[:]); d != 0 {
			return d
		}
		return x.key.chunk - y.key.chunk
	}) {
		switch {
		case c.isNew:
			fresh = append(fresh, []any{c.key.message, c.key.chunk, c.seq, c.firstNo, c.lastNo, c.deliveries,
				c.deliveredAt, string(c.state), c.reason, c.attempt, c.at})
		case c.dirty:
			b.queue(`UPDATE chunks SET alert_state=$3, alert_reason=$4, alert_attempt=$5, alert_at=$6
				WHERE message_id=$1 AND chunk=$2`, c.key.message, c.key.chunk, string(c.state), c.reason, c.attempt, c.at)
		}
	}
	return b.insert("chunks", []string{"message_id", "chunk", "seq", "first_no", "last_no", "deliveries",
		"delivered_at", "alert_state", "alert_reason", "alert_attempt", "alert_at"}, fresh)
}

func sortedBy[K comparable, V any](m map[K]V, cmp func(a, b V) int) []V {
	values := make([]V, 0, len(m))
	for _, v := range m {
		values = append(values, v)
	}
	slices.SortFunc(values, cmp)
	return values
}
