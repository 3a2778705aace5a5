package migrate

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// An empty database is migrated, and no table waits to be filled. (Package project tests that tables
// are filled.) A second call changes nothing.
func TestUp(t *testing.T) {
	t.Parallel()
	url := storetest.Empty(t)
	for range 2 {
		if err := Up(t.Context(), url, nil); err != nil {
			t.Fatal(err)
		}
	}
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(t.Context()) }()
	var waiting int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM app.tables_to_fill`).Scan(&waiting); err != nil || waiting != 0 {
		t.Errorf("%d tables wait to be filled: %v", waiting, err)
	}
}
