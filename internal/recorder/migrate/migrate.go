// Package migrate brings a database to the schema of this binary: the migrations of package store,
// and then the rows of new tables of the record, which are made from events that were recorded
// before. No process may use the database in between.
package migrate

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"

	"postern/internal/recorder/project"
	"postern/internal/store"
)

// Up is [store.Migrate], and fills new tables of the record. A crash before it returns leaves a
// table empty, and the next call fills it.
func Up(ctx context.Context, databaseURL string, log *slog.Logger) error {
	if err := store.Migrate(ctx, databaseURL, log); err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("connecting to Postgres, to fill new tables: %w", err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	filled, err := project.FillAccountEvents(ctx, db)
	if err == nil && filled > 0 && log != nil {
		log.Info("filled record.account_events from the events of earlier versions", "events", filled)
	}
	return err
}
