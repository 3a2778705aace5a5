package imports

import (
	"context"
	"errors"
	"slices"
	"testing"

	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// A large import is vacuumed once, after its commit. A dry run, a small import and one that
// changes nothing are not. If it can't be vacuumed, the import has happened all the same.
func TestALargeImportIsVacuumed(t *testing.T) {
	url := storetest.New(t)
	pool := storetest.Open(t, url, store.RoleAPI)
	for _, c := range []struct {
		what   string
		rows   int
		dry    bool
		fails  error
		vacuum bool
	}{
		{"a small import", 3000, false, nil, false},
		{"a dry run", 7000, true, nil, false},
		{"a large import", 7000, false, nil, true},
		{"the same again", 7000, false, nil, false},
		{"an import that can't be vacuumed", 11000, false, errors.New("no vacuum"), true},
	} {
		var vacuumed []string
		opts := Options{DryRun: c.dry, Vacuum: func(ctx context.Context, tables ...string) error {
			vacuumed = append(vacuumed, tables...)
			var n int
			if err := pool.QueryRow(ctx, `SELECT count(*) FROM app.links`).Scan(&n); err != nil || n != c.rows {
				t.Errorf("%s: it is not committed: %d links (%v)", c.what, n, err)
			}
			if c.fails != nil {
				return c.fails
			}
			return store.Vacuum(ctx, url, tables...)
		}}
		patients, users, links := sourcetest.CSV(c.rows)
		files := []File{{Name: "patients.csv", Content: patients}, {Name: "portal_users.csv", Content: users}, {Name: "links.csv", Content: links}}
		if _, err := CSV(t.Context(), pool, files, opts); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if want := []string{"app.patients", "app.portal_users", "app.links"}; c.vacuum != slices.Equal(vacuumed, want) || !c.vacuum && vacuumed != nil {
			t.Errorf("%s: vacuumed %v", c.what, vacuumed)
		}
	}
	var visible int
	err := pool.QueryRow(t.Context(), `SELECT relallvisible FROM pg_class WHERE oid = 'app.links'::regclass`).Scan(&visible)
	if err != nil || visible == 0 {
		t.Errorf("no page of the links was vacuumed (%v)", err)
	}
}
