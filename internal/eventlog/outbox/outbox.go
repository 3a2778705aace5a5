// Package outbox carries an event out of somebody else's transaction: what an
// import changes in the directory and the event that says so are committed
// together, and the active recorder publishes the event afterwards.
//
// An event is published at least once and, since its id is that of the fact,
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

// Leave writes e to be published once tx commits.
func Leave(ctx context.Context, tx pgx.Tx, e events.Event) error {
	header, err := json.Marshal(e.Header())
	if err != nil {
		return fmt.Errorf("encoding the event's headers: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO app.outbox (id, header, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		e.ID, header, []byte(e.Data))
	if err != nil {
		return fmt.Errorf("leaving the event in the outbox: %w", err)
	}
	return nil
}

// Relay publishes what is waiting, oldest first, and deletes each event once it
// is acknowledged. A crash in between publishes it again under the same id.
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
