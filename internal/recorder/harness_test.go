package recorder

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// project writes events straight into a database, in runs of the sizes given and
// then one by one, as the active recorder would.
func project(t testing.TB, db beginner, evs []events.Event, runs ...int) {
	t.Helper()
	var prepared []*prepared
	for i, e := range evs {
		p, err := prepare(merkle.Stored{Seq: uint64(i + 1), Subject: e.Subject(), Header: e.Header(), Data: e.Data})
		if err != nil {
			t.Fatal(err)
		}
		prepared = append(prepared, p)
	}
	for at := 0; at < len(prepared); {
		n := 1
		if len(runs) > 0 {
			n, runs = min(runs[0], len(prepared)-at), runs[1:]
		}
		if err := record(t.Context(), db, uint64(at), prepared[at:at+n], parkRow); err != nil {
			t.Fatal(err)
		}
		at += n
	}
}

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
