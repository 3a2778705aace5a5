package position

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// A process accepts only the verdict of the present or last leader, and only if that
// recorder led while the process ran.
func TestOnlyTheLeadersVerdictCounts(t *testing.T) {
	for _, c := range []struct {
		name          string
		term, checked int           // the lease's term, and the verdict's
		led           time.Duration // when the recorder last renewed its lease, from when the process began
		looked        time.Duration // when it looked
		ok            bool
		want          error
	}{
		{"it leads, and looked before this process began", 4, 4, time.Second, -time.Hour, true, nil},
		{"it died since, and no recorder leads", 4, 4, time.Millisecond, -time.Hour, true, nil},
		{"it looked since", 4, 4, -time.Second, time.Second, true, nil},
		{"it leads, and found damage", 4, 4, time.Second, -time.Second, false, ErrDamaged},
		{"it led before this process began, and its lease is not over", 4, 4, -time.Second, -time.Minute, true, ErrUnchecked},
		{"it found damage before this process began", 4, 4, -time.Second, -time.Minute, false, ErrUnchecked},
		{"the verdict is of the leader before", 5, 4, time.Second, time.Second, true, ErrUnchecked},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := storetest.New(t)
			admin := storetest.Open(t, url, store.RoleAdmin)
			w := NewWatcher(storetest.Open(t, url, store.RoleNotify), nil)
			if err := w.Intact(t.Context()); !errors.Is(err, ErrUnchecked) {
				t.Errorf("before it began: %v", err)
			}
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			if err := w.begin(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
			if err := w.Intact(t.Context()); !errors.Is(err, ErrUnchecked) {
				t.Errorf("before the first check: %v", err)
			}
			if _, err := admin.Exec(t.Context(), `INSERT INTO app.leases (role, name, term, renewed_at, expires_at)
				VALUES ('postern_recorder', 'recorder', $1, $2::timestamptz, $2::timestamptz + interval '3 seconds')`, c.term, w.since.Add(c.led)); err != nil {
				t.Fatal(err)
			}
			if _, err := admin.Exec(t.Context(), `INSERT INTO app.record_check (ok, detail, term, checked_at) VALUES ($1, 'event 3', $2, $3)`,
				c.ok, c.checked, w.since.Add(c.looked)); err != nil {
				t.Fatal(err)
			}
			if err := w.Intact(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("it says %v, want %v", err, c.want)
			}
			if err := DeleteVerdict(t.Context(), url); err != nil {
				t.Fatal(err)
			}
			if err := w.Intact(t.Context()); !errors.Is(err, ErrUnchecked) {
				t.Errorf("after a new start: %v", err)
			}
		})
	}
}
