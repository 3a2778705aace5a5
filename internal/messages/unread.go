package messages

import (
	"context"
	"fmt"
	"math"
	"slices"
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
// end. It leaves out deliveries that can be read only since that time or later, and has those that
// can't be read yet. Messages that all recipients have opened are skipped by their counters.
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
			for more := true; more; {
				some, last, err := walk{s, id, Filter{Opened: &opened}}.unread(after, limit-len(found)+1, before)
				if err != nil {
					return err
				}
				for _, d := range some {
					if len(found) == limit {
						next = &Cursor{found[limit-1].MessageID, found[limit-1].PortalUserNo}
						return nil
					}
					found = append(found, Unread{id, d})
				}
				after, more = last, last > 0
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

// unread looks at up to limit deliveries with numbers above after, and returns those that could be read
// before a time or can't be read yet. last is the number of the last one that it looked at, 0 at the end.
func (w walk) unread(after int32, limit int, before time.Time) (found []Delivery, last int32, err error) {
	some, err := w.next(after, limit)
	if err != nil {
		return nil, 0, err
	}
	if len(some) == limit {
		last = some[limit-1].PortalUserNo
	}
	if found, err = w.complete(some); err != nil {
		return nil, 0, err
	}
	late := func(d Delivery) bool {
		return d.ReadableAt != nil && d.ReadableAt.After(d.DeliveredAt) && !d.ReadableAt.Before(before)
	}
	return slices.DeleteFunc(found, late), last, nil
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
