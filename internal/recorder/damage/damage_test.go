package damage_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/recorder/damage"
	"postern/internal/recorder/position"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

var errEnd = errors.New("the last event")

// flip damages an event in the server's file, so that its checksum is wrong.
func flip(t *testing.T, file string, e events.Event) {
	t.Helper()
	data := read(t, file)
	at := bytes.LastIndex(data, []byte(e.ID.String()))
	if at < 0 {
		t.Fatalf("event %s is not in the file", e.ID)
	}
	data[at] ^= 1
	overwrite(t, file, data)
}

// cut ends the file before an event.
func cut(t *testing.T, file string, e events.Event) {
	t.Helper()
	data := read(t, file)
	at := bytes.LastIndex(data, []byte(e.ID.String()))
	if at < 0 {
		t.Fatalf("event %s is not in the file", e.ID)
	}
	overwrite(t, file, data[:at])
}

// Damage at any place is found and named, by the quick check, by the full check and by
// readers; none of them waits for a missing event forever. A recorder that starts then
// records nothing and says why, whatever an earlier recorder found. The repair restores the
// copied events and names the others as lost.
func TestDamageAnywhereComesToAnEnd(t *testing.T) {
	const recorded = 160
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, file string, evs []events.Event)
		lost   bool // whether a damaged event had no copy
	}{
		{"the first event", func(t *testing.T, file string, evs []events.Event) { flip(t, file, evs[0]) }, false},
		{"one in the middle", func(t *testing.T, file string, evs []events.Event) { flip(t, file, evs[80]) }, false},
		{"the last recorded", func(t *testing.T, file string, evs []events.Event) { flip(t, file, evs[recorded-1]) }, false},
		{"the last of all", func(t *testing.T, file string, evs []events.Event) { flip(t, file, evs[len(evs)-1]) }, true},
		{"the last five", func(t *testing.T, file string, evs []events.Event) {
			for _, e := range evs[len(evs)-5:] {
				flip(t, file, e)
			}
		}, true},
		{"every event", func(t *testing.T, file string, evs []events.Event) {
			for _, e := range evs {
				flip(t, file, e)
			}
		}, true},
		{"the end cut off", func(t *testing.T, file string, evs []events.Event) { cut(t, file, evs[recorded-2]) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, url := t.TempDir(), storetest.New(t)
			log, stop := serve(t, dir)
			running := start(t, log, url)
			published := story(t)[:recorded]
			running.Says(t, published...)
			admin := storetest.Open(t, url, store.RoleAdmin)
			if err := running.Verdict(t); err != nil {
				t.Errorf("before the damage: %v", err)
			}
			running.Stop()
			var bodies []events.Body
			for range 3 {
				bodies = append(bodies, events.MessageReleased{MessageID: uuid.New()})
			}
			beyond := recordertest.Facts(t, bodies...) // acknowledged, but not copied
			if _, err := log.Publish(t.Context(), beyond...); err != nil {
				t.Fatal(err)
			}
			stop()
			c.damage(t, blockFiles(t, dir)[0], append(published, beyond...))

			log, stop = serve(t, dir)
			ctx := t.Context()
			whole, err := damage.CheckAll(ctx, log, admin)
			if err != nil {
				t.Fatal(err)
			}
			quick, err := damage.Check(ctx, log, admin)
			if err != nil {
				t.Fatal(err)
			}
			if whole.OK() || quick.OK() {
				t.Fatalf("all: %s; quick: %s", whole, quick)
			}
			var gap eventlog.ErrGap
			var truncated eventlog.ErrTruncated
			err = log.Read(ctx, 1, 100, 1<<20, func(run []eventlog.Stored) error {
				if run[len(run)-1].Seq == uint64(len(published)+len(beyond)) {
					return errEnd
				}
				return nil
			})
			if whole.State.Last == uint64(len(published)+len(beyond)) && !errors.As(err, &gap) && !errors.As(err, &truncated) {
				t.Errorf("a reader gets %v", err)
			}
			// The verdict of the earlier recorder was that the stream is undamaged.
			if err := position.NewWatcher(admin, nil).Intact(t.Context()); !errors.Is(err, position.ErrUnchecked) {
				t.Errorf("before a recorder has checked: %v", err)
			}
			next := start(t, log, url)
			err = next.Verdict(t)
			if !errors.Is(err, position.ErrDamaged) || !strings.Contains(err.Error(), "event") {
				t.Errorf("the next start says %v", err)
			}
			next.Stop()

			repair := &damage.Repair{Pool: admin, Log: log, Empty: func(context.Context) (*eventlog.Log, error) {
				stop()
				fresh, _ := serve(t, t.TempDir())
				return fresh, nil
			}}
			done, err := repair.Run(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if c.lost != (len(done.Lost) > 0) {
				t.Errorf("lost are %v", done.Lost)
			}
			if report, err := damage.CheckAll(ctx, repair.Log, admin); err != nil || !report.OK() {
				t.Errorf("after the repair: %s, %v", report, err)
			}
		})
	}
}
