package demo

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory"
	"postern/internal/directory/audience"
	"postern/internal/directory/imports"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestTheClinicHasAPersonForEveryCase(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	calls := 0
	opts := imports.Options{InTx: func(context.Context, pgx.Tx, imports.Summary) error {
		calls++
		return nil
	}}
	for range 2 {
		if err := Import(t.Context(), pool, opts); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 2 {
		t.Errorf("%d imports changed something: the first two files should, and nothing after", calls)
	}

	on := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		group                        audience.Group
		included, excluded, warnings map[string]int
	}{
		{audience.ActivePatients, map[string]int{"active_patient": 27}, map[string]int{"deceased": 5, "link_ended": 1, "link_not_begun": 1}, map[string]int{"no_address": 5}},
		{audience.DischargedPatients, map[string]int{"discharged_patient": 9}, map[string]int{"account_inactive": 1, "deceased": 1}, map[string]int{}},
		{audience.AllPortalUsers, map[string]int{"any_portal_user": 38}, map[string]int{"account_inactive": 1, "deceased": 5}, map[string]int{"no_address": 5}},
	} {
		got, err := audience.Preview(t.Context(), pool, audience.Selection{Groups: []audience.Group{c.group}}, on)
		if err != nil {
			t.Fatal(err)
		}
		for name, maps := range map[string][2]map[string]int{
			"included": {c.included, got.Included}, "excluded": {c.excluded, got.Excluded}, "warnings": {c.warnings, got.Warnings},
		} {
			if diff := cmp.Diff(maps[0], maps[1]); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", c.group, name, diff)
			}
		}
	}
}

// No mail to an address of the demo may be delivered.
func TestEveryAddressIsAtExampleTest(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	if err := Import(t.Context(), pool, imports.Options{}); err != nil {
		t.Fatal(err)
	}
	users, _, err := directory.List(t.Context(), pool, directory.MostPerPage, "")
	if err != nil || len(users) != 44 {
		t.Fatal(len(users), err)
	}
	several := map[string]int{}
	for _, u := range users {
		if u.Email != "" && !strings.HasSuffix(u.Email, "@example.test") {
			t.Errorf("%s has the address %s", u.ID, u.Email)
		}
		several[u.Email]++
		if u.ID == "ingrid-berg" && len(u.Patients) != 2 {
			t.Errorf("ingrid-berg represents %d", len(u.Patients))
		}
	}
	if several["finches@example.test"] != 2 {
		t.Error("no two portal users share an address")
	}
}
