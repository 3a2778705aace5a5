package audience

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/directory/roster/rosterstore/rosterstoretest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// flip changes everybody: who was active is not, and who was alive is dead.
const flip = `UPDATE app.portal_users SET active = NOT active, email = CASE email WHEN '' THEN 'a@example.test' ELSE '' END;
	UPDATE app.patients SET deceased = NOT deceased, status = CASE status WHEN 'active' THEN 'discharged' ELSE 'active' END`

// An import before any statement of a preview or a freeze, and also the pass after it, give an
// audience of one moment: that before the import, or that after it.
func TestAnAudienceIsOfOneMoment(t *testing.T) {
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	rosters := rosterstoretest.New(t, admin)
	exec(t, admin, cast)
	// Some in further blocks, so that some rosters are stored and others are built.
	exec(t, admin, `INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE
		SELECT 500 + i * 100, 'more-' || i, '', '', i % 2 = 0 FROM generate_series(1, 30) i`)
	for _, sel := range []Selection{
		{Groups: []Group{ActivePatients, AllPortalUsers}},
		{Groups: []Group{DischargedPatients}, PortalUserIDs: []string{"dead", "more-3"}},
		{PortalUserIDs: []string{"dead", "both", "more-3"}},
	} {
		for n, statements := 1, 1; n <= statements; n++ {
			pass(t, rosters)
			exec(t, admin, `UPDATE app.portal_users SET active = NOT active WHERE portal_user_no > 1500`) // half are dirty
			before, countsBefore := whole(t, rosters, sel)
			exec(t, admin, flip)
			after, countsAfter := whole(t, rosters, sel)
			exec(t, admin, flip)
			// during calls do with a pool on which the import comes before statement n.
			during := func(do func(pool *pgxpool.Pool)) {
				var count atomic.Int32
				storing := false
				do(rosterstoretest.Hooked(t, url, store.RoleFanout, func(sql string) error {
					if int(count.Add(1)) == n {
						exec(t, admin, flip)
						if n%2 == 0 && !storing { // a pass waits for who stores the same roster
							pass(t, rosters)
						}
					}
					storing = storing && sql != "commit" || strings.HasPrefix(sql, "INSERT INTO app.roster")
					return nil
				}))
				if statements = max(statements, int(count.Load())); int(count.Load()) >= n {
					exec(t, admin, flip)
				}
			}
			during(func(pool *pgxpool.Pool) {
				counts, err := Preview(t.Context(), pool, sel, today)
				if err != nil || !gocmp.Equal(counts, countsBefore) && !gocmp.Equal(counts, countsAfter) {
					t.Errorf("%v with an import before statement %d of the preview: %v (-before +counted):\n%s", sel, n, err, gocmp.Diff(countsBefore, counts))
				}
			})
			during(func(pool *pgxpool.Pool) {
				got, _ := freeze(t, rosterstore.New(rosterstore.Config{Pool: pool, Content: rosters.Content}), sel)
				if !gocmp.Equal(got, before) && !gocmp.Equal(got, after) {
					t.Errorf("%v with an import before statement %d of the freeze (-before +frozen):\n%s", sel, n, gocmp.Diff(before, got))
				}
			})
		}
	}
}

func whole(t *testing.T, rosters *rosterstore.Store, sel Selection) ([]Recipient, Counts) {
	t.Helper()
	counts, err := Preview(t.Context(), rosters.Pool, sel, today)
	if err != nil {
		t.Fatal(err)
	}
	recipients, _ := freeze(t, rosters, sel)
	return recipients, counts
}

// What is frozen stays: a later import and the pass after it change neither the recipients nor
// the roots.
func TestAFrozenAudienceStays(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	rosters := rosterstoretest.New(t, pool)
	exec(t, pool, cast)
	want, frozen := freeze(t, rosters, Selection{Groups: []Group{ActivePatients}})
	for range 2 {
		exec(t, pool, flip)
		pass(t, rosters)
		exec(t, pool, `DELETE FROM app.links`)
		if diff := gocmp.Diff(want, recipientsOf(t, pool, frozen)); diff != "" {
			t.Errorf("(-frozen +read later):\n%s", diff)
		}
	}
}

// A freeze stores the rosters that it has built and does not make them current. Without the
// content key it fails; it never cites what is not stored.
func TestAFreezeOfDirtyBlocks(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	rosters := rosterstoretest.New(t, pool)
	exec(t, pool, cast)
	_, frozen := freeze(t, rosters, Selection{Groups: []Group{ActivePatients}})
	var current, stored, dirty int
	if err := pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.block_rosters), (SELECT count(*) FROM app.rosters WHERE root = $1), (SELECT count(*) FROM app.dirty_blocks)`,
		frozen.Blocks[0].Root[:]).Scan(&current, &stored, &dirty); err != nil {
		t.Fatal(err)
	}
	if current != 0 || stored != 1 || dirty != 1 {
		t.Errorf("%d rosters are current, %d stored, %d blocks dirty; want 0, 1, 1", current, stored, dirty)
	}
	pass(t, rosters)
	if _, again := freeze(t, rosters, Selection{Groups: []Group{ActivePatients}}); again.Blocks[0].Root != frozen.Blocks[0].Root {
		t.Error("the pass gave the block another root")
	}
	secret, err := rosters.Secret(t.Context(), frozen.Blocks[0].Root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rosterstoretest.New(t, pool).Secret(t.Context(), frozen.Blocks[0].Root); !errors.Is(err, content.ErrChanged) {
		t.Errorf("%v opens with another key (%v)", secret, err)
	}
}
