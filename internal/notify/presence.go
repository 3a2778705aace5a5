package notify

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/store"
)

// presencePoll is how often a worker looks whether it still holds its own lease.
const presencePoll = 500 * time.Millisecond

// RunPresence holds a lease in the name of this worker until ctx ends. By the lease other
// workers tell whether this worker still waits for the answer to a request. They wait for
// a worker that runs slowly or has lost NATS for a while. A killed worker loses the lease
// with its connection, and a worker that hangs loses it after three seconds: see
// docs/adr/0070.
func (w *Worker) RunPresence(ctx context.Context) error {
	for {
		if err := w.present(ctx); err != nil && ctx.Err() == nil {
			w.Logger.Warn("holding the lease of this worker", "error", err)
		}
		if sleep(ctx, presencePoll) != nil {
			return nil
		}
	}
}

// present returns when the lease is lost, or the connection that it belongs to.
func (w *Worker) present(ctx context.Context) error {
	return store.TryAlone(ctx, w.Pool, store.LeaseOfWorker(w.id), func(conn *pgxpool.Conn, held func(context.Context) error) error {
		if err := store.ForgetWorkerLeases(ctx, w.Pool); err != nil {
			w.Logger.Warn("holding the lease of this worker", "error", err)
		}
		for {
			err := sleep(ctx, presencePoll)
			if err == nil {
				err = errors.Join(conn.Ping(ctx), held(ctx))
			}
			if err != nil {
				return err
			}
		}
	})
}

// lives says whether another worker still runs and can receive the answers to its requests.
func (w *Worker) lives(ctx context.Context, db database, other uuid.UUID) (bool, error) {
	return store.IsHeld(ctx, db, store.LeaseOfWorker(other))
}
