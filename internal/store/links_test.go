package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// The links and accounts of earlier versions are kept by the migration, and by its way
// back.
func TestLinksAndAccountsOfEarlierVersions(t *testing.T) {
	t.Parallel()
	url := storetest.Empty(t)
	provider, db, err := store.NewProvider(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := provider.UpTo(t.Context(), 98); err != nil {
		t.Fatal(err)
	}
	pool := storetest.Open(t, url, store.RoleAdmin)
	const old = `SELECT concat_ws(' ', token_hash, portal_user_id, purpose, expires_at > made_at, used_at IS NULL, address_version)
		FROM app.portal_invitations JOIN app.portal_users USING (portal_user_no) ORDER BY 1`
	for _, sql := range []string{
		`INSERT INTO app.portal_users (portal_user_id, name, email, active) VALUES ('pu-1', 'Noor', 'noor@home.example', true), ('pu-2', 'Tim', 'tim@home.example', true)`,
		`INSERT INTO app.portal_accounts (portal_user_no, password_hash) SELECT portal_user_no, 'x' FROM app.portal_users`,
		`INSERT INTO app.portal_invitations (token_hash, portal_user_no, purpose, expires_at, used_at, address_version)
			SELECT 'a'::bytea, portal_user_no, 'invite', now() + interval '1 day', NULL, 0 FROM app.portal_users WHERE portal_user_id = 'pu-1'
			UNION ALL SELECT 'b', portal_user_no, 'reset', now() + interval '1 day', now(), 3 FROM app.portal_users WHERE portal_user_id = 'pu-1'
			UNION ALL SELECT 'c', portal_user_no, 'reset', now() + interval '1 day', NULL, 2 FROM app.portal_users WHERE portal_user_id = 'pu-2'`,
		`INSERT INTO app.staff_accounts (staff_id, email, password_hash) VALUES ('s1', 'ada@clinic.example', 'x'), ('s2', 'script@clinic.example', NULL)`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	before := list(t, pool, old)
	if _, err := provider.UpTo(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	want := []string{`\x61 portal_user pu-1 first t 0`, `\x62 portal_user pu-1 reset f 3`, `\x63 portal_user pu-2 reset t 2`}
	if diff := cmp.Diff(want, list(t, pool, `SELECT concat_ws(' ', token_hash, realm, subject, purpose, used_at IS NULL, address_version) FROM app.password_links ORDER BY 1`)); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"s1 complete", "s2 complete"}, list(t, pool, `SELECT staff_id || ' ' || setup FROM app.staff_accounts ORDER BY 1`)); diff != "" {
		t.Errorf("staff (-want +got):\n%s", diff)
	}
	if n := len(list(t, pool, `SELECT DISTINCT next_change::text FROM app.portal_accounts`)); n != 2 {
		t.Errorf("two accounts have %d ids of their next change", n)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE app.staff_accounts SET setup = 'invited' WHERE staff_id = 's1'`); err == nil {
		t.Error("an invited staff member may have a password")
	}
	if _, err := provider.DownTo(t.Context(), 98); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, list(t, pool, old)); diff != "" {
		t.Errorf("links after the way back (-before +after):\n%s", diff)
	}
}
