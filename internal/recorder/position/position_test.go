package position

import (
	"context"
	"errors"
	"testing"
	"time"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestWaitersAreWokenAtTheirPlace(t *testing.T) {
	url := storetest.New(t)
	recorder := storetest.Open(t, url, store.RoleRecorder)
	w := NewWatcher(storetest.Open(t, url, store.RoleNotify), nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()

	waiting := map[uint64]chan error{3: make(chan error, 1), 7: make(chan error, 1)}
	for seq, done := range waiting {
		go func() { done <- w.Wait(ctx, seq) }()
	}
	// Without a notification a waiter is woken by the next poll of the table.
	if _, err := recorder.Exec(t.Context(), `UPDATE record.position SET seq = 3`); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting[3]; err != nil {
		t.Error(err)
	}
	select {
	case err := <-waiting[7]:
		t.Errorf("7 was announced at 3: %v", err)
	default:
	}
	if _, err := recorder.Exec(t.Context(), `WITH moved AS (UPDATE record.position SET seq = 9) SELECT pg_notify('record_position', '9')`); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting[7]; err != nil {
		t.Error(err)
	}
	if err := w.Wait(ctx, 9); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run ended with %v", err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	w := NewWatcher(storetest.Pool(t, store.RoleNotify), nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := w.Wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it gave %v", err)
	}
}

// The listening connection is cut, as by a restart of Postgres: the watcher listens again,
// and its waiters are woken.
func TestTheWatcherOutlivesItsConnection(t *testing.T) {
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	w := NewWatcher(storetest.Open(t, url, store.RoleNotify), nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	move := func(seq uint64) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), `UPDATE record.position SET seq = $1`, seq); err != nil {
			t.Fatal(err)
		}
		if err := w.Wait(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	move(1)
	if _, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE (query LIKE 'LISTEN%' OR wait_event = 'ClientRead') AND pid <> pg_backend_pid() AND datname = current_database()`); err != nil {
		t.Fatal(err)
	}
	move(2)
	cancel()
	<-ended
}

// Postgres may lose the recorder's last commits in a crash. Then Wait waits again for events
// that were readable before.
func TestThePositionGoesBackWithPostgres(t *testing.T) {
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	w := NewWatcher(storetest.Open(t, url, store.RoleNotify), nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	moveAndCut := func(seq uint64) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), `UPDATE record.position SET seq = $1`, seq); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()`); err != nil {
			t.Fatal(err)
		}
	}
	moveAndCut(2)
	if err := w.Wait(ctx, 2); err != nil {
		t.Fatal(err)
	}
	moveAndCut(1)
	for begin := time.Now(); ; {
		short, done := context.WithTimeout(ctx, 10*time.Millisecond)
		err := w.Wait(short, 2)
		done()
		if err != nil {
			break // it waits for 2 again
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatal("an event that Postgres has lost counts as readable")
		}
	}
	if err := w.Wait(ctx, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended
}
