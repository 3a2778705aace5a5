package audience

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory/imports"
	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// BenchmarkAudience reads all of a directory as an audience, and counts it.
func BenchmarkAudience(b *testing.B) {
	pool := storetest.Pool(b, store.RoleAdmin)
	importRows(b, pool, *sourcetest.Rows)
	_, _, _, oneID, _ := sourcetest.Row(*sourcetest.Rows / 2)
	for name, sel := range map[string]Selection{
		"everybody": {Groups: []Group{AllPortalUsers}}, "one": {PortalUserIDs: []string{oneID}},
	} {
		in := func(b *testing.B, read func(tx pgx.Tx) error) {
			for b.Loop() {
				if err := pgx.BeginTxFunc(b.Context(), pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, read); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.Run("audience of "+name, func(b *testing.B) {
			in(b, func(tx pgx.Tx) (err error) {
				for _, err = range Of(b.Context(), tx, sel, today) {
				}
				return err
			})
		})
		b.Run("preview of "+name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Preview(b.Context(), pool, sel, today); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("exists "+name, func(b *testing.B) {
			in(b, func(tx pgx.Tx) error {
				_, err := Exists(b.Context(), tx, sel, today)
				return err
			})
		})
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
	for _, c := range []struct {
		name   string
		group  Group
		cursor string
	}{{"first", ActivePatients, ""}, {"late", ActivePatients, fmt.Sprint(*sourcetest.Rows - 100)}, {"of few", DischargedPatients, ""}} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				err := pgx.BeginTxFunc(b.Context(), pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
					_, _, err := Page(b.Context(), tx, Selection{Groups: []Group{c.group}}, time.Now(), 50, c.cursor)
					return err
				})
				if err != nil {
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
