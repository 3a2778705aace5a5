package damage_test

import (
	"testing"

	"postern/internal/eventlog"
	"postern/internal/recorder"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// start runs a recorder until the test ends or Stop is called.
func start(t testing.TB, log *eventlog.Log, databaseURL string) *recordertest.Running {
	t.Helper()
	pool := storetest.Open(t, databaseURL, store.RoleRecorder)
	return recordertest.Start(t, log, pool, recorder.New(recorder.Config{Log: log, Pool: pool}).Run)
}
