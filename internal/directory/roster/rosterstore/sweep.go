package rosterstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// sweepInterval is how often [Store.Run] deletes rosters.
	sweepInterval = time.Hour
	// sweptAtOnce is the number of rosters that one transaction deletes.
	sweptAtOnce = 500
)

// Sweep deletes the rosters that are older than a day and are not current, not cited and not
// copied to the content store, and returns their number. A freeze may be about to cite one:
// [Store.KeepState] fails then, and the message is frozen again. While a pass runs, it deletes
// nothing.
func (s *Store) Sweep(ctx context.Context) (deleted int, err error) {
	for n := sweptAtOnce; n == sweptAtOnce; deleted += n {
		if n, err = s.sweepSome(ctx); err != nil {
			return deleted, fmt.Errorf("deleting rosters that nothing cites: %w", err)
		}
	}
	return deleted, nil
}

func (s *Store) sweepSome(ctx context.Context) (deleted int, err error) {
	err = pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, tryPasses).Scan(&mine); err != nil || !mine {
			return err
		}
		return tx.QueryRow(ctx, `SELECT app.delete_uncited_rosters($1)`, sweptAtOnce).Scan(&deleted)
	})
	return deleted, err
}
