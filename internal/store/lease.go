package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A LeaseName names work that one process does at a time, and the role of these processes.
type LeaseName struct {
	role Role
	name string
}

// The leases.
var (
	LeaseRecorder    = LeaseName{RoleRecorder, "recorder"}
	LeaseSettler     = LeaseName{RoleNotify, "settler"}
	LeasePermissions = LeaseName{RoleAPI, "permissions"}
	LeaseLabels      = LeaseName{RoleAPI, "labels"}
	LeaseClinic      = LeaseName{RoleAPI, "clinic"}
	LeaseAddresses   = LeaseName{RoleAPI, "addresses"}
	LeaseInvitations = LeaseName{RoleAPI, "invitations"}
	LeaseNotices     = LeaseName{RoleAPI, "notices"}
)

// workerLease is the prefix of the names of workers' leases.
const workerLease = "worker "

// LeaseOfWorker returns the lease that a notify worker holds while it runs, so that the others
// can tell.
func LeaseOfWorker(id uuid.UUID) LeaseName {
	return LeaseName{RoleNotify, workerLease + id.String()}
}

const (
	// forgetWorkers is how long the ended lease of a worker is kept.
	forgetWorkers = time.Hour
	// leaseLasts is how long a lease lasts after a renewal. A process that hangs blocks the
	// others of its role for that long.
	leaseLasts = 3 * time.Second
	// leaseRenewals is the number of renewals in that time.
	leaseRenewals = 6
	// leasePoll is the interval at which a waiting process tries to take a lease.
	leasePoll = 25 * time.Millisecond
	// holderTimeout is how long a transaction of an earlier holder may lock the lease's row
	// before its session is ended.
	holderTimeout = 250 * time.Millisecond
)

// Errors of leases.
var (
	// ErrLeaseTaken is the error if another process holds the lease.
	ErrLeaseTaken = errors.New("another process has the lease")
	// ErrLeaseLost is the error if another process has taken over this process's lease.
	ErrLeaseLost = errors.New("another process has taken the lease over")
)

// A Lease gives one process at a time the right to do some work. It belongs to the connection
// on which it was taken, and ends with it immediately. It also ends if it is not renewed in
// time, see [Lease.Keep], because a process that hangs keeps its connection.
//
// A holder does not notice when another process takes over. So everything that is written
// under a lease is written in a transaction with [Lease.Fence], and [Lease.Held] comes before
// each effect outside Postgres.
type Lease struct {
	LeaseName
	pool *pgxpool.Pool
	term int64
}

// Term returns the number of this holder. Each holder has a higher one than the last.
func (l *Lease) Term() int64 { return l.term }

const (
	// free is whether a lease may be taken: it has expired, or its session has ended.
	free = `(l.expires_at < clock_timestamp() OR pg_try_advisory_xact_lock(` + lockOfLease + `))`
	// now is a term that is higher than all before, even if Postgres lost the last of them.
	now = `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
)

// TakeLease takes a lease on conn, or returns an error that wraps [ErrLeaseTaken]. Before, it
// ends the sessions of a holder that hangs, over pool, so that their transactions are rolled
// back. Only the same login user may end them, so all processes of a role must sign in as one
// user. The lease is also renewed over pool.
func TakeLease(ctx context.Context, pool *pgxpool.Pool, conn *pgx.Conn, name LeaseName) (*Lease, error) {
	taken, err := IsHeld(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	if taken {
		return nil, ErrLeaseTaken
	}
	l := &Lease{LeaseName: name, pool: pool}
	stop := l.endHolders(ctx, conn.PgConn().PID())
	defer stop()
	// One statement, so that a process that stops in the middle blocks no other. The lock of
	// the term belongs to the session, and shows the others that the holder is connected.
	var locked bool
	err = conn.QueryRow(ctx, `
		INSERT INTO app.leases AS l (role, name, term, renewed_at, expires_at) VALUES ($1, $2, `+now+`, clock_timestamp(), clock_timestamp() + $3::interval)
		ON CONFLICT (role, name) DO UPDATE SET term = greatest(l.term + 1, `+now+`), renewed_at = clock_timestamp(), expires_at = clock_timestamp() + $3::interval WHERE `+free+`
		RETURNING l.term, pg_try_advisory_lock(`+lockOfLease+`)`,
		string(name.role), name.name, leaseLasts).Scan(&l.term, &locked)
	// Two sessions that insert the row of a lease in the same millisecond choose the same term.
	if errors.Is(err, pgx.ErrNoRows) || Code(err) == UniqueViolation {
		return nil, ErrLeaseTaken
	}
	if err != nil {
		return nil, fmt.Errorf("taking the lease of the %s: %w", name.name, err)
	}
	if !locked {
		return nil, fmt.Errorf("taking the lease of the %s: its lock is another's", name.name)
	}
	return l, nil
}

// IsHeld reports whether a process holds a lease.
func IsHeld(ctx context.Context, db queryer, name LeaseName) (held bool, err error) {
	err = db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM app.leases l WHERE role = $1 AND name = $2 AND NOT `+free+`)`,
		string(name.role), name.name).Scan(&held)
	if err != nil {
		return false, fmt.Errorf("looking at the lease of the %s: %w", name.name, err)
	}
	return held, nil
}

