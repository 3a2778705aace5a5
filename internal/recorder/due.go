package recorder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/eventlog/outbox"
	"postern/internal/events"
	"postern/internal/store"
)

const (
	source   = "/recorder"
	actor    = "process:recorder"
	dueEvery = 100 * time.Millisecond
)

// releaseDue publishes message.released for every held message whose time has come:
// step 3 of docs/life-of-a-message.md. A crash before the publish leaves the row
// due; a repeat publishes the same event ID.
func (l *leading) releaseDue(ctx context.Context) error {
	announced := map[uuid.UUID]bool{} // published, not yet projected
	return every(ctx, dueEvery, func() error {
		rows, err := l.Pool.Query(ctx, `SELECT message_id FROM record.messages
			WHERE status = 'scheduled' AND release_at <= $1 ORDER BY release_at LIMIT 100`, l.Now())
		if err != nil {
			return fmt.Errorf("looking for messages that are due: %w", err)
		}
		due, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return fmt.Errorf("looking for messages that are due: %w", err)
		}
		if len(due) == 0 {
			clear(announced)
		}
		for _, id := range due {
			if announced[id] {
				continue
			}
			e, err := events.New(source, actor, l.Now(), events.MessageReleased{MessageID: id})
			if err != nil {
				return err
			}
			if _, err := l.publish(ctx, e); err != nil {
				return fmt.Errorf("releasing message %s: %w", id, err)
			}
			announced[id] = true
		}
		return nil
	})
}

// relayOutbox publishes the events that other transactions left in the outbox. It retries
// events that can't be published now, and never stops the recorder for them.
func (l *leading) relayOutbox(ctx context.Context) error {
	return every(ctx, dueEvery, func() error {
		err := outbox.Relay(ctx, l.Pool, l.publish)
		if errors.Is(err, store.ErrLeaseLost) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			l.Logger.Warn("events are waiting in the outbox", "error", err)
		}
		return nil
	})
}

// publish records events while this recorder leads. A recorder that stops just here and
// continues when another leads can only repeat that recorder's events, under the same ids.
func (l *leading) publish(ctx context.Context, evs ...events.Event) (uint64, error) {
	if err := l.lease.Held(ctx); err != nil {
		return 0, err
	}
	return l.Log.Publish(ctx, evs...)
}

// every calls f at once and then each interval until f fails or ctx ends.
func every(ctx context.Context, interval time.Duration, f func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := f(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
