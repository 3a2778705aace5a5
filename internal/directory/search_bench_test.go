package directory

import (
	"testing"

	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// BenchmarkSearch searches a large directory for words that match many, few and no
// portal users. The target: each under 100 ms.
func BenchmarkSearch(b *testing.B) {
	pool := storetest.Pool(b, store.RoleAdmin)
	importRows(b, pool, *sourcetest.Rows)
	if _, err := pool.Exec(b.Context(), `VACUUM ANALYZE app.patients, app.portal_users, app.links`); err != nil {
		b.Fatal(err)
	}
	_, _, _, oneID, _ := sourcetest.Row(*sourcetest.Rows / 2)
	for _, text := range []string{"", "a", "z", "ana", "smith", "ana1", "ana12 smith", "ana zo", "user", "user12", "pu-", "pt-", "u", oneID, "nomatch"} {
		b.Run("portal users/"+text, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := Search(b.Context(), pool, text, 50, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("patients/"+text, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := SearchPatients(b.Context(), pool, text, 50, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
