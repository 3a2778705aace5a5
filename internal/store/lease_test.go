package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// session returns a new connection, like that of a process.
func session(t *testing.T, pool *pgxpool.Pool) *pgx.Conn {
	t.Helper()
	pooled, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn := pooled.Hijack()
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// expire ends the time of every lease.
func expire(t *testing.T, url string) {
	t.Helper()
	_, err := storetest.Open(t, url, store.RoleAdmin).Exec(t.Context(), `UPDATE app.leases SET expires_at = clock_timestamp() - interval '1 ms'`)
	if err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, pool *pgxpool.Pool, conn *pgx.Conn) *store.Lease {
	t.Helper()
	l, err := store.TakeLease(t.Context(), pool, conn, store.LeaseRecorder)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A lease has one holder while its connection lives and it has not expired.
func TestALeaseIsOnesAlone(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	pool := storetest.Open(t, url, store.RoleRecorder)
	first, second := session(t, pool), session(t, pool)
	one := take(t, pool, first)
	if _, err := store.TakeLease(t.Context(), pool, second, store.LeaseRecorder); !errors.Is(err, store.ErrLeaseTaken) {
		t.Fatalf("a second is told %v", err)
	}
	if err := one.Held(t.Context()); err != nil {
		t.Error(err)
	}
	if err := first.Close(t.Context()); err != nil { // as the death of its process does
		t.Fatal(err)
	}
	var two *store.Lease
	for two == nil { // Postgres ends a session in its own time
		var err error
		if two, err = store.TakeLease(t.Context(), pool, second, store.LeaseRecorder); err != nil && !errors.Is(err, store.ErrLeaseTaken) {
			t.Fatal(err)
		}
	}
	if two.Term() <= one.Term() {
		t.Errorf("term %d follows %d", two.Term(), one.Term())
	}
	if err := one.Held(t.Context()); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("the first is told %v", err)
	}
}

// A holder that hangs, with an open transaction and locked rows, loses the lease when it expires:
// its transaction is rolled back, and no later one commits, on any connection.
func TestAHolderThatHangsWritesNothing(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	pool := storetest.Open(t, url, store.RoleRecorder)
	hung := session(t, pool)
	old := take(t, pool, hung)
	open, err := hung.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Fence(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Exec(t.Context(), `UPDATE record.position SET seq = 7`); err != nil {
		t.Fatal(err)
	}
	expire(t, url)
	next := take(t, pool, session(t, pool))
	if err := open.Commit(t.Context()); err == nil {
		t.Error("it commits")
	}
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if err := old.Fence(t.Context(), tx); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("a new transaction of it is told %v", err)
	}
	if err := old.Keep(t.Context(), func() bool { return true }); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("it renews the lease: %v", err)
	}
	if err := next.Held(t.Context()); err != nil {
		t.Error(err)
	}
	var seq int
	if err := pool.QueryRow(t.Context(), `SELECT seq FROM record.position`).Scan(&seq); err != nil || seq != 0 {
		t.Errorf("the position is %d, %v", seq, err)
	}
}

// A holder whose lease expired can continue if no other process took it.
func TestAnExpiredLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	pool := storetest.Open(t, url, store.RoleRecorder)
	l := take(t, pool, session(t, pool))
	expire(t, url)
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	gets := func() bool { // not at first: then nothing is renewed
		if asked++; asked == 3 {
			stop()
		}
		return asked == 2
	}
	if err := l.Keep(ctx, gets); !errors.Is(err, context.Canceled) {
		t.Errorf("it is told %v", err)
	}
	if _, err := store.TakeLease(t.Context(), pool, session(t, pool), store.LeaseRecorder); !errors.Is(err, store.ErrLeaseTaken) {
		t.Errorf("another is told %v", err)
	}
}

// A role can't take the lease of another role.
func TestALeaseIsItsRoles(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	pool := storetest.Open(t, url, store.RoleAPI)
	if l, err := store.TakeLease(t.Context(), pool, session(t, pool), store.LeaseRecorder); err == nil {
		t.Errorf("the api leads, in term %d", l.Term())
	}
	take(t, storetest.Open(t, url, store.RoleRecorder), session(t, storetest.Open(t, url, store.RoleRecorder)))
	tag, err := pool.Exec(t.Context(), `UPDATE app.leases SET expires_at = now()`)
	if err != nil || tag.RowsAffected() != 0 {
		t.Errorf("the api ends %d leases, %v", tag.RowsAffected(), err)
	}
}

