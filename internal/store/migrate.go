package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate migrates the schema to the version that this binary embeds. A lock in the database
// lets one process do it at a time. A migration is one transaction, so that a crash leaves the
// version before or after it; or a procedure that goes on where it was (see
// migrations/00086_carry_deliveries_over.sql). A newer schema is not changed. The log gets the
// progress.
func Migrate(ctx context.Context, databaseURL string, log *slog.Logger) error {
	provider, db, err := newProvider(databaseURL, log)
	if err != nil {
		return err
	}
	defer db.Close()
	has, wants, err := versions(ctx, db, provider)
	if err != nil || has >= wants {
		return err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrating the schema: %w", err)
	}
	if log != nil && len(results) > 0 {
		log.Info("migrated the schema", "from", has, "to", wants)
	}
	return nil
}

// SchemaDigest returns a hash of the embedded migrations, in hexadecimal. Binaries with equal
// digests make equal schemas.
func SchemaDigest() (string, error) {
	digest := sha256.New()
	err := fs.WalkDir(migrations, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := migrations.ReadFile(path)
		fmt.Fprintf(digest, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the migrations: %w", err)
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// WaitMigrated waits, until ctx ends, for the schema to reach the version that this binary
// embeds, or a newer one.
func WaitMigrated(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := newProviderOn(db)
	if err != nil {
		return err
	}
	return retry(ctx, log, "waiting for the schema", func() error {
		has, wants, err := versions(ctx, db, provider)
		if err == nil && has < wants {
			err = fmt.Errorf("the schema is at version %d and must be at %d: run a postern process whose DATABASE_URL may change it", has, wants)
		}
		return err
	})
}

// TryMigrate is [Migrate] if the login user may change the schema, and otherwise
// [WaitMigrated]. It waits for a database that does not answer yet.
func TryMigrate(ctx context.Context, databaseURL string, log *slog.Logger) error {
	pool, err := Open(ctx, databaseURL, RoleAdmin, 1, log)
	if err != nil {
		return err
	}
	defer pool.Close()
	if log != nil && unprotected(&pool.Config().ConnConfig.Config) {
		log.Warn("connections to Postgres cross the network without a checked certificate: set sslmode=verify-full and sslrootcert in DATABASE_URL")
	}
	err = retry(ctx, log, "migrating the schema", func() error {
		err := Migrate(ctx, databaseURL, log)
		if Code(err) != "" && !inClass(err, operatorIntervention) { // an error from a server that is not stopping or starting
			return permanent{err}
		}
		return err
	})
	if Code(err) == InsufficientPrivilege {
		return WaitMigrated(ctx, pool, log)
	}
	return err
}

func newProvider(databaseURL string, log *slog.Logger) (*goose.Provider, *sql.DB, error) {
	cfg, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, nil, fmt.Errorf("reading DATABASE_URL: %w", err)
	}
	configure(cfg, RoleAdmin)
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if log != nil && n.Code == "00000" { // of RAISE NOTICE; the server's own notices have other codes
			log.Warn(n.Message) // `postern up` shows no less, and the start takes long
		}
	}
	db := stdlib.OpenDB(*cfg)
	provider, err := newProviderOn(db)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return provider, db, nil
}

func newProviderOn(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	// One try a second for ten minutes, because a migration may rewrite a table.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600), lock.WithUnlockTimeout(1, 60))
	if err != nil {
		return nil, fmt.Errorf("preparing the lock of the migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("reading the migrations: %w", err)
	}
	return provider, nil
}

// versions returns the versions of the schema and the binary. It reads the table itself,
// because goose would create the table, and not every role may.
func versions(ctx context.Context, db *sql.DB, provider *goose.Provider) (has, wants int64, err error) {
	sources := provider.ListSources() // in the order of their versions, never empty
	wants = sources[len(sources)-1].Version
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&has)
	if Code(err) == UndefinedTable {
		return 0, wants, nil
	}
	if err != nil {
		return 0, 0, settings.Explain(fmt.Errorf("reading the schema's version: %w", err))
	}
	return has, wants, nil
}
