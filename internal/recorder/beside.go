package recorder

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postern/internal/store"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// beside is the schema that a rebuild writes.
const beside = "record_rebuild"

// late is the table whose indexes a rebuild makes when its rows are in: built at
// once they cost a quarter of what they do row by row, and the rows of this table
// are nearly all there are. Nothing reads it during a replay.
const late = "deliveries"

// besideTables are empty tables beside the real ones, of the same columns, checks,
// indexes, storage and grants, and a connection that writes to them.
type besideTables struct {
	conn   *pgx.Conn
	logged bool // whether they are to outlive a crash, as the real ones do
	late   []string
}

// openBeside connects. A lock keeps two rebuilds apart.
func openBeside(ctx context.Context, pool *pgxpool.Pool, logged bool) (*besideTables, error) {
	pooled, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to Postgres: %w", err)
	}
	b := &besideTables{conn: pooled.Hijack(), logged: logged}
	var alone bool
	if err := b.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+store.LockRebuild+`)`).Scan(&alone); err != nil {
		_ = b.conn.Close(ctx)
		return nil, fmt.Errorf("asking to rebuild: %w", err)
	}
	if !alone {
		_ = b.conn.Close(ctx)
		return nil, errors.New("another rebuild is running: wait for its end")
	}
	return b, nil
}

func (b *besideTables) close(ctx context.Context) {
	_, _ = b.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+beside+" CASCADE")
	_, _ = b.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()") // the server ends a session in its own time
	_ = b.conn.Close(ctx)
}

// make makes the tables anew. Where indexed is false those of late are kept for
// [besideTables.index].
func (b *besideTables) make(ctx context.Context, indexed bool) error {
	kind := "UNLOGGED TABLE"
	if b.logged {
		kind = "TABLE"
	}
	rows, err := b.conn.Query(ctx, `
		WITH t AS (SELECT oid, relname, relowner, relacl, reloptions FROM pg_class
		           WHERE relnamespace = 'record'::regnamespace AND relkind = 'r')
		SELECT 1 AS step, relname, format('CREATE %s %s.%I (LIKE record.%I INCLUDING ALL EXCLUDING INDEXES)', $2::text, $1::text, relname, relname)
		       || coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '') FROM t
		UNION ALL
		SELECT 2, relname, coalesce(
		       format('ALTER TABLE %s.%I ADD CONSTRAINT ', $1::text, relname) || quote_ident(conname) || ' ' || pg_get_constraintdef(c.oid),
		       replace(pg_get_indexdef(indexrelid), ' ON record.', ' ON ' || $1::text || '.'))
		FROM t JOIN pg_index ON indrelid = t.oid LEFT JOIN pg_constraint c ON conindid = indexrelid AND contype IN ('p', 'u')
		UNION ALL
		SELECT 3, relname, format('GRANT %s ON %s.%I TO %s', privilege_type, $1::text, relname, coalesce(quote_ident(rolname), 'PUBLIC'))
		FROM t, aclexplode(relacl) LEFT JOIN pg_roles r ON r.oid = grantee WHERE grantee <> relowner
		ORDER BY 1, 2, 3`, beside, kind)
	if err != nil {
		return fmt.Errorf("looking at the tables: %w", err)
	}
	sql := []string{"DROP SCHEMA IF EXISTS " + beside + " CASCADE", "CREATE SCHEMA " + beside}
	b.late = nil
	var step int
	var name, statement string
	_, err = pgx.ForEachRow(rows, []any{&step, &name, &statement}, func() error {
		if step == 2 && name == late && !indexed {
			b.late = append(b.late, statement)
		} else {
			sql = append(sql, statement)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking at the tables: %w", err)
	}
	sql = append(sql, "INSERT INTO "+beside+".position (seq) VALUES (0)", "SET search_path = "+beside, "SET synchronous_commit = off")
	return b.run(ctx, "making the tables beside", sql)
}

// index makes the indexes that were kept for later. It fails with a unique
// violation where the rows would not have come in with them.
func (b *besideTables) index(ctx context.Context) error {
	sql := append(b.late, "ANALYZE "+late)
	b.late = nil
	return b.run(ctx, "making the indexes of the "+late, sql)
}

func (b *besideTables) run(ctx context.Context, doing string, sql []string) error {
	if _, err := b.conn.PgConn().Exec(ctx, strings.Join(sql, ";\n")).ReadAll(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// retired is where the real tables go before they are dropped.
const retired = "record_retired"

// exchange puts the tables beside in the place of the real ones, but for the events,
// whose copy may be the better of the two, and the position, which is locked. Whoever
// reads waits for the exchange alone; statements that were planned before find the
// new tables by their names.
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
			fmt.Sprintf("ALTER TABLE %s.%s SET SCHEMA record", beside, name))
	}
	sql = append(sql, views...)
	sql = append(sql, "DROP SCHEMA "+retired+" CASCADE", `UPDATE record.events e SET projected = r.projected
		FROM `+beside+`.events r WHERE r.seq = e.seq AND r.projected <> e.projected`)
	if _, err := tx.Conn().PgConn().Exec(ctx, strings.Join(sql, ";\n")).ReadAll(); err != nil {
		return fmt.Errorf("exchanging the tables (nothing has changed; run it again when no export or other long query reads the record): %w", err)
	}
	return nil
}

// viewsOfRecord gives what makes each view, of this schema or of app, read the tables
// that now have the names it was written with.
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