// ForgetWorkerLeases deletes the leases of workers that ended long ago: each start of a
// worker makes one.
func ForgetWorkerLeases(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `DELETE FROM app.leases WHERE role = $1 AND starts_with(name, $2) AND expires_at < clock_timestamp() - $3::interval`,
		string(RoleNotify), workerLease, forgetWorkers)
	if err != nil {
		return fmt.Errorf("forgetting the leases of earlier workers: %w", err)
	}
	return nil
}

// endHolders ends the sessions for which a statement of the backend waits, except those that
// are waiting too, until stop is called.
func (l *Lease) endHolders(ctx context.Context, backend uint32) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(holderTimeout):
			}
			// After an error, the statement waits.
			_ = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `SET LOCAL ROLE NONE`); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, `SELECT pg_terminate_backend(holder) FROM unnest(pg_blocking_pids($1)) holder
					WHERE NOT EXISTS (SELECT FROM pg_locks w WHERE w.pid = holder AND NOT w.granted)`, backend)
				return err
			})
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// Keep renews the lease until ctx ends, while progresses reports that its holder makes
// progress. If another process has taken over, its error wraps [ErrLeaseLost].
func (l *Lease) Keep(ctx context.Context, progresses func() bool) error {
	tick := time.NewTicker(leaseLasts / leaseRenewals)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if !progresses() {
			continue
		}
		// If a crash of Postgres loses a renewal, the lease ends sooner.
		tag, err := l.pool.Exec(ctx, `UPDATE app.leases SET renewed_at = clock_timestamp(), expires_at = clock_timestamp() + $4::interval
			FROM (SELECT set_config('synchronous_commit', 'off', true)) s WHERE role = $1 AND name = $2 AND term = $3`,
			string(l.role), l.name, l.term, leaseLasts)
		if err != nil {
			return fmt.Errorf("renewing the lease of the %s: %w", l.name, err)
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("renewing the lease of the %s: %w", l.name, ErrLeaseLost)
		}
	}
}

// Release ends the lease immediately, when its holder has finished. Without it, the lease
// would show as held until the connection ends.
func (l *Lease) Release(ctx context.Context) error {
	_, err := l.pool.Exec(ctx, `UPDATE app.leases SET expires_at = least(expires_at, clock_timestamp()) WHERE role = $1 AND name = $2 AND term = $3`,
		string(l.role), l.name, l.term)
	if err != nil {
		return fmt.Errorf("ending the lease of the %s: %w", l.name, err)
	}
	return nil
}

// Fence makes tx commit only under this lease: no other process can take the lease over before
// the end of tx, and if one already has, the error wraps [ErrLeaseLost]. Call it before tx
// locks anything.
func (l *Lease) Fence(ctx context.Context, tx pgx.Tx) error {
	return l.held(ctx, tx, ` FOR KEY SHARE`)
}

// Held returns an error that wraps [ErrLeaseLost] if another process has taken the lease over.
func (l *Lease) Held(ctx context.Context) error { return l.held(ctx, l.pool, "") }

// queryer is a connection, a pool or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func (l *Lease) held(ctx context.Context, db queryer, lock string) error {
	var term int64
	err := db.QueryRow(ctx, `SELECT term FROM app.leases WHERE role = $1 AND name = $2 AND term = $3`+lock,
		string(l.role), l.name, l.term).Scan(&term)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrLeaseLost
	}
	if err != nil {
		return fmt.Errorf("checking the lease of the %s: %w", l.name, err)
	}
	return nil
}

// Alone calls do while no other call, in any process, runs under the same lease. It is for
// changes that read Postgres, publish an event that depends on it, and wait until the event is
// projected. It waits for the lease without holding a connection. A holder that hangs loses
// the lease: before each publish, do must call held, which returns an error then.
func Alone(ctx context.Context, pool *pgxpool.Pool, name LeaseName, do func(conn *pgxpool.Conn, held func(context.Context) error) error) error {
	for {
		err := TryAlone(ctx, pool, name, do)
		if !errors.Is(err, ErrLeaseTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for another change: %w", ctx.Err())
		case <-time.After(leasePoll):
		}
	}
}

// TryAlone is [Alone] without waiting: if another process holds the lease, its error wraps
// [ErrLeaseTaken].
func TryAlone(ctx context.Context, pool *pgxpool.Pool, name LeaseName, do func(conn *pgxpool.Conn, held func(context.Context) error) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	l, err := TakeLease(ctx, pool, conn.Conn(), name)
	if err != nil {
		return err
	}
	keeping, stop := context.WithCancel(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		_ = l.Keep(keeping, func() bool { return true }) // if the lease is lost, held reports it
	}()
	defer func() {
		stop()
		<-kept
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseLasts)
		defer cancel()
		if _, err := conn.Exec(end, `SELECT pg_advisory_unlock(`+lockOfLease+`) FROM (SELECT $3::bigint AS term) l`, string(l.role), l.name, l.term); err != nil {
			_ = conn.Conn().Close(end) // otherwise the pooled connection would keep the lease
		}
	}()
	return do(conn, l.Held)
}