// Of many concurrent calls of Alone, one runs at a time, and a holder that hangs gets an error
// before it publishes.
func TestAloneIsAlone(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	pool := storetest.Open(t, url, store.RoleAPI)
	var all sync.WaitGroup
	inside, done := 0, 0
	for range 12 {
		all.Go(func() {
			err := store.Alone(t.Context(), pool, store.LeaseLabels, func(_ *pgxpool.Conn, held func(context.Context) error) error {
				if inside++; inside != 1 { // the race detector looks as well
					t.Errorf("%d at once", inside)
				}
				err := held(t.Context())
				inside--
				done++
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if done != 12 {
		t.Errorf("%d of 12 were done", done)
	}
	hangs, goesOn := make(chan struct{}), make(chan struct{})
	woken := make(chan error)
	go func() {
		woken <- store.Alone(t.Context(), pool, store.LeaseLabels, func(_ *pgxpool.Conn, held func(context.Context) error) error {
			close(hangs)
			<-goesOn
			return held(t.Context())
		})
	}()
	<-hangs
	for taken := false; !taken; { // it is renewed all the time
		expire(t, url)
		err := store.TryAlone(t.Context(), pool, store.LeaseLabels, func(*pgxpool.Conn, func(context.Context) error) error {
			taken = true
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrLeaseTaken) {
			t.Fatal(err)
		}
	}
	close(goesOn)
	if err := <-woken; !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("it is told %v", err)
	}
}

// A worker holds its lease until its connection ends or the lease expires, and the others see
// that. Only leases that ended long ago are deleted.
func TestWhetherAWorkerLives(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	pool := storetest.Open(t, url, store.RoleNotify)
	id := uuid.New()
	lives := func() bool {
		t.Helper()
		held, err := store.IsHeld(t.Context(), pool, store.LeaseOfWorker(id))
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	if lives() {
		t.Error("it lives before it was there")
	}
	conn := session(t, pool)
	if _, err := store.TakeLease(t.Context(), pool, conn, store.LeaseOfWorker(id)); err != nil {
		t.Fatal(err)
	}
	if !lives() {
		t.Error("it is said to be dead")
	}
	expire(t, url)
	if lives() {
		t.Error("it hangs, and is said to live")
	}
	id = uuid.New()
	if _, err := store.TakeLease(t.Context(), pool, conn, store.LeaseOfWorker(id)); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil { // as the death of its process does
		t.Fatal(err)
	}
	for lives() { // Postgres ends a session in its own time
		continue
	}
	admin := storetest.Open(t, url, store.RoleAdmin)
	if _, err := admin.Exec(t.Context(), `INSERT INTO app.leases (role, name, term, expires_at) SELECT 'postern_notify', name, 1, now() - interval '1 day'
		FROM unnest(ARRAY['worker of long ago', 'settler']) name`); err != nil {
		t.Fatal(err)
	}
	if err := store.ForgetWorkerLeases(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := admin.QueryRow(t.Context(), `SELECT count(*) FROM app.leases`).Scan(&left); err != nil || left != 3 {
		t.Errorf("%d leases are left, %v", left, err)
	}
}

// A notify worker that hangs in a transaction does not keep its locks.
func TestAHungWorkersTransactionEnds(t *testing.T) {
	t.Parallel()
	var wait string
	err := storetest.Open(t, storetest.New(t), store.RoleNotify).QueryRow(t.Context(), `SHOW idle_in_transaction_session_timeout`).Scan(&wait)
	if err != nil || wait != "3s" {
		t.Errorf("its transaction ends after %q, %v", wait, err)
	}
}

// A released lease is free, and the next holder has a higher term. A release by an earlier holder
// does not affect the present one.
func TestALeaseThatIsGivenBackIsOver(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleRecorder)
	first := take(t, pool, session(t, pool))
	over := func() (over bool) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), `SELECT expires_at <= clock_timestamp() FROM app.leases WHERE role = 'postern_recorder' AND name = 'recorder'`).Scan(&over); err != nil {
			t.Fatal(err)
		}
		return over
	}
	if over() {
		t.Error("it is over at once")
	}
	if err := first.Release(t.Context()); err != nil || !over() {
		t.Errorf("it is not over: %v", err)
	}
	if next := take(t, pool, session(t, pool)); next.Term() <= first.Term() {
		t.Errorf("the next has term %d after %d", next.Term(), first.Term())
	}
	if err := first.Release(t.Context()); err != nil || over() {
		t.Errorf("the other's is over: %v", err)
	}
}
