// Package rosterstoretest has what tests of rosters need: a store with a key of its own, and
// pools that call the test before each statement.
package rosterstoretest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/store"
)

// Content returns a content store in memory, with a new key.
func Content(t testing.TB) *content.Store {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if _, err := content.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	kept, err := content.Open(t.Context(), "mem://", key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	return kept
}

// New returns a store of rosters with a new key.
func New(t testing.TB, pool *pgxpool.Pool) *rosterstore.Store {
	t.Helper()
	return rosterstore.New(rosterstore.Config{Pool: pool, Content: Content(t)})
}

// Hooked returns a pool that calls before with each statement, BEGIN and COMMIT too, before it
// is sent. If before returns an error, the statement is not sent and fails.
func Hooked(t testing.TB, databaseURL string, role store.Role, before func(sql string) error) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	if role != store.RoleAdmin {
		cfg.ConnConfig.RuntimeParams["role"] = string(role)
	}
	cfg.ConnConfig.Tracer = hook(before)
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

type hook func(sql string) error

func (h hook) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if err := h(q.SQL); err != nil {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(err)
		return ctx
	}
	return ctx
}

func (hook) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
