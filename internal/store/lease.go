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

// A LeaseName names what one process at a time does, and the role whose processes do it.
type LeaseName struct {
	role Role
	name string
}

// The leases there are.
var (
	LeaseRecorder    = LeaseName{RoleRecorder, "recorder"}
	LeaseSettler     = LeaseName{RoleNotify, "settler"}
	LeasePermissions = LeaseName{RoleAPI, "permissions"}
	LeaseLabels      = LeaseName{RoleAPI, "labels"}
)

// workerLease is what the names of the leases of workers begin with.
const workerLease = "worker "

// LeaseOfWorker is the lease that one notify worker holds for as long as it is at work,
// so that the others can tell.
func LeaseOfWorker(id uuid.UUID) LeaseName {
	return LeaseName{RoleNotify, workerLease + id.String()}
}

const (
	// forgetWorkers is after how long the ended lease of a worker is forgotten.
	forgetWorkers = time.Hour
	// leaseLasts is how long a lease lasts after it was last renewed. A process that hangs
	// holds up the others of its role for that long.
	leaseLasts = 3 * time.Second
	// leaseRenewals is how often in that time it is renewed.
	leaseRenewals = 6
	// leasePoll is how often a process that waits for a lease tries to take it.
	leasePoll = 25 * time.Millisecond
	// holderTimeout is how long a transaction of an earlier holder that still locks the
	// lease's row is waited for, before its session is ended.
	holderTimeout = 250 * time.Millisecond
)

// Errors of leases.
var (
	// ErrLeaseTaken says that another process holds the lease.
	ErrLeaseTaken = errors.New("another process has the lease")
	// ErrLeaseLost says that another process has taken over the lease that this one held.
	ErrLeaseLost = errors.New("another process has taken the lease over")
)

// A Lease is the right to do what one process at a time does. It belongs to the
// connection that it was taken on and ends with it, at once; and it ends when it is not
// renewed in time, see [Lease.Keep], for a process that hangs keeps its connection.
//
// A holder that was overtaken does not know it. So everything that is written under a
// lease is written in a transaction with [Lease.Fence] in it, and what leaves Postgres is
// preceded by [Lease.Held].
type Lease struct {
	LeaseName
	pool *pgxpool.Pool
	term int64
}

// Term is the number of this holder: it grows with each.
func (l *Lease) Term() int64 { return l.term }

const (
	// free tells whether a lease may be taken: it is over, or the session that held it is.
	free = `(l.expires_at < clock_timestamp() OR pg_try_advisory_xact_lock(` + lockOfLease + `))`
	// now is a term that none before had, also where Postgres lost the last of them.
	now = `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
)

// TakeLease takes a lease on conn, or gives an error that wraps [ErrLeaseTaken]. It first
// rolls back what a holder that hangs has left open, and ends its sessions over pool.
// Only the user that they signed in as may end them, so all processes of a role sign in
// as one user. The lease is renewed over pool, too.
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
	// One statement, so that a process that stops in the middle holds up no other. The
	// lock of the term belongs to the session, and tells the others that the holder lives.
	var locked bool
	err = conn.QueryRow(ctx, `
		INSERT INTO app.leases AS l (role, name, term, renewed_at, expires_at) VALUES ($1, $2, `+now+`, clock_timestamp(), clock_timestamp() + $3::interval)
		ON CONFLICT (role, name) DO UPDATE SET term = greatest(l.term + 1, `+now+`), renewed_at = clock_timestamp(), expires_at = clock_timestamp() + $3::interval WHERE `+free+`
		RETURNING l.term, pg_try_advisory_lock(`+lockOfLease+`)`,
		string(name.role), name.name, leaseLasts).Scan(&l.term, &locked)
	// Two sessions that make the row of a lease in the same millisecond choose the same term.
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

// IsHeld says whether a process holds a lease.
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

// endHolders ends, until stop is called, the sessions that a statement of the backend
// waits for, but for those that wait themselves.
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
			// What can't be ended is waited for.
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

// Keep renews the lease until ctx ends, for as long as gets tells that its holder gets
// on with its work. Its error wraps [ErrLeaseLost] where another has taken over.
func (l *Lease) Keep(ctx context.Context, gets func() bool) error {
	tick := time.NewTicker(leaseLasts / leaseRenewals)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if !gets() {
			continue
		}
		// A crash of Postgres that takes a renewal with it ends the lease sooner.
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

// Release ends the lease at once, where its holder is done. Others could take it anyway when
// the connection ends; until then, the lease would look as if it were held.
func (l *Lease) Release(ctx context.Context) error {
	_, err := l.pool.Exec(ctx, `UPDATE app.leases SET expires_at = least(expires_at, clock_timestamp()) WHERE role = $1 AND name = $2 AND term = $3`,
		string(l.role), l.name, l.term)
	if err != nil {
		return fmt.Errorf("ending the lease of the %s: %w", l.name, err)
	}
	return nil
}

// Fence lets tx commit only under this lease: no other process takes the lease over
// before the end of tx, and if one has already, the error wraps [ErrLeaseLost]. It comes
// before anything that tx locks.
func (l *Lease) Fence(ctx context.Context, tx pgx.Tx) error {
	return l.held(ctx, tx, ` FOR KEY SHARE`)
}

// Held gives an error that wraps [ErrLeaseLost] if another process has taken the lease
// over.
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
		return fmt.Errorf("holding the lease of the %s: %w", l.name, err)
	}
	return nil
}

// Alone calls do while no other call, in any process, runs under the same lease: for a
// change that reads Postgres, publishes what follows from it and waits until that can be
// read. It waits for the lease, and holds no connection meanwhile. A holder that hangs
// loses the lease: call held, which gives an error then, before each publish.
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

// TryAlone is [Alone] without waiting: where another holds the lease, its error wraps
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
		_ = l.Keep(keeping, func() bool { return true }) // where it is lost, held says so
	}()
	defer func() {
		stop()
		<-kept
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseLasts)
		defer cancel()
		if _, err := conn.Exec(end, `SELECT pg_advisory_unlock(`+lockOfLease+`) FROM (SELECT $3::bigint AS term) l`, string(l.role), l.name, l.term); err != nil {
			_ = conn.Conn().Close(end) // or the pool would keep the lease
		}
	}()
	return do(conn, l.Held)
}
