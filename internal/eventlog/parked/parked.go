// Package parked keeps the events that a consumer could not handle, for an
// operator to see, retry or discard. A parked event stands on the record like
// every other; only its handling is put aside.
//
// What an operator decides ([Lot]) is a fact on the record, parked.retried or
// parked.discarded, and the worker that parked the event goes by what the record
// says ([Retry]): it hands the event to the same handler once more. Each decision
// names how often the event had been tried, so that a hundred presses are one
// retry, and one that fails again waits for the next decision.
//
//	parked ── parked.retried ── handled
//	   │            └── fails: parked again, with one try more
//	   └── parked.discarded
//
// The recorder's own parked events can't be retried one by one: what they would
// change has its place in the order of the record, and that place is past. A version
// that understands them projects them in order, by `postern rebuild`; until then,
// or for good, they may be discarded.
package parked

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/store"
)

// maxTries is how often an event is handled before it is parked: with the delays
// in between, half a minute.
const maxTries = 8

// In gives what a process does with events that it can't handle: it parks them
// in the database of pool.
func In(pool *pgxpool.Pool) eventlog.Parking {
	return eventlog.Parking{MaxTries: maxTries, Passing: store.Transient,
		Failed: func(ctx context.Context, consumer string, seq uint64, reason string) {
			note(ctx, pool, consumer, seq, reason)
		},
		Park: func(ctx context.Context, p eventlog.Parked) error { return park(ctx, pool, p) }}
}

// note keeps what last went wrong at a consumer. Where even that fails, the log has it.
func note(ctx context.Context, pool *pgxpool.Pool, consumer string, seq uint64, reason string) {
	_, _ = pool.Exec(ctx, `INSERT INTO app.consumer_errors (consumer, seq, reason) VALUES ($1, $2, $3)
		ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq, reason = excluded.reason, at = now()`, consumer, seq, reason)
}

func park(ctx context.Context, pool *pgxpool.Pool, p eventlog.Parked) error {
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
