package recorder

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// start runs a recorder until the test ends or Stop is called.
func start(t testing.TB, log *eventlog.Log, databaseURL string) *recordertest.Running {
	t.Helper()
	pool := storetest.Open(t, databaseURL, store.RoleRecorder)
	return recordertest.Start(t, log, pool, New(Config{Log: log, Pool: pool}).Run)
}

// leads returns a recorder that has taken the lease and does nothing yet.
func leads(t testing.TB, log *eventlog.Log, pool *pgxpool.Pool) *leading {
	t.Helper()
	conn := recordertest.Connect(t, pool)
	lease, err := store.TakeLease(t.Context(), pool, conn, store.LeaseRecorder)
	if err != nil {
		t.Fatal(err)
	}
	return &leading{Recorder: New(Config{Log: log, Pool: pool}), conn: conn, lease: lease}
}
