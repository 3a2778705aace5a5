package audience

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory/imports"
	"postern/internal/directory/roster/rosterstore/rosterstoretest"
	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// BenchmarkAudience counts and freezes all of a directory on stored rosters. The target: a
// preview of a million portal users in 150 ms.
func BenchmarkAudience(b *testing.B) {
	pool := storetest.Pool(b, store.RoleAdmin)
	importRows(b, pool, *sourcetest.Rows)
	rosters := rosterstoretest.New(b, pool)
	start := time.Now()
	if _, err := Preview(b.Context(), pool, Selection{Groups: []Group{AllPortalUsers}}, today); err != nil {
		b.Fatal(err)
	}
	dirty := time.Since(start)
	start = time.Now()
	made, err := rosters.Pass(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("preview of dirty blocks %s; a pass over %d blocks %s", dirty, made, time.Since(start))
	_, _, _, oneID, _ := sourcetest.Row(*sourcetest.Rows / 2)
	for name, sel := range map[string]Selection{
		"everybody": {Groups: []Group{AllPortalUsers}}, "one": {PortalUserIDs: []string{oneID}},
	} {
		for what, do := range map[string]func() error{
			"preview": func() error { _, err := Preview(b.Context(), pool, sel, today); return err },
			"freeze":  func() error { _, err := Freeze(b.Context(), rosters, sel, today); return err },
			"exists":  func() error { _, err := Exists(b.Context(), pool, sel, today); return err },
		} {
			b.Run(what+" of "+name, func(b *testing.B) {
				least := time.Hour
				for b.Loop() {
					start := time.Now()
					if err := do(); err != nil {
						b.Fatal(err)
					}
					least = min(least, time.Since(start))
				}
				b.ReportMetric(float64(least.Microseconds())/1000, "least_ms") // on a busy machine, nearest to the truth
			})
		}
	}
}

// BenchmarkPage reads pages of fifty of an audience: near the beginning and the end of a
// group with all portal users, and of a group with few. The target: each under 100 ms with
// a million portal users.
func BenchmarkPage(b *testing.B) {
	pool := storetest.Pool(b, store.RoleAdmin)
	importRows(b, pool, *sourcetest.Rows)
	if _, err := pool.Exec(b.Context(), `UPDATE app.patients SET status = 'discharged' WHERE patient_no % 50000 = 0`); err != nil {
		b.Fatal(err)
	}
	if _, err := rosterstoretest.New(b, pool).Pass(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		group  Group
		cursor string
	}{{"first", ActivePatients, ""}, {"late", ActivePatients, fmt.Sprint(*sourcetest.Rows - 100)}, {"of few", DischargedPatients, ""}} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				if _, _, err := Page(b.Context(), pool, Selection{Groups: []Group{c.group}}, time.Now(), 50, c.cursor); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// importRows imports a number of patients, portal users and links.
func importRows(b *testing.B, pool *pgxpool.Pool, n int) {
	b.Helper()
	patients, users, links := sourcetest.CSV(n)
	files := []imports.File{{Name: "patients.csv", Content: patients}, {Name: "portal_users.csv", Content: users}, {Name: "links.csv", Content: links}}
	if _, err := imports.CSV(b.Context(), pool, files, imports.Options{}); err != nil {
		b.Fatal(err)
	}
}
