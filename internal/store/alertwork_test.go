package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// Migration 82 keeps what waits in a data folder of an earlier version: chunks, those whose
// outcome is to be published again, and parts of replays in every state. Taken back, it
// leaves the rows as they were.
func TestWhatWaitedIsKeptByTheMigration(t *testing.T) {
	t.Parallel()
	url := storetest.Empty(t)
	provider, db, err := store.NewProvider(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := provider.UpTo(t.Context(), 81); err != nil {
		t.Fatal(err)
	}
	pool := storetest.Open(t, url, store.RoleAdmin)
	const message, replay = "0197aaaa-0000-7000-8000-000000000001", "0197aaaa-0000-7000-8000-000000000002"
	if _, err := pool.Exec(t.Context(), `
		INSERT INTO app.alert_retries (message_id, chunk, chunks, seq, due_at, tries, reason, amends) VALUES
		    ('`+message+`', 0, 3, 11, '2026-01-01Z', 1, 'held by a pause', false),
		    ('`+message+`', 1, 3, 12, '2026-01-02Z', 4, 'SendGrid is away', false),
		    ('`+message+`', 2, 3, 13, '2026-01-03Z', 2, 'late', true);
		INSERT INTO app.replay_parts (part, replay_id, message_id, chunk, chunks, attempt, recipients, due_at, tries, waits_for, wound_up, done_at, outcome, amends) VALUES
		    (1, '`+replay+`', '`+message+`', 0, 3, 2, '{1,2}', '2026-01-01Z', 0, '', false, NULL, 0, false),
		    (2, '`+replay+`', '`+message+`', 0, 3, 2, '{3}', '2026-01-01Z', 1, 'SendGrid limits the rate', true, NULL, 0, true),
		    (3, '`+replay+`', '`+message+`', 0, 3, 3, '{}', '2026-01-01Z', 0, '', true, '2026-01-04Z', 0, false),
		    (4, '`+replay+`', '`+message+`', 1, 3, 2, '{1000}', '2026-01-01Z', 0, '', false, '2026-01-04Z', 99, false)`); err != nil {
		t.Fatal(err)
	}
	before := func() []string {
		return append(list(t, pool, `SELECT r::text FROM app.alert_retries r ORDER BY chunk`), list(t, pool, `SELECT p::text FROM app.replay_parts p ORDER BY part`)...)
	}
	was := before()
	if _, err := provider.UpTo(t.Context(), 82); err != nil {
		t.Fatal(err)
	}
	got := list(t, pool, `SELECT concat_ws(' ', kind, part, chunk, state, due_at AT TIME ZONE 'UTC', tries, reason, CASE WHEN amends THEN 'amends' END,
		CASE WHEN wound_up THEN 'wound up' END, recipients, seq, outcome) FROM app.alert_work ORDER BY part, chunk`)
	want := []string{
		"first 0 0 waiting 2026-01-01 00:00:00 1 held by a pause 11 0",
		"first 0 1 waiting 2026-01-02 00:00:00 4 SendGrid is away 12 0",
		"first 0 2 waiting 2026-01-03 00:00:00 2 late amends 13 0",
		"replay 1 0 waiting 2026-01-01 00:00:00 0  {1,2} 0 0",
		"replay 2 0 waiting 2026-01-01 00:00:00 1 SendGrid limits the rate amends wound up {3} 0 0",
		"replay 3 0 done 2026-01-01 00:00:00 0  wound up {} 0 0",
		"replay 4 1 done 2026-01-01 00:00:00 0  {1000} 0 99",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := provider.DownTo(t.Context(), 81); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was, before()); diff != "" {
		t.Errorf("taken back (-was +is):\n%s", diff)
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}
