package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/backoff"
	"postern/internal/certificate"
)

// Role is a group role with a process's privileges in the database. Migration 00001 creates
// it, and the login user must be a member of it.
type Role string

// The roles. RoleAdmin is the login user itself, for migrations and the operator's commands.
const (
	RoleAPI      Role = "postern_api"
	RoleFanout   Role = "postern_fanout"
	RoleNotify   Role = "postern_notify"
	RoleRecorder Role = "postern_recorder"
	RoleAdmin    Role = ""
)

func (r Role) applicationName() string {
	if r == RoleAdmin {
		return "postern"
	}
	return string(r)
}

// Open returns a pool of at most maxConns connections (0: pgx's default) with the role. It
// waits, until ctx ends, for a database that does not answer or does not have the role yet, and
// logs each reason once. If waiting does not help, as with a malformed URL or a wrong password,
// it fails immediately.
func Open(ctx context.Context, databaseURL string, role Role, maxConns int32, log *slog.Logger) (*pgxpool.Pool, error) {
	return open(ctx, databaseURL, role, maxConns, log, func(*pgx.ConnConfig) {})
}

// OpenLookups is [Open] for statements that find rows by their keys. The best plan of such a
// statement is the same for all arguments, and takes longer to make than to carry out. Each
// connection makes it once (https://www.postgresql.org/docs/15/runtime-config-query.html, plan_cache_mode).
func OpenLookups(ctx context.Context, databaseURL string, role Role, maxConns int32, log *slog.Logger) (*pgxpool.Pool, error) {
	return open(ctx, databaseURL, role, maxConns, log, func(cfg *pgx.ConnConfig) { cfg.RuntimeParams["plan_cache_mode"] = "force_generic_plan" })
}

func open(ctx context.Context, databaseURL string, role Role, maxConns int32, log *slog.Logger, adjust func(*pgx.ConnConfig)) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("reading DATABASE_URL: %w", err) // pgx leaves the password out
	}
	configure(cfg.ConnConfig, role)
	adjust(cfg.ConnConfig)
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		inUTC(conn)
		return durable(ctx, conn)
	}
	if maxConns > 0 {
		cfg.MaxConns = maxConns
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	err = retry(ctx, log, "waiting for the database", func() error {
		err := settings.Explain(pool.Ping(ctx))
		if inClass(err, invalidAuthorization) { // a wrong user or password: the operator must correct it
			return permanent{err}
		}
		return err
	})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	return pool, nil
}

// settings are the parameters of a TLS connection, for the operator.
var settings = certificate.Settings{Address: "DATABASE_URL", Authority: "sslrootcert of DATABASE_URL",
	Certificate: "sslcert of DATABASE_URL", Key: "sslkey of DATABASE_URL"}

// unprotected reports whether connections to another machine may be unencrypted, or to a server
// whose certificate is not checked.
func unprotected(cfg *pgconn.Config) bool {
	open := func(host string, c *tls.Config) bool {
		ip, err := netip.ParseAddr(host)
		switch {
		case strings.HasPrefix(host, "/"), host == "localhost", err == nil && ip.IsLoopback():
			return false
		default:
			return c == nil || c.InsecureSkipVerify && c.VerifyPeerCertificate == nil // verify-ca has a check of its own
		}
	}
	return open(cfg.Host, cfg.TLSConfig) || slices.ContainsFunc(cfg.Fallbacks, func(f *pgconn.FallbackConfig) bool { return open(f.Host, f.TLSConfig) })
}

// durable makes a connection's commits wait for the disk, and for the synchronous replicas if
// there are any, even if the server's default does not: a crash must not lose the claim of an
// alert. A stricter setting is kept.
func durable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')`)
	if err != nil {
		return fmt.Errorf("preparing a connection: %w", err)
	}
	return nil
}

// inUTC makes times that are read have UTC, not the zone of the process. Only what people read
// has the clinic's zone.
func inUTC(conn *pgx.Conn) {
	conn.TypeMap().RegisterType(&pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}})
}

// configure sets the parameters of our connections. The role is a parameter of the session's
// start, so that no later statement, for example RESET ALL, can change it.
func configure(cfg *pgx.ConnConfig, role Role) {
	cfg.RuntimeParams["application_name"] = role.applicationName()
	if role != RoleAdmin {
		cfg.RuntimeParams["role"] = string(role)
	}
	if role == RoleNotify {
		// A worker that hangs in a transaction keeps its row locks no longer than a lease.
		// Until then, the others skip those rows.
		cfg.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(leaseLasts.Milliseconds(), 10)
	}
	keepAlive(&cfg.Config)
}

// permanent wraps an error after which retry stops.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Retry runs try until it succeeds, ctx ends, or Postgres would refuse the same statement again
// ([Permanent]). It is for statements at the start of a process, which waits for a Postgres
// that does not answer. It logs each new reason once.
func Retry(ctx context.Context, log *slog.Logger, doing string, try func() error) error {
	return retry(ctx, log, doing, func() error {
		err := try()
		if Permanent(err) {
			return permanent{err}
		}
		return err
	})
}

// retry calls try until it succeeds, fails with permanent, or ctx ends, with growing pauses.
func retry(ctx context.Context, log *slog.Logger, doing string, try func() error) error {
	var said string
	for pause := backoff.NewPause(); ; {
		err := try()
		if err == nil {
			return nil
		}
		if final := new(permanent); errors.As(err, final) {
			return final.error
		}
		if ctx.Err() == nil && log != nil && err.Error() != said {
			said = err.Error()
			log.Warn(doing, "reason", err)
		}
		if ended := pause.Wait(ctx); ended != nil {
			return errors.Join(ended, err)
		}
	}
}
