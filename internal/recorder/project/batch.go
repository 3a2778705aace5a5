package project

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/recorder/inboxrows"
	"postern/internal/recorder/position"
	"postern/internal/recorder/state"
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

// messageRow is a row of messages, loaded or new, as the events of the batch
// change it.
type messageRow struct {
	id           uuid.UUID
	isNew, dirty bool
	seq          uint64
	sent         events.MessageSent // new ones only
	bulk         bool
	sentAt       time.Time
	status       state.Message
	releasedAt   *time.Time
	cancelledAt  *time.Time
	completedAt  *time.Time
	recalledAt   *time.Time
	recallReason *string
	manifest     *string
	audience     *int32
	delivered    int
	opened       int
	alerts       map[events.AlertState]int
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
	for _, step := range []func() error{b.move, b.load, b.projectAll, b.flushMessages, b.flushChunks, b.flushExceptions,
		b.flushReports, b.flushRows, b.flushEvents, b.growTree} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.parked, nil
}

// move advances the position. It fails where another recorder has moved the position
// since: of two recorders that start from the same position only one can move it.
func (b *batch) move() error {
	last := b.events[len(b.events)-1].Stored.Seq
	tag, err := b.tx.Exec(b.ctx, `UPDATE position SET seq = $1 WHERE seq = $2`, last, b.from)
	if err != nil {
		return fmt.Errorf("moving the position: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("moving the position from %d: %w", b.from, errOvertaken)
	}
	if _, err := b.tx.Exec(b.ctx, `SELECT pg_notify($1, $2::bigint::text)`, position.Channel, last); err != nil {
		return fmt.Errorf("announcing the position: %w", err)
	}
	return nil
}

// load reads the rows that the events of the batch depend on: which events are
// repeats, and the messages and chunks that the events refer to.
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
	seen, err := b.firstSeen(ids)
	if err != nil {
		return err
	}
	b.markRepeats(seen)
	if err := b.loadMessages(messages); err != nil {
		return err
	}
	if err := b.loadChunks(chunkOf, chunkNo); err != nil {
		return err
	}
	if err := b.loadDelivered(within); err != nil {
		return err
	}
	return b.loadReports()
}

