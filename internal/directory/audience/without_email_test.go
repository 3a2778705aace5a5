package audience

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// PageWithoutEmail lists exactly the members without an address, for every size of pages,
// and as many as the preview counts.
func TestPageWithoutEmail(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	exec(t, pool, cast)
	exec(t, pool, `UPDATE app.portal_users SET email = '' WHERE portal_user_id IN ('closed', 'widow', 'dead', 'both', 'unlinked', 'closed-unlinked', 'discharged')`)
	today := time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)
	for _, sel := range []Selection{
		{Groups: []Group{ActivePatients}},
		{Groups: []Group{DischargedPatients}},
		{Groups: []Group{AllPortalUsers}},
		{PortalUserIDs: []string{"unlinked", "closed", "active", "dead"}},
		{PortalUserIDs: []string{"active"}},
		{Groups: []Group{ActivePatients}, PortalUserIDs: []string{"active", "closed", "discharged", "dead"}},
	} {
		all := func(read func(limit int, cursor string) ([]Member, string, error), limit int) (found []string) {
			for cursor, n := "", 0; n < 50; n++ {
				page, next, err := read(limit, cursor)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range page {
					if m.Email == "" {
						found = append(found, m.ID+" "+string(m.Reason))
					}
				}
				if cursor = next; next == "" {
					return found
				}
			}
			t.Fatal("the pages do not end")
			return nil
		}
		want := all(func(limit int, cursor string) ([]Member, string, error) {
			return Page(t.Context(), pool, sel, today, limit, cursor)
		}, 50)
		counts, err := Preview(t.Context(), pool, sel, today)
		if err != nil {
			t.Fatal(err)
		}
		if counts.Warnings[string(NoAddress)] != len(want) {
			t.Errorf("%v: the preview counts %d, and %d are members", sel, counts.Warnings[string(NoAddress)], len(want))
		}
		for _, limit := range []int{1, 2, 3, 50} {
			got := all(func(limit int, cursor string) ([]Member, string, error) {
				page, next, err := PageWithoutEmail(t.Context(), pool, sel, today, limit, cursor)
				for _, m := range page {
					if m.Email != "" {
						err = fmt.Errorf("%s has an address", m.ID)
					}
				}
				return page, next, err
			}, limit)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v by %d (-members +listed):\n%s", sel, limit, diff)
			}
		}
	}
}
