package messages

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// A delivery to a person who had no e-mail address can be read from when they first set a password.
func TestReadableAt(t *testing.T) {
	t.Parallel()
	delivered := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	earlier, later := delivered.Add(-time.Hour), delivered.Add(time.Hour)
	for _, c := range []struct {
		name          string
		alert         events.AlertState
		reason        string
		since, opened *time.Time
		want          *time.Time
	}{
		{"alerted", events.AlertAccepted, "", nil, nil, &delivered},
		{"skipped for another reason", events.AlertSkipped, "opted out of e-mails", nil, nil, &delivered},
		{"no way in", events.AlertSkipped, "no e-mail address", nil, nil, nil},
		{"a way in since", events.AlertSkipped, "no e-mail address", &later, nil, &later},
		{"a way in before", events.AlertSkipped, "no e-mail address", &earlier, nil, &delivered},
		{"opened, in the tables of an earlier version", events.AlertSkipped, "no e-mail address", nil, &later, &delivered},
	} {
		got := ReadableAt(delivered, c.alert, c.reason, c.since, c.opened)
		if (got == nil) != (c.want == nil) || got != nil && !got.Equal(*c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// The list of unread deliveries has those that can't be read yet, and leaves out those that can be
// read only since a few days. It goes on in a message of which it left out many.
func TestUnreadOfPeopleWhoGotIn(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, 'Name ' || i FROM generate_series(1, 40) i`)
	id, now := uuid.Must(uuid.NewV7()), time.Now()
	exec(`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk, sent_at, release_at, completed_at, delivered, opened)
		VALUES ($1, 1, 's', '{}', '[]', '', '', 'sent', 'none', true, $2::timestamptz, $2, $2, 40, 0)`, id, now.AddDate(0, 0, -30))
	exec(`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at, alert_state, alert_reason, alert_attempt, alert_at)
		VALUES ($1, 0, 1, 1, 40, 40, $2, 'skipped', 'no e-mail address', 1, $2)`, id, now.AddDate(0, 0, -30))
	exec(recordertest.Delivered(`SELECT $1::uuid, i, 0, '{}'::integer[] FROM generate_series(1, 40) i`), id)
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return countOpens(t.Context(), tx, id) }); err != nil {
		t.Fatal(err)
	}
	// 1 to 30 set a password yesterday, 31 to 39 a month ago, and 40 has none.
	exec(`INSERT INTO record.events (seq, id, type, actor, time, projected, leaf, stored) SELECT 100 + i, gen_random_uuid(), 'password.set', 'portal_user:pu-' || i,
		$1::timestamptz - CASE WHEN i <= 30 THEN interval '1 day' ELSE interval '29 days' END, true, '', '' FROM generate_series(1, 39) i`, now)
	exec(`INSERT INTO record.account_events (portal_user_id, seq) SELECT 'pu-' || i, 100 + i FROM generate_series(1, 39) i`)

	var got []Unread
	for from := (Cursor{}); ; {
		found, next, err := New(pool).Unread(t.Context(), policy.Subject{ID: "s"}, now.AddDate(0, 0, -7), from, 4)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, found...); next == nil {
			break
		}
		from = *next
	}
	if len(got) != 10 {
		t.Fatalf("%d are listed", len(got))
	}
	for i, u := range got {
		if u.PortalUserNo != int32(31+i) || (u.ReadableAt == nil) != (u.PortalUserNo == 40) || !u.ReadableLater() {
			t.Errorf("%d, readable since %v", u.PortalUserNo, u.ReadableAt)
		}
	}
}