func (b *batch) firstSeen(ids []uuid.UUID) (map[uuid.UUID]int64, error) {
	rows, err := b.tx.Query(b.ctx, `SELECT id, min(seq) FROM events WHERE id = ANY($1) GROUP BY id`, ids)
	if err != nil {
		return nil, fmt.Errorf("looking for repeats: %w", err)
	}
	seen := map[uuid.UUID]int64{}
	var id uuid.UUID
	var seq int64
	_, err = pgx.ForEachRow(rows, []any{&id, &seq}, func() error {
		seen[id] = seq
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for repeats: %w", err)
	}
	return seen, nil
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
	_, err := b.tx.CopyFrom(b.ctx, pgx.Identifier{"events"},
		[]string{"seq", "id", "type", "actor", "time", "message_id", "repeats", "projected", "leaf", "stored"},
		pgx.CopyFromSlice(len(b.events), func(i int) ([]any, error) {
			p, o := b.events[i], b.outcome[i]
			var id, message *uuid.UUID
			var at *time.Time
			if p.Event.ID != uuid.Nil {
				id, at = &p.Event.ID, &p.Event.Time
			}
			if p.Event.MessageID != uuid.Nil {
				message = &p.Event.MessageID
			}
			return []any{p.Stored.Seq, id, string(p.Event.Type), p.Event.Actor, at, message,
				o.repeats, o.projected, p.Leaf[:], p.packed}, nil
		}))
	if err != nil {
		return fmt.Errorf("keeping the events: %w", err)
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
	if len(rows) == 0 {
		return nil
	}
	_, err := b.tx.CopyFrom(b.ctx, pgx.Identifier{"chunk_events"},
		[]string{"seq", "message_id", "chunk", "chunks"}, pgx.CopyFromRows(rows))
	if err != nil {
		return fmt.Errorf("writing chunk_events: %w", err)
	}
	return nil
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
	} {
		if len(t.rows) == 0 {
			continue
		}
		if _, err := b.tx.CopyFrom(b.ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromRows(t.rows)); err != nil {
			return fmt.Errorf("writing %s: %w", t.name, err)
		}
	}
	return b.countOpens()
}

// countOpens adds the openings of the batch to the blocks of the inbox, so that a search for
// those who have not opened a message passes over full blocks. An opening counts if its
// delivery is before it in the record, also if both are in the batch.
func (b *batch) countOpens() error {
	if len(b.opens) == 0 {
		return nil
	}
	messages, nos := make([]uuid.UUID, len(b.opens)), make([]int32, len(b.opens))
	for i, o := range b.opens {
		messages[i], nos[i] = o[0].(uuid.UUID), o[1].(int32)
	}
	_, err := b.tx.Exec(b.ctx, `
		UPDATE inbox i SET opened = i.opened + counted.opens
		FROM (SELECT message_id, block, part, count(*)::integer AS opens
		      FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) AS o (message_id, no, seq)
		      JOIN inbox USING (message_id)
		      JOIN chunks c USING (message_id, chunk)
		      WHERE block = record.block_of(o.no) AND record.has_member(members, record.place_of(o.no)) AND c.seq < o.seq
		      GROUP BY message_id, block, part) AS counted
		WHERE i.message_id = counted.message_id AND i.block = counted.block AND i.part = counted.part`, messages, nos, b.openSeqs)
	if err != nil {
		return fmt.Errorf("counting the openings: %w", err)
	}
	return nil
}

func (b *batch) loadMessages(ids []uuid.UUID) error {
	rows, err := b.tx.Query(b.ctx, `
		SELECT message_id, status, released_at, cancelled_at, completed_at, recalled_at, recall_reason,
		       manifest_digest, audience, delivered, opened, alert_accepted, alert_failed, alert_skipped, alert_unknown
		FROM messages WHERE message_id = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("loading messages: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		m := &messageRow{}
		var accepted, failed, skipped, unknown int
		if err := rows.Scan(&m.id, &m.status, &m.releasedAt, &m.cancelledAt, &m.completedAt, &m.recalledAt,
			&m.recallReason, &m.manifest, &m.audience, &m.delivered, &m.opened, &accepted, &failed, &skipped, &unknown); err != nil {
			return fmt.Errorf("loading messages: %w", err)
		}
		m.alerts = map[events.AlertState]int{events.AlertAccepted: accepted, events.AlertFailed: failed,
			events.AlertSkipped: skipped, events.AlertUnknown: unknown}
		b.messages[m.id] = m
	}
	return rows.Err()
}

func (b *batch) loadChunks(messages []uuid.UUID, nos []int) error {
	if len(messages) == 0 {
		return nil
	}
	rows, err := b.tx.Query(b.ctx, `
		SELECT c.message_id, c.chunk, c.first_no, c.last_no, c.deliveries, c.alert_state, c.alert_reason, c.alert_attempt, c.alert_at
		FROM unnest($1::uuid[], $2::integer[]) AS wanted (message_id, chunk)
		JOIN chunks c USING (message_id, chunk)`, messages, nos)
	if err != nil {
		return fmt.Errorf("loading chunks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		c := &chunkRow{}
		if err := rows.Scan(&c.key.message, &c.key.chunk, &c.firstNo, &c.lastNo, &c.deliveries,
			&c.state, &c.reason, &c.attempt, &c.at); err != nil {
			return fmt.Errorf("loading chunks: %w", err)
		}
		b.chunks[c.key] = c
	}
	return rows.Err()
}

// loadDelivered reads who of some blocks has their message already.
func (b *batch) loadDelivered(blocks []blockKey) error {
	if len(blocks) == 0 {
		return nil
	}
	messages, nos := make([]uuid.UUID, len(blocks)), make([]int32, len(blocks))
	for i, k := range blocks {
		messages[i], nos[i] = k.message, int32(k.block)
	}
	rows, err := b.tx.Query(b.ctx, `SELECT DISTINCT i.message_id, i.block, i.members
		FROM unnest($1::uuid[], $2::integer[]) AS wanted (message_id, block) JOIN inbox i USING (message_id, block)`, messages, nos)
	if err != nil {
		return fmt.Errorf("loading blocks of the inbox: %w", err)
	}
	var k blockKey
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&k.message, (*int32)(&k.block), &stored}, func() error {
		members, err := block.Parse(stored)
		b.deliver(k, members)
		return err
	})
	if err != nil {
		return fmt.Errorf("loading blocks of the inbox: %w", err)
	}
	return nil
}

// deliver adds members to those of a block who have the message.
func (b *batch) deliver(k blockKey, members block.Members) {
	all := b.delivered[k]
	for place := range members.All() {
		all.Add(place)
	}
	b.delivered[k] = all
}

// flushMessages inserts the new messages and updates the others, in the order of
// their ids, so that the work does not depend on the order of a map.
func (b *batch) flushMessages() error {
	q := &pgx.Batch{}
	for _, m := range sortedBy(b.messages, func(x, y *messageRow) int { return bytes.Compare(x.id[:], y.id[:]) }) {
		if m.isNew {
			recipients, err := json.Marshal(m.sent.Recipients)
			if err != nil {
				return fmt.Errorf("encoding the recipients: %w", err)
			}
			attachments, err := json.Marshal(m.sent.Attachments)
			if err != nil {
				return fmt.Errorf("encoding the attachments: %w", err)
			}
			q.Queue(`INSERT INTO messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest,
				status, hold, bulk, sent_at, release_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)`,
				m.id, m.seq, m.sent.SenderID, recipients, attachments, m.sent.SubjectDigest, m.sent.BodyDigest,
				state.Initial(m.sent.Hold), string(m.sent.Hold), m.bulk, m.sentAt, m.sent.ReleaseAt)
		}
		if m.dirty {
			q.Queue(`UPDATE messages SET status=$2, released_at=$3, cancelled_at=$4, completed_at=$5, recalled_at=$6,
				recall_reason=$7, manifest_digest=$8, audience=$9, delivered=$10, opened=$11,
				alert_accepted=$12, alert_failed=$13, alert_skipped=$14, alert_unknown=$15 WHERE message_id=$1`,
				m.id, m.status, m.releasedAt, m.cancelledAt, m.completedAt, m.recalledAt, m.recallReason, m.manifest,
				m.audience, m.delivered, m.opened, m.alerts[events.AlertAccepted], m.alerts[events.AlertFailed],
				m.alerts[events.AlertSkipped], m.alerts[events.AlertUnknown])
		}
	}
	if err := b.tx.SendBatch(b.ctx, q).Close(); err != nil {
		return fmt.Errorf("writing messages: %w", err)
	}
	return nil
}

func (b *batch) flushChunks() error {
	var fresh [][]any
	q := &pgx.Batch{}
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
			q.Queue(`UPDATE chunks SET alert_state=$3, alert_reason=$4, alert_attempt=$5, alert_at=$6
				WHERE message_id=$1 AND chunk=$2`, c.key.message, c.key.chunk, string(c.state), c.reason, c.attempt, c.at)
		}
	}
	_, err := b.tx.CopyFrom(b.ctx, pgx.Identifier{"chunks"},
		[]string{"message_id", "chunk", "seq", "first_no", "last_no", "deliveries",
			"delivered_at", "alert_state", "alert_reason", "alert_attempt", "alert_at"}, pgx.CopyFromRows(fresh))
	if err != nil {
		return fmt.Errorf("writing chunks: %w", err)
	}
	if err := b.tx.SendBatch(b.ctx, q).Close(); err != nil {
		return fmt.Errorf("updating chunks: %w", err)
	}
	return nil
}

func sortedBy[K comparable, V any](m map[K]V, cmp func(a, b V) int) []V {
	values := make([]V, 0, len(m))
	for _, v := range m {
		values = append(values, v)
	}
	slices.SortFunc(values, cmp)
	return values
}
