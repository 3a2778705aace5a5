package messages

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
)

// Unread is a delivery that its recipient has not opened.
type Unread struct {
	MessageID uuid.UUID
	Delivery
}

// Cursor is the position in a list of unread deliveries: after a portal user of a message. The
// zero Cursor is the beginning.
type Cursor struct {
	Message uuid.UUID
	After   int32
}

// unreadMessages is the most messages that one page of unread deliveries searches.
const unreadMessages = 200

// Unread returns up to limit unopened deliveries of the sender's messages that were delivered
// before a time, the latest messages first, and the position of the next page, nil at the
// end. Messages that all recipients have opened are skipped by their counters.
func (rd *Reader) Unread(ctx context.Context, sender policy.Subject, before time.Time, from Cursor, limit int) (found []Unread, next *Cursor, err error) {
	messages, err := rd.withUnread(ctx, sender.ID, before, from.Message)
	if err != nil {
		return nil, nil, err
	}
	opened := false
	err = rd.reading(ctx, func(s *snapshot) error {
		for _, id := range messages {
			after := int32(0)
			if id == from.Message {
				after = from.After
			}
			w := walk{s, id, Filter{Opened: &opened}}
			some, err := w.next(after, limit-len(found)+1)
			if err != nil {
				return err
			}
			if some, err = w.complete(some); err != nil {
				return err
			}
			for _, d := range some {
				if len(found) == limit {
					next = &Cursor{found[limit-1].MessageID, found[limit-1].PortalUserNo}
					return nil
				}
				found = append(found, Unread{id, d})
			}
		}
		if len(messages) == unreadMessages {
			next = &Cursor{messages[unreadMessages-1], math.MaxInt32}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("reading unopened deliveries of %s: %w", sender.ID, err)
	}
	return found, next, nil
}

// withUnread returns the sender's messages with unopened deliveries, from the message from on
// to older ones.
func (rd *Reader) withUnread(ctx context.Context, sender string, before time.Time, from uuid.UUID) ([]uuid.UUID, error) {
	if from == uuid.Nil {
		from = uuid.Max
	}
	rows, err := rd.pool.Query(ctx, `
		SELECT message_id FROM record.messages
		WHERE sender_id = $1 AND message_id <= $2 AND status IN ('sending', 'sent')
		  AND coalesce(completed_at, sent_at) < $3 AND opened < delivered
		ORDER BY message_id DESC LIMIT $4`, sender, from, before, unreadMessages)
	if err != nil {
		return nil, fmt.Errorf("looking for messages with unopened deliveries: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("looking for messages with unopened deliveries: %w", err)
	}
	return ids, nil
}
