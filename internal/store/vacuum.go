package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Vacuum vacuums and analyzes tables after a large change, on a connection of its own with the
// login user, because a table's owner may and the roles may not. PostgreSQL skips the tables that
// the login user may not vacuum; then autovacuum does it later.
func Vacuum(ctx context.Context, databaseURL string, tables ...string) error {
	cfg, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return fmt.Errorf("reading DATABASE_URL: %w", err)
	}
	configure(cfg, RoleAdmin)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err == nil {
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		_, err = conn.Exec(ctx, `VACUUM (ANALYZE) `+strings.Join(tables, ", "))
	}
	if err != nil {
		return fmt.Errorf("vacuuming %s: %w", strings.Join(tables, ", "), err)
	}
	return nil
}
