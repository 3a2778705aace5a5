package rebuild

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postern/internal/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rebuildSchema is the schema that a rebuild writes.
const rebuildSchema = "record_rebuild"

// rebuildTables are empty tables with the columns, checks, indexes, storage and grants of
// the real ones, and a connection that writes to them. Of the events, which are never exchanged,
// they have only the indexes that a replay reads: the others would take a third of its time.
type rebuildTables struct {
	conn   *pgx.Conn
	logged bool // whether the tables survive a crash, as the real ones do
}

// openRebuildTables connects. A lock lets only one rebuild run at a time.
func openRebuildTables(ctx context.Context, pool *pgxpool.Pool, logged bool) (*rebuildTables, error) {
	pooled, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to Postgres: %w", err)
	}
	b := &rebuildTables{conn: pooled.Hijack(), logged: logged}
	var alone bool
	if err := b.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+store.LockRebuild+`)`).Scan(&alone); err != nil {
		_ = b.conn.Close(ctx)
		return nil, fmt.Errorf("taking the lock of rebuilds: %w", err)
	}
	if !alone {
		_ = b.conn.Close(ctx)
		return nil, errors.New("another rebuild is running: wait until it has ended")
	}
	return b, nil
}

func (b *rebuildTables) close(ctx context.Context) {
	_, _ = b.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+rebuildSchema+" CASCADE")
	_, _ = b.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()") // the server may end the session later than Close returns
	_ = b.conn.Close(ctx)
}

// make creates the tables.
func (b *rebuildTables) make(ctx context.Context) error {
	kind := "UNLOGGED TABLE"
	if b.logged {
		kind = "TABLE"
	}
	rows, err := b.conn.Query(ctx, `
		WITH t AS (SELECT oid, relname, relowner, relacl, reloptions FROM pg_class
		           WHERE relnamespace = 'record'::regnamespace AND relkind = 'r')
		SELECT 1 AS step, format('CREATE %s %s.%I (LIKE record.%I INCLUDING ALL EXCLUDING INDEXES)', $2::text, $1::text, relname, relname)
		       || coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '') FROM t
		UNION ALL
		SELECT 2, coalesce(
		       format('ALTER TABLE %s.%I ADD CONSTRAINT ', $1::text, relname) || quote_ident(conname) || ' ' || pg_get_constraintdef(c.oid),
		       replace(pg_get_indexdef(indexrelid), ' ON record.', ' ON ' || $1::text || '.'))
		FROM t JOIN pg_index ON indrelid = t.oid LEFT JOIN pg_constraint c ON conindid = indexrelid AND contype IN ('p', 'u')
		WHERE relname <> 'events' OR indexrelid IN ('record.events_pkey'::regclass, 'record.events_id'::regclass)
		UNION ALL
		SELECT 3, format('GRANT %s ON %s.%I TO %s', privilege_type, $1::text, relname, coalesce(quote_ident(rolname), 'PUBLIC'))
		FROM t, aclexplode(relacl) LEFT JOIN pg_roles r ON r.oid = grantee WHERE grantee <> relowner
		ORDER BY 1, 2`, rebuildSchema, kind)
	if err != nil {
		return fmt.Errorf("looking at the tables: %w", err)
	}
	sql := []string{"DROP SCHEMA IF EXISTS " + rebuildSchema + " CASCADE", "CREATE SCHEMA " + rebuildSchema}
	var step int
	var statement string
	_, err = pgx.ForEachRow(rows, []any{&step, &statement}, func() error {
		sql = append(sql, statement)
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking at the tables: %w", err)
	}
	sql = append(sql, "INSERT INTO "+rebuildSchema+".position (seq) VALUES (0)", "SET search_path = "+rebuildSchema, "SET synchronous_commit = off")
	if _, err := b.conn.PgConn().Exec(ctx, strings.Join(sql, ";\n")).ReadAll(); err != nil {
		return fmt.Errorf("creating the rebuild tables: %w", err)
	}
	return nil
}

// retired is the schema to which the real tables move before they are dropped.
const retired = "record_retired"

// exchange replaces the real tables with the rebuilt ones, except the events, because the
// stream may be the damaged one, and the position, which is locked. Readers wait only for
// the exchange. Statements planned before it find the new tables by their names.
func exchange(ctx context.Context, tx pgx.Tx) error {
	var names []string
	for _, t := range tables {
		if t.name != "events" && t.name != "position" {
			names = append(names, t.name)
		}
	}
	views, err := viewsOfRecord(ctx, tx)
	if err != nil {
		return err
	}
	sql := []string{"SET LOCAL lock_timeout = '10s'", "LOCK TABLE record." + strings.Join(names, ", record.") + " IN ACCESS EXCLUSIVE MODE",
		"CREATE SCHEMA " + retired}
	for _, name := range names {
		sql = append(sql, fmt.Sprintf("ALTER TABLE record.%s SET SCHEMA %s", name, retired),
			fmt.Sprintf("ALTER TABLE %s.%s SET SCHEMA record", rebuildSchema, name))
	}
	sql = append(sql, views...)
	sql = append(sql, "DROP SCHEMA "+retired+" CASCADE", `UPDATE record.events e SET projected = r.projected
		FROM `+rebuildSchema+`.events r WHERE r.seq = e.seq AND r.projected <> e.projected`)
	if _, err := tx.Conn().PgConn().Exec(ctx, strings.Join(sql, ";\n")).ReadAll(); err != nil {
		return fmt.Errorf("exchanging the tables (nothing has changed; run it again when no export or other long query reads the record): %w", err)
	}
	return nil
}

// viewsOfRecord returns statements that create each view of the schemas record and app
// again, so that it reads the tables that now have the names.
func viewsOfRecord(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT format('CREATE OR REPLACE VIEW %I.%I AS %s', nspname, relname, rtrim(pg_get_viewdef(c.oid), ';'))
		FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('record', 'app') AND relkind = 'v' ORDER BY c.oid`)
	if err != nil {
		return nil, fmt.Errorf("looking at the views: %w", err)
	}
	views, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("looking at the views: %w", err)
	}
	return views, nil
}
