package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// Migrations 105 and 106 keep the API tokens of an earlier version, each with an id and an expiry,
// and what a browser remembers. They end the sessions, of which it is not known what they are. Taken
// back, they leave the tokens as they were.
func TestTokensAreKeptAndSessionsEndWithTheMigrations(t *testing.T) {
	t.Parallel()
	url := storetest.Empty(t)
	provider, db, err := store.NewProvider(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := provider.UpTo(t.Context(), 104); err != nil {
		t.Fatal(err)
	}
	pool := storetest.Open(t, url, store.RoleAdmin)
	if _, err := pool.Exec(t.Context(), `
		INSERT INTO app.staff_accounts (staff_id, email) VALUES ('s1', 'ada@clinic.example');
		INSERT INTO app.staff_tokens (token_hash, staff_id, created_at) VALUES ('one', 's1', '2026-01-01Z'), ('two', 's1', '2026-01-02Z');
		INSERT INTO app.sessions (token_hash, realm, data, expires_at) VALUES
		    ('staff', 'staff', '{"values": {"subject": "s1", "method": "password"}}', now() + interval '1 hour'),
		    ('portal', 'portal_user', '{"values": {"subject": "pu-1", "method": "password"}}', now() + interval '1 hour'),
		    ('halfway', 'staff', '{"values": {"halfway": "s1"}}', now() + interval '1 hour'),
		    ('browser', 'browser', '{"values": {"0a": true}}', now() + interval '1 hour')`); err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 106); err != nil {
		t.Fatal(err)
	}
	got := list(t, pool, `SELECT concat_ws(' ', convert_from(token_hash, 'UTF8'), staff_id, made_at AT TIME ZONE 'UTC', round(extract(epoch FROM earlier_until - now()) / 86400), coalesce(last_used_at::text, 'never'),
		(SELECT count(DISTINCT token_id) FROM app.staff_tokens)) FROM app.staff_tokens ORDER BY made_at`)
	if diff := cmp.Diff([]string{"one s1 2026-01-01 00:00:00 90 never 2", "two s1 2026-01-02 00:00:00 90 never 2"}, got); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"browser"}, list(t, pool, `SELECT token_hash FROM app.sessions`)); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
	if _, err := provider.DownTo(t.Context(), 104); err != nil {
		t.Fatal(err)
	}
	got = list(t, pool, `SELECT concat_ws(' ', convert_from(token_hash, 'UTF8'), staff_id, created_at AT TIME ZONE 'UTC') FROM app.staff_tokens ORDER BY created_at`)
	if diff := cmp.Diff([]string{"one s1 2026-01-01 00:00:00", "two s1 2026-01-02 00:00:00"}, got); diff != "" {
		t.Errorf("taken back, tokens (-want +got):\n%s", diff)
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}
