package recorder

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/recorder/damage"
)

// errDamaged says that the stream has lost or changed events.
var errDamaged = errors.New("no message is accepted until `postern repair` has restored the stream from the copy")

// mustBeWhole checks the stream, stores the verdict for other processes, and returns an
// error that wraps errDamaged where the stream is damaged.
func (l *leading) mustBeWhole(ctx context.Context) error {
	report, err := damage.Check(ctx, l.Log, l.Pool)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, l.Pool, func(tx pgx.Tx) error {
		if err := l.lease.Fence(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO app.record_check (ok, detail, term) VALUES ($1, $2, $3)
			ON CONFLICT (singleton) DO UPDATE SET ok = excluded.ok, detail = excluded.detail, term = excluded.term, checked_at = now()`,
			report.OK(), report.String(), l.lease.Term())
		return err
	})
	if err != nil {
		return fmt.Errorf("storing the state of the stream: %w", err)
	}
	if !report.OK() {
		return fmt.Errorf("%s: %w", report, errDamaged)
	}
	return nil
}

// keepChecking checks the stream every minute, and at once when the connection to NATS
// comes back: a restarted server may have found its files damaged.
func (l *leading) keepChecking(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	back, stop := l.Log.Reconnected()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-back:
		}
		if err := l.mustBeWhole(ctx); err != nil {
			return err
		}
	}
}
