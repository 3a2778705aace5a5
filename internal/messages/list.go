package messages

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Which names a list of messages.
type Which string

// The lists, newest message first.
const (
	Sent Which = ` WHERE m.sender_id = $1 AND m.message_id < $2`
	// Named has the messages with the viewer as Staff Bcc.
	Named Which = ` JOIN record.message_bcc n ON n.staff_id = $1 AND n.message_id = m.message_id WHERE n.message_id < $2`
	// All has the messages of all senders.
	All Which = ` WHERE m.message_id < $2`
)

// Query selects messages of a list. If only Which and Limit are set, it selects the newest.
type Query struct {
	Which  Which
	Status string    // "": any
	From   time.Time // sent at this time or later; zero: any time
	Until  time.Time // sent before this time; zero: any time
	Before uuid.UUID // older than this message; zero: from the newest on
	Limit  int
}

// List returns up to limit messages older than before; [uuid.Max] is newer than all.
func (rd *Reader) List(ctx context.Context, viewer string, which Which, before uuid.UUID, limit int) ([]Message, error) {
	return rd.Find(ctx, viewer, Query{Which: which, Before: before, Limit: limit})
}

// ByID returns the messages with the ids that the recorder has reached, by id.
func (rd *Reader) ByID(ctx context.Context, viewer string, ids []uuid.UUID) (map[uuid.UUID]Message, error) {
	rows, err := rd.pool.Query(ctx, selectList+` WHERE m.message_id = ANY($2)`, planned, viewer, ids)
	if err != nil {
		return nil, fmt.Errorf("reading messages: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		return nil, fmt.Errorf("reading messages: %w", err)
	}
	all := make(map[uuid.UUID]Message, len(found))
	for _, m := range found {
		all[m.ID] = m
	}
	return all, nil
}

// Find returns the messages that a query selects, the newest first. Sender, Staff Bcc and
// status are looked up along indexes. So is the time of sending, because the ids contain it.
func (rd *Reader) Find(ctx context.Context, viewer string, q Query) ([]Message, error) {
	if q.Before == uuid.Nil {
		q.Before = uuid.Max
	}
	sql, args := q.sql(viewer)
	rows, err := rd.pool.Query(ctx, sql, append([]any{planned}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("listing messages: %w", err)
	}
	messages, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		return nil, fmt.Errorf("listing messages: %w", err)
	}
	return messages, nil
}

func (q Query) sql(viewer string) (sql string, args []any) {
	sql, args = selectList+string(q.Which), []any{viewer, q.Before, q.Limit}
	and := func(condition string, value any) {
		args = append(args, value)
		sql += fmt.Sprintf(" AND "+condition, len(args))
	}
	if q.Status != "" {
		and("m.status = $%d", q.Status)
	}
	oldest, newer := SentBetween(q.From, q.Until)
	if !q.From.IsZero() {
		and("m.message_id >= $%d", oldest)
		and("m.sent_at >= $%d", q.From)
	}
	if !q.Until.IsZero() {
		and("m.message_id < $%d", newer)
		and("m.sent_at < $%d", q.Until)
	}
	return sql + ` ORDER BY m.message_id DESC LIMIT $3`, args
}

// drift is the most by which the time in a message's id may differ from its time of sending:
// clocks differ, and the two times are taken one after the other.
const drift = time.Hour

// SentBetween returns bounds of the ids of the messages that were sent at from or later, and
// before until: each has an id of at least oldest, and below newer. Other messages, sent up to
// an hour outside, have such ids, too. A zero time is no bound.
func SentBetween(from, until time.Time) (oldest, newer uuid.UUID) {
	newer = uuid.Max
	if !from.IsZero() {
		oldest = idAt(from.Add(-drift))
	}
	if !until.IsZero() {
		newer = idAt(until.Add(drift))
	}
	return oldest, newer
}

// idAt returns an id below every id (UUIDv7, RFC 9562) that is made at a time or later.
func idAt(at time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(max(at.UnixMilli(), 0))<<16) // #nosec G115 -- not negative
	return id
}
