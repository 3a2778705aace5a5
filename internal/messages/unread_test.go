package messages

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// Unopened deliveries are listed page by page, the latest message first, each once. The list
// leaves out other senders' messages, and messages that all recipients have opened, that are
// too recent, or that were cancelled or recalled.
func TestUnread(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, 'Name ' || i FROM generate_series(1, 3000) i`)
	now := time.Now()
	message := func(sender, status string, ago time.Duration, deliveries, everyNth int) uuid.UUID {
		id := uuid.Must(uuid.NewV7())
		exec(`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk,
			sent_at, release_at, completed_at, recalled_at, delivered, opened)
			VALUES ($1, 1, $2, '{}', '[]', '', '', $3, 'none', true, $4::timestamptz, $4, $4, CASE WHEN $3 = 'recalled' THEN $4 END, $5, $6)`,
			id, sender, status, now.Add(-ago), deliveries, deliveries/everyNth)
		exec(`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at)
			SELECT $1, 0, 1, 1, $2, $2, $3`, id, deliveries, now.Add(-ago))
		exec(recordertest.Delivered(`SELECT $1::uuid, i, 0, '{}'::integer[] FROM generate_series(1, $2) i`), id, deliveries)
		exec(`INSERT INTO record.opens SELECT $1, i, now() FROM generate_series($3::integer, $2::integer, $3::integer) i`, id, deliveries, everyNth)
		if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return countOpens(t.Context(), tx, id) }); err != nil {
			t.Fatal(err)
		}
		return id
	}
	const day = 24 * time.Hour
	older := message("s", "sent", 9*day, 3000, 2)
	message("s", "sent", 8*day, 10, 1)     // all have opened it
	message("other", "sent", 8*day, 10, 2) // not ours
	message("s", "recalled", 8*day, 10, 2)
	newer := message("s", "sent", 8*day, 10, 2)
	message("s", "sent", day, 10, 2) // too young

	want := map[uuid.UUID]int{newer: 5, older: 1500}
	got, last := map[uuid.UUID]int{}, uuid.Max
	seen := map[string]bool{}
	tracker, sender := New(pool), policy.Subject{ID: "s"}
	for from, pages := (Cursor{}), 0; ; pages++ {
		found, next, err := tracker.Unread(t.Context(), sender, now.Add(-7*day), from, 400)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range found {
			key := u.MessageID.String() + u.PortalUserID
			if seen[key] || u.PortalUserNo%2 == 0 || u.MessageID.String() > last.String() {
				t.Fatalf("%s is not in its place", key)
			}
			seen[key], last = true, u.MessageID
			got[u.MessageID]++
		}
		if next == nil {
			if pages != 3 {
				t.Errorf("%d pages of 400 hold 1505", pages+1)
			}
			break
		}
		from = *next
	}
	for id, n := range want {
		if got[id] != n {
			t.Errorf("of a message %d are listed, want %d", got[id], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d messages are listed, want %d", len(got), len(want))
	}
}
