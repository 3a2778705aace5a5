// Package parked keeps the events that a consumer could not handle (dead letters), for
// an operator to see, retry or discard. A parked event is recorded like every other
// event; only its processing was skipped.
//
// An operator's decision ([Events]) is recorded as an event, parked.retried or
// parked.discarded. The worker that parked the event reads the decision from the record
// ([Retry]) and passes the event to the same handler once more. Each decision names the
// number of tries so far, so that a hundred clicks are one retry, and an event that
// fails again waits for the next decision.
//
//	parked ── parked.retried ── handled
//	   │            └── fails: parked again, with one try more
//	   └── parked.discarded
//
// Events that the recorder parked can't be retried one by one: they must be projected in
// the order of the record, and later events are already projected. A version that
// understands them projects them in order with `postern rebuild`. An operator may
// discard them, before a rebuild or for good.
package parked

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/consume"
	"postern/internal/store"
)

// maxTries is how often an event is tried before it is parked. With the delays between
// tries that takes half a minute.
const maxTries = 8

// In returns the settings with which a process parks events that it can't handle, in the
// database of pool.
func In(pool *pgxpool.Pool) consume.Parking {
	return consume.Parking{MaxTries: maxTries, Passing: store.Transient,
		Failed: func(ctx context.Context, consumer string, seq uint64, reason string) {
			note(ctx, pool, consumer, seq, reason)
		},
		Park: func(ctx context.Context, p consume.Parked) error { return park(ctx, pool, p) }}
}

// note stores a consumer's last error for the operations page. If that fails, the error
// is in the log only.
func note(ctx context.Context, pool *pgxpool.Pool, consumer string, seq uint64, reason string) {
	_, _ = pool.Exec(ctx, `INSERT INTO app.consumer_errors (consumer, seq, reason) VALUES ($1, $2, $3)
		ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq, reason = excluded.reason, at = now()`, consumer, seq, reason)
}

func park(ctx context.Context, pool *pgxpool.Pool, p consume.Parked) error {
	var id, message *uuid.UUID
	if p.Event.ID != uuid.Nil {
		id = &p.Event.ID
	}
	if p.Event.MessageID != uuid.Nil {
		message = &p.Event.MessageID
	}
	_, err := pool.Exec(ctx, `
		INSERT INTO app.parked (parked_id, consumer, seq, event_id, type, message_id, tries, reason, stack)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (consumer, seq) DO NOTHING`,
		uuid.New(), p.Consumer, p.Seq, id, string(p.Event.Type), message, p.Tries, p.Reason, p.Stack)
	if err != nil {
		return fmt.Errorf("parking event %d: %w", p.Seq, err)
	}
	return nil
}
