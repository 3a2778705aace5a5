package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Role is what a process may do in the database: a group role that migration
// 00001 creates and that the login user must be a member of.
type Role string

// The roles. RoleAdmin is the login user itself, for migrations and the
// operator's command line.
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

// Open returns a pool of at most maxConns connections (0: pgx's default) under
// the role. It waits, until ctx ends, for a database that does not answer or
// has no such role yet, and logs why it waits once a reason. What waiting
// cannot mend, a malformed URL or a wrong password, is an error at once.
func Open(ctx context.Context, databaseURL string, role Role, maxConns int32, log *slog.Logger) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("reading DATABASE_URL: %w", err) // pgx leaves the password out
	}
	configure(cfg.ConnConfig, role)
	cfg.AfterConnect = durable
	if maxConns > 0 {
		cfg.MaxConns = maxConns
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	err = retry(ctx, log, "waiting for the database", func() error {
		err := pool.Ping(ctx)
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

// durable has a connection's commits wait for the disk, and for the synchronous replicas
// where there are some, whatever the server's default: the claim of an alert must not be
// lost by a crash. What waits longer stays so.
func durable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')`)
	if err != nil {
		return fmt.Errorf("preparing a connection: %w", err)
	}
	return nil
}

// configure sets what each of our connections has. The role is a parameter of
// the session's start, so that nothing that the session does later, RESET ALL
// for one, can leave it.
func configure(cfg *pgx.ConnConfig, role Role) {
	cfg.RuntimeParams["application_name"] = role.applicationName()
	if role != RoleAdmin {
		cfg.RuntimeParams["role"] = string(role)
	}
	if role == RoleNotify {
		// A worker that hangs in the middle of a transaction keeps the rows that it has
		// locked for no longer than a lease: the others pass over them meanwhile.
		cfg.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(leaseLasts.Milliseconds(), 10)
	}
	keepAlive(&cfg.Config)
}

// permanent wraps an error that retry gives up at.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// retry calls try until it succeeds or ctx ends, with growing pauses. It logs
// each new reason once.
func retry(ctx context.Context, log *slog.Logger, doing string, try func() error) error {
	var said string
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
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
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause/2 + rand.N(pause)): // #nosec G404 -- jitter
		}
	}
}
