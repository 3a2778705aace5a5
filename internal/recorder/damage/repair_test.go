package damage_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
	"postern/internal/recorder/damage"
	"postern/internal/recorder/position"
	"postern/internal/recorder/rebuild"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// blockFiles are the files in which the server keeps the stream's msgs.
func blockFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", eventlog.Stream, "msgs", "*.blk"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no block files: %v", err)
	}
	return files
}

// serve runs a NATS server over a folder until stop is called or the test ends.
func serve(t *testing.T, dir string) (log *eventlog.Log, stop func()) {
	t.Helper()
	server, err := embedded.StartNATS(t.Context(), embedded.NATSConfig{StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := server.Connect("")
	if err != nil {
		t.Fatal(err)
	}
	log = eventlog.New(nc, nil)
	if err := log.Ensure(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		nc.Close()
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return log, stop
}

// story is a few hundred events of every size, one of them repeated.
func story(t *testing.T) []events.Event {
	var bodies []events.Body
	for range 40 {
		m := uuid.New()
		bodies = append(bodies, recordertest.SentTo(m, events.HoldNone), recordertest.Chunk(m, 0, 1, 2, 3), recordertest.OutcomeOf(m, 0, 3, events.AlertAccepted),
			events.FanoutCompleted{MessageID: m, Deliveries: 3, Chunks: 1})
	}
	return recordertest.Facts(t, bodies...)
}

// A flipped bit, a file cut short and a missing file are each found, named and repaired
// from the copy, sequence for sequence, on the server's real files.
func TestADamagedStreamIsFoundAndRepaired(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, file string){
		"one flipped bit": func(t *testing.T, file string) {
			data := read(t, file)
			at := bytes.Index(data, []byte(`"recipients"`))
			data[at] ^= 1
			overwrite(t, file, data)
		},
		"a file cut short": func(t *testing.T, file string) {
			data := read(t, file)
			overwrite(t, file, data[:len(data)/2])
		},
		"a file gone": func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			url := storetest.New(t)
			log, stop := serve(t, dir)
			running := start(t, log, url)
			published := story(t)
			running.Says(t, published...)
			running.Stop()
			admin := storetest.Open(t, url, store.RoleAdmin)
			before := recordertest.Digests(t, recordertest.Connect(t, admin))
			// Acknowledged, but not recorded yet: it has no copy.
			tail := recordertest.Facts(t, events.MessageReleased{MessageID: uuid.New()})
			if _, err := log.Publish(t.Context(), tail...); err != nil {
				t.Fatal(err)
			}
			stop()
			spoil(t, blockFiles(t, dir)[0])

			log, stop = serve(t, dir)
			report, err := damage.CheckAll(t.Context(), log, admin)
			if err != nil {
				t.Fatal(err)
			}
			if report.OK() {
				t.Fatal("nothing was found")
			}
			t.Log(report)
			if !strings.Contains(report.String(), "event") {
				t.Errorf("it does not say what is missing: %s", report)
			}

			repair := &damage.Repair{Pool: admin, Log: log, Empty: func(context.Context) (*eventlog.Log, error) {
				stop()
				fresh, _ := serve(t, t.TempDir())
				return fresh, nil
			}}
			done, err := repair.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if done.Restored != uint64(len(published)) {
				t.Errorf("%d events were restored, %d were recorded", done.Restored, len(published))
			}
			log = repair.Log
			report, err = damage.CheckAll(t.Context(), log, admin)
			if err != nil {
				t.Fatal(err)
			}
			if !report.OK() || report.Compared != uint64(len(published)) {
				t.Errorf("after the repair: %s", report)
			}
			eventlogtest.Check(t, log)
			// Recording continues at the same position, and a rebuild gives the same tables.
			running = start(t, log, url)
			running.Says(t, recordertest.Facts(t, events.MessageReleased{MessageID: uuid.New()})...)
			compared, err := (&rebuild.Rebuild{Log: log, Pool: admin}).Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range compared {
				if !c.Same() {
					t.Errorf("a rebuild gives another %s", c.Table)
				}
			}
			if recordertest.Digests(t, recordertest.Connect(t, admin))["inbox"] != before["inbox"] {
				t.Error("the deliveries are others than before")
			}
		})
	}
}

// While the stream is damaged the recorder does not record, and the database says why.
func TestADamagedStreamStopsTheRecorder(t *testing.T) {
	dir := t.TempDir()
	url := storetest.New(t)
	log, stop := serve(t, dir)
	running := start(t, log, url)
	running.Says(t, story(t)...)
	running.Stop()
	stop()
	file := blockFiles(t, dir)[0]
	data := read(t, file)
	overwrite(t, file, data[:len(data)/2])
	log, _ = serve(t, dir)
	running = start(t, log, url)
	err := running.Verdict(t)
	if !errors.Is(err, position.ErrDamaged) || !strings.Contains(err.Error(), "missing from the stream") {
		t.Errorf("the verdict is %v", err)
	}
}

// A repair does not restore from a copy that was changed.
func TestAChangedCopyIsNotRestored(t *testing.T) {
	url := storetest.New(t)
	log := eventlog.New(natstest.Connect(t, natstest.Start(t), ""), nil)
	if err := log.Ensure(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	running := start(t, log, url)
	running.Says(t, story(t)...)
	running.Stop()
	admin := storetest.Open(t, url, store.RoleAdmin)
	if _, err := admin.Exec(t.Context(), `UPDATE record.events SET stored = (SELECT stored FROM record.events WHERE seq = 5) WHERE seq = 9`); err != nil {
		t.Fatal(err)
	}
	repair := &damage.Repair{Pool: admin, Log: log, Empty: func(context.Context) (*eventlog.Log, error) {
		t.Error("the stream was replaced")
		return log, nil
	}}
	if _, err := repair.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "event 9") {
		t.Errorf("it says %v", err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func overwrite(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
