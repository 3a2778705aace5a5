package outbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func imported(t *testing.T) events.Event {
	t.Helper()
	e, err := events.New("/postern", "operator:o", time.Now(), events.DirectoryImported{ImportID: uuid.New(), Format: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// An event is published if and only if its transaction committed, and again until it
// is acknowledged.
func TestAnEventIsPublishedIfItsTransactionCommits(t *testing.T) {
	pool := storetest.Pool(t, store.RoleRecorder)
	first, second := imported(t), imported(t)
	leave := func(e events.Event, then error) {
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if err := Store(t.Context(), tx, e); err != nil {
				t.Fatal(err)
			}
			return then
		})
		if !errors.Is(err, then) {
			t.Fatal(err)
		}
	}
	leave(first, nil)
	leave(imported(t), errors.New("the import failed"))
	leave(second, nil)

	disconnected := errors.New("NATS is disconnected")
	err := Relay(t.Context(), pool, func(context.Context, ...events.Event) (uint64, error) { return 0, disconnected })
	if !errors.Is(err, disconnected) {
		t.Fatalf("got %v", err)
	}
	var published []events.Event
	publish := func(_ context.Context, evs ...events.Event) (uint64, error) {
		published = append(published, evs...)
		return 1, nil
	}
	for range 2 {
		if err := Relay(t.Context(), pool, publish); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]events.Event{first, second}, published); diff != "" {
		t.Errorf("(-left +published):\n%s", diff)
	}
}
