// Package outbox is a transactional outbox: an import commits its changes to the
// directory and their event in one transaction, and the active recorder publishes
// the event afterwards.
//
// An event is published at least once. Since its id is derived from the fact, it
// counts once.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
)

// Store stores e in tx. [Relay] publishes it after tx has committed.
func Store(ctx context.Context, tx pgx.Tx, e events.Event) error {
	header, err := json.Marshal(e.Header())
	if err != nil {
		return fmt.Errorf("encoding the event's headers: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO app.outbox (id, header, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		e.ID, header, []byte(e.Data))
	if err != nil {
		return fmt.Errorf("storing the event in the outbox: %w", err)
	}
	return nil
}

// Relay publishes the stored events, oldest first, and deletes each once it is
// acknowledged. After a crash in between, the event is published again under the
// same id.
func Relay(ctx context.Context, pool *pgxpool.Pool, publish func(context.Context, ...events.Event) (uint64, error)) error {
	rows, err := pool.Query(ctx, `SELECT id, header, data FROM app.outbox ORDER BY created_at, id LIMIT 100`)
	if err != nil {
		return fmt.Errorf("reading the outbox: %w", err)
	}
	type row struct {
		ID           uuid.UUID
		Header, Data []byte
	}
	waiting, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return fmt.Errorf("reading the outbox: %w", err)
	}
	for _, w := range waiting {
		var header map[string][]string
		if err := json.Unmarshal(w.Header, &header); err != nil {
			return fmt.Errorf("reading outbox row %s: %w", w.ID, err)
		}
		e, err := events.Parse(header, w.Data)
		if err != nil {
			return fmt.Errorf("reading outbox row %s: %w", w.ID, err)
		}
		if _, err := publish(ctx, e); err != nil {
			return fmt.Errorf("publishing outbox row %s: %w", w.ID, err)
		}
		if _, err := pool.Exec(ctx, `DELETE FROM app.outbox WHERE id = $1`, w.ID); err != nil {
			return fmt.Errorf("clearing outbox row %s: %w", w.ID, err)
		}
	}
	return nil
}
