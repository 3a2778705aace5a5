package directory

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory/imports"
	"postern/internal/directory/source/sourcetest"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// importCSV imports files given as name, content, name, content…
func importCSV(t testing.TB, pool *pgxpool.Pool, namesAndContents ...string) {
	t.Helper()
	var files []imports.File
	for i := 0; i < len(namesAndContents); i += 2 {
		files = append(files, imports.File{Name: namesAndContents[i], Content: strings.NewReader(namesAndContents[i+1])})
	}
	if _, err := imports.CSV(t.Context(), pool, files, imports.Options{}); err != nil {
		t.Fatal(err)
	}
}

// importRows imports a number of patients, portal users and links.
func importRows(t testing.TB, pool *pgxpool.Pool, n int) {
	t.Helper()
	patients, users, links := sourcetest.CSV(n)
	importCSV(t, pool, "patients.csv", patients.String(), "portal_users.csv", users.String(), "links.csv", links.String())
}
