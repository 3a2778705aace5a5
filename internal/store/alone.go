package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The advisory locks of what one at a time does. The numbers are arbitrary and ours.
const (
	LockPermissions int64 = 0x706f7374_7065726d
	LockLabels      int64 = 0x706f7374_6c61626c
)

// Alone does something while nobody else, in any process, does anything under the
// same lock: what reads Postgres, publishes what follows from it and waits until that
// can be read. The lock belongs to a connection and not to a transaction, which would
// be open meanwhile; it ends with the process, too. do must read through the
// connection it is given: if each who waits here has one and whoever is let in needs
// another, nobody comes further.
func Alone(ctx context.Context, pool *pgxpool.Pool, lock int64, do func(*pgxpool.Conn) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, lock); err != nil {
		return fmt.Errorf("waiting for another change: %w", err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, err := conn.Exec(end, `SELECT pg_advisory_unlock($1)`, lock); err != nil {
			_ = conn.Conn().Close(end) // or the pool would keep the lock
		}
	}()
	return do(conn)
}
