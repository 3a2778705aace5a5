package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// Migration 120 keeps the authenticator apps of an earlier version, with their secrets and their
// recovery codes. Taken back, it leaves them as they were, and drops what that version can't hold.
func TestSecondFactorsAreKeptByTheMigration(t *testing.T) {
	t.Parallel()
	url := storetest.Empty(t)
	provider, db, err := store.NewProvider(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := provider.UpTo(t.Context(), 106); err != nil {
		t.Fatal(err)
	}
	pool := storetest.Open(t, url, store.RoleAdmin)
	exec := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`
		INSERT INTO app.staff_accounts (staff_id, email) VALUES ('s1', 'ada@clinic.example');
		INSERT INTO app.second_factors (change_id, staff_id, wrapped_key, secret, last_step, made_at) VALUES
		    ('0197aaaa-0000-7000-8000-000000000001', 's1', 'key', 'secret', 7, '2026-01-01Z');
		INSERT INTO app.recovery_codes (change_id, code_hash) VALUES ('0197aaaa-0000-7000-8000-000000000001', 'a'), ('0197aaaa-0000-7000-8000-000000000001', 'b');
		INSERT INTO record.second_factors (staff_id, change_id, added_at) VALUES ('s1', '0197aaaa-0000-7000-8000-000000000001', '2026-01-02Z')`)
	if _, err := provider.UpTo(t.Context(), 121); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		sql  string
		want []string
	}{
		"the app":          {`SELECT concat_ws(' ', realm, subject, kind, added_at AT TIME ZONE 'UTC') FROM record.second_factors`, []string{"staff s1 totp 2026-01-02 00:00:00"}},
		"its secret":       {`SELECT concat_ws(' ', realm, subject, convert_from(secret, 'UTF8'), last_step) FROM app.second_factors JOIN record.second_factors USING (change_id, realm, subject)`, []string{"staff s1 secret 7"}},
		"its codes":        {`SELECT convert_from(code_hash, 'UTF8') FROM app.recovery_codes JOIN record.recovery_codes USING (realm, subject, set_id) ORDER BY 1`, []string{"a", "b"}},
		"what is in force": {`SELECT concat_ws(' ', realm, subject, kinds) FROM record.accounts_with_second_factor`, []string{"staff s1 {totp}"}},
	} {
		if diff := cmp.Diff(c.want, list(t, pool, c.sql)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	exec(`
		INSERT INTO record.second_factors (change_id, realm, subject, kind, added_at) VALUES (gen_random_uuid(), 'portal_user', 'pu-1', 'totp', now()), (gen_random_uuid(), 'staff', 's1', 'passkey', now());
		INSERT INTO app.second_factors (change_id, realm, subject, wrapped_key, secret, made_at) VALUES (gen_random_uuid(), 'portal_user', 'pu-1', '', '', now());
		INSERT INTO app.recovery_codes (set_id, realm, subject, made_at, code_hash) VALUES (gen_random_uuid(), 'portal_user', 'pu-1', now(), 'c')`)
	if _, err := provider.DownTo(t.Context(), 106); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"record.second_factors", "app.second_factors"} {
		if diff := cmp.Diff([]string{"s1"}, list(t, pool, `SELECT staff_id FROM `+table)); diff != "" {
			t.Errorf("taken back, %s (-want +got):\n%s", table, diff)
		}
	}
	if diff := cmp.Diff([]string{"a", "b"}, list(t, pool, `SELECT convert_from(code_hash, 'UTF8') FROM app.recovery_codes ORDER BY 1`)); diff != "" {
		t.Errorf("taken back, recovery codes (-want +got):\n%s", diff)
	}
	if _, err := provider.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}
