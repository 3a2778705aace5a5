package project

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// exceptionRow is a row of alert_exceptions, loaded or new, as the events of the
// batch change it.
type exceptionRow struct {
	state   events.AlertState
	reason  string
	attempt int
	at      time.Time

	stored, dirty, gone bool
}

// alertNow is the current alert state of a delivery: that of its exception, or else that
// of its chunk.
type alertNow struct {
	state   events.AlertState
	attempt int
	at      *time.Time
}

func (b *batch) alertNow(c *chunkRow, no int32) alertNow {
	if x := b.exceptions[c.key][no]; x != nil && !x.gone {
		return alertNow{x.state, x.attempt, &x.at}
	}
	return alertNow{c.state, c.attempt, c.at}
}

// except adds or replaces the exception of a delivery.
func (b *batch) except(chunk chunkKey, no int32, x *exceptionRow) {
	all := b.exceptions[chunk]
	if all == nil {
		all = map[int32]*exceptionRow{}
		b.exceptions[chunk] = all
	}
	if known := all[no]; known != nil {
		x.stored = known.stored
	}
	all[no] = x
}

// loadExceptions reads the exceptions of single deliveries.
func (b *batch) loadExceptions(q *pgx.Batch, messages []uuid.UUID, nos []int32) {
	q.Queue(`
		SELECT DISTINCT x.message_id, x.chunk, x.portal_user_no, x.state, x.reason, x.attempt, x.at
		FROM unnest($1::uuid[], $2::integer[]) AS wanted (message_id, portal_user_no)
		JOIN alert_exceptions x USING (message_id, portal_user_no)`, messages, nos).Query(b.readExceptions)
}

// loadExceptionsOf reads the exceptions of a whole chunk. It is rare, so it may query
// Postgres in the middle of a batch. It keeps rows that the batch has changed.
func (b *batch) loadExceptionsOf(chunk chunkKey) error {
	rows, err := b.tx.Query(b.ctx, `
		SELECT message_id, chunk, portal_user_no, state, reason, attempt, at
		FROM alert_exceptions WHERE message_id = $1 AND chunk = $2`, chunk.message, chunk.chunk)
	if err != nil {
		return fmt.Errorf("loading exceptions: %w", err)
	}
	return b.readExceptions(rows)
}

func (b *batch) readExceptions(rows pgx.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var chunk chunkKey
		var no int32
		x := &exceptionRow{stored: true}
		if err := rows.Scan(&chunk.message, &chunk.chunk, &no, &x.state, &x.reason, &x.attempt, &x.at); err != nil {
			return fmt.Errorf("loading exceptions: %w", err)
		}
		if b.exceptions[chunk][no] == nil {
			b.except(chunk, no, x)
		}
	}
	return rows.Err()
}

func (b *batch) flushExceptions() error {
	var fresh [][]any
	for chunk, all := range b.exceptions {
		for no, x := range all {
			switch {
			case !x.dirty:
			case x.stored && x.gone:
				b.queue(`DELETE FROM alert_exceptions WHERE message_id = $1 AND portal_user_no = $2`, chunk.message, no)
			case x.stored:
				b.queue(`UPDATE alert_exceptions SET state = $3, reason = $4, attempt = $5, at = $6
					WHERE message_id = $1 AND portal_user_no = $2`, chunk.message, no, string(x.state), x.reason, x.attempt, x.at)
			case !x.gone:
				fresh = append(fresh, []any{chunk.message, no, chunk.chunk, string(x.state), x.reason, x.attempt, x.at})
			}
		}
	}
	// In the order of the key, which keeps the writes to the index together.
	slices.SortFunc(fresh, func(x, y []any) int {
		m, n := x[0].(uuid.UUID), y[0].(uuid.UUID)
		return cmp.Or(bytes.Compare(m[:], n[:]), cmp.Compare(x[1].(int32), y[1].(int32)))
	})
	return b.insert("alert_exceptions", []string{"message_id", "portal_user_no", "chunk", "state", "reason", "attempt", "at"}, fresh)
}
