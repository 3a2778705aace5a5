package messages

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// year fills the table with n messages of a year, one an hour back in time from now:
// every second is sam's, and every hundredth was recalled.
func year(t *testing.T, tx pgx.Tx, n int) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	rows := make([][]any, n)
	for i := range rows {
		at := now.Add(-time.Duration(i) * time.Hour)
		id := idAt(at)
		binary.BigEndian.PutUint32(id[12:], uint32(i)) // #nosec G115 -- small
		sender, status, recalled, reason := "sam", "sent", any(nil), any(nil)
		if i%2 == 1 {
			sender = fmt.Sprintf("staff-%d", i%100)
		}
		if i%100 == 0 {
			status, recalled, reason = "recalled", at, "why"
		}
		rows[i] = []any{id, i, sender, `{"portal_user_ids": [], "groups": []}`, `[]`, "", "", status, "none", false, at, at, at, recalled, reason}
	}
	_, err := tx.CopyFrom(t.Context(), pgx.Identifier{"record", "messages"}, []string{"message_id", "seq", "sender_id", "recipients", "attachments",
		"subject_digest", "body_digest", "status", "hold", "bulk", "sent_at", "release_at", "completed_at", "recalled_at", "recall_reason"}, pgx.CopyFromRows(rows))
	if err != nil {
		t.Fatal(err)
	}
}

// The cost of a page depends only on its length, for every query and position, also before
// Postgres has statistics.
func TestAListTouchesAFewRows(t *testing.T) {
	const size, limit = 20_000, 50
	pool := storetest.Pool(t, store.RoleAdmin)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	year(t, tx, size)
	long := time.Now().Add(-size / 2 * time.Hour)
	for _, statistics := range []bool{false, true} {
		if statistics {
			if _, err := tx.Exec(t.Context(), `ANALYZE`); err != nil {
				t.Fatal(err)
			}
		}
		for _, which := range []Which{Sent, All} {
			for _, q := range []Query{
				{},
				{Before: idAt(long)},
				{Status: "recalled"},
				{Status: "recalled", Before: idAt(long)},
				{Status: "scheduled"},
				{From: long, Until: long.Add(24 * time.Hour)},
				{Status: "sent", Until: long},
				{Status: "recalled", From: long, Until: long.Add(24 * time.Hour)},
			} {
				q.Which, q.Limit = which, limit
				if q.Before == uuid.Nil {
					q.Before = uuid.Max
				}
				sql, args := q.sql("sam")
				if n := touches(t, tx, sql, args...); n > 10*limit {
					t.Errorf("%+v, with statistics %v, touches %v rows", q, statistics, n)
				}
			}
		}
	}
}

// Every list is planned for its arguments, also after many executions: see planned.
func TestNothingIsPlannedForAnything(t *testing.T) {
	t.Parallel()
	pool, err := store.Open(t.Context(), storetest.New(t), store.RoleAdmin, 1, nil) // one connection, which remembers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	tracker, yes := New(pool), true
	for range 10 {
		_, err := tracker.Find(t.Context(), "sam", Query{Which: All, Status: "scheduled", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"", "anna"} {
			m := Message{Progress: Progress{Delivered: 1}}
			if _, err := tracker.Recipients(t.Context(), m, Filter{Alert: "failed", Opened: &yes}, name, 0, 10); err != nil {
				t.Fatal(err)
			}
		}
	}
	rows, err := pool.Query(t.Context(), `SELECT statement FROM pg_prepared_statements 
		WHERE generic_plans > 0 AND statement LIKE '%record.%' AND statement NOT LIKE '%pg_prepared_statements%'`)
	if err != nil {
		t.Fatal(err)
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		t.Errorf("planned once for whatever may be asked: %s", s)
	}
}

// Messages are found by sender or Staff Bcc, status and time of sending.
func TestFind(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	year(t, tx, 300)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	tracker := New(pool)
	count := func(q Query) int {
		t.Helper()
		q.Limit = 1000
		found, err := tracker.Find(t.Context(), "sam", q)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(found); i++ {
			if !found[i].SentAt.Before(found[i-1].SentAt) {
				t.Fatalf("%+v is not in order", q)
			}
		}
		return len(found)
	}
	now := time.Now()
	ago := func(hours float64) time.Time { return now.Add(-time.Duration(hours * float64(time.Hour))) }
	for _, c := range []struct {
		q    Query
		want int
	}{
		{Query{Which: All}, 300},
		{Query{Which: Sent}, 150},
		{Query{Which: Named}, 0},
		{Query{Which: All, Status: "recalled"}, 3},
		{Query{Which: Sent, Status: "scheduled"}, 0},
		{Query{Which: All, From: ago(9.5)}, 10},
		{Query{Which: All, Until: ago(9.5)}, 290},
		{Query{Which: All, From: ago(19.5), Until: ago(9.5)}, 10},
		{Query{Which: Sent, From: ago(19.5), Until: ago(9.5)}, 5},
		{Query{Which: All, Before: idAt(ago(289.5))}, 10},
	} {
		if got := count(c.q); got != c.want {
			t.Errorf("%+v finds %d messages, want %d", c.q, got, c.want)
		}
	}
}
