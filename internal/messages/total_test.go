package messages

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory"
	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// Total equals the number of listed deliveries, for every filter and name. Above the limit it
// reports that there are more.
func TestTotal(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	const size = 10_000
	var id uuid.UUID
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		id = blast(t, tx, size)
		_, err := tx.Exec(t.Context(), `UPDATE app.portal_users SET name = 'Rare ' || portal_user_no WHERE portal_user_no % 1000 = 1`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := directory.FoldNames(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	tracker := New(pool)
	m := Message{ID: id, Progress: Progress{Recipients: size, Delivered: size, Opened: size / 2, AlertFailed: size / 100, Alerted: size - size/100}}
	yes, no := true, false
	for _, alert := range []events.AlertState{"", events.AlertAccepted, events.AlertFailed, events.AlertSkipped, events.AlertUnknown, events.AlertPending} {
		for _, opened := range []*bool{nil, &yes, &no} {
			for _, reason := range []string{"", "x", "y"} {
				for _, name := range []string{"", "rare", "name", "none"} {
					f := Filter{Alert: alert, Reason: reason, Opened: opened}
					if alert == "" && reason != "" {
						continue
					}
					total, err := tracker.Total(t.Context(), m, f, name)
					if err != nil {
						t.Fatal(err)
					}
					listed := 0
					if err := tracker.EachRecipient(t.Context(), m, f, name, func(batch []Delivery) error { listed += len(batch); return nil }); err != nil {
						t.Fatal(err)
					}
					if total.More && total.Count >= listed || !total.More && total.Count != listed {
						t.Errorf("alert %q of %q, opened %v, name %q: %+v, and %d are listed", alert, reason, opened, name, total, listed)
					}
				}
			}
		}
	}
}

// A skipped alert counts no attempt.
func TestSkippedAlertsWereNotTried(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	id := uuid.Must(uuid.NewV7())
	for _, fill := range []string{
		`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, 'Name ' || i FROM generate_series(1, 6) i`,
		recordertest.Delivered(`SELECT '` + id.String() + `'::uuid, i, i / 4, '{}'::integer[] FROM generate_series(1, 6) i`),
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at, alert_state, alert_attempt, alert_at) VALUES
			('` + id.String() + `', 0, 1, 1, 3, 3, now(), 'skipped', 1, now()), ('` + id.String() + `', 1, 2, 4, 6, 3, now(), 'pending', 0, NULL)`,
		`INSERT INTO record.alert_exceptions (message_id, portal_user_no, chunk, state, reason, attempt, at) VALUES
			('` + id.String() + `', 2, 0, 'failed', 'x', 1, now()), ('` + id.String() + `', 3, 0, 'skipped', 'x', 3, now()), ('` + id.String() + `', 5, 1, 'accepted', '', 2, now())`,
	} {
		if _, err := pool.Exec(t.Context(), fill); err != nil {
			t.Fatal(err)
		}
	}
	found, err := New(pool).Deliveries(t.Context(), id, Filter{}, 0, 10)
	if err != nil || len(found) != 6 {
		t.Fatalf("%d deliveries, %v", len(found), err)
	}
	for i, want := range []int{0, 1, 2, 0, 2, 0} {
		if found[i].Attempts != want {
			t.Errorf("delivery %d, %s: %d attempts, want %d", i+1, found[i].AlertState, found[i].Attempts, want)
		}
	}
}
