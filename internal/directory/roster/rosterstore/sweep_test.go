package rosterstore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/directory/block"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/directory/roster/rosterstore/rosterstoretest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// age makes all rosters two days older.
const age = `UPDATE app.rosters SET made_at = made_at - interval '2 days'`

func sweep(t testing.TB, s *rosterstore.Store) int {
	t.Helper()
	n, err := s.Sweep(t.Context())
	must(t, err)
	return n
}

// stored counts the rosters, facts and names.
func stored(t testing.TB, pool *pgxpool.Pool) (n [3]int) {
	t.Helper()
	must(t, pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.rosters), (SELECT count(*) FROM app.roster_facts), (SELECT count(*) FROM app.roster_names)`).Scan(&n[0], &n[1], &n[2]))
	return n
}

// current returns the state of the directory of the current rosters.
func current(t testing.TB, pool *pgxpool.Pool) (state roster.State) {
	t.Helper()
	snapshot, err := rosterstore.Open(t.Context(), pool)
	must(t, err)
	defer snapshot.Close(t.Context())
	must(t, snapshot.Blocks(t.Context(), 0, func(b *rosterstore.Block) bool {
		state = append(state, roster.BlockRoot{Block: b.Block, Root: b.Root})
		return true
	}))
	return state
}

// Rosters that nothing cites are deleted after a day, with the objects that only they use. What is
// current, cited or copied stays, and what is from before it was marked.
func TestOldRostersAreDeleted(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	s := rosterstoretest.New(t, storetest.Open(t, url, store.RoleFanout))
	change := func() {
		t.Helper()
		exec(t, admin, `UPDATE app.links SET valid_until = coalesce(valid_until, '2030-01-01') + 1`) // three blocks have links
		pass(t, s)
	}
	want := func(when string, deleted int, left [3]int) {
		t.Helper()
		if n := sweep(t, s); n != deleted || stored(t, admin) != left {
			t.Errorf("%s: %d are deleted, and %v left; want %d, %v", when, n, stored(t, admin), deleted, left)
		}
		mustSay(t, admin, 0)
	}
	exec(t, admin, town)
	pass(t, s)
	change()
	want("younger than a day", 0, [3]int{6, 6, 3})
	exec(t, admin, age)
	want("older than a day", 3, [3]int{3, 3, 3})
	want("the current ones", 0, [3]int{3, 3, 3})

	state := current(t, admin)
	_, err := s.KeepState(t.Context(), state)
	must(t, err)
	change()
	exec(t, admin, age)
	want("cited by a state", 0, [3]int{6, 6, 3})

	must(t, s.Keep(t.Context(), []roster.Digest{current(t, admin)[0].Root}))
	change()
	exec(t, admin, age)
	want("one of three has a copy", 2, [3]int{7, 7, 3})

	exec(t, admin, `UPDATE app.portal_users SET portal_user_id = portal_user_id || '-renamed' WHERE length(portal_user_id) < 20`) // all three blocks
	pass(t, s)
	exec(t, admin, age)
	want("of three with other names", 3, [3]int{7, 7, 6})

	exec(t, admin, `UPDATE app.rosters SET cited = true`) // as those from before the column are
	change()
	exec(t, admin, age)
	want("from before", 0, [3]int{10, 10, 6})

	// A copy that comes back is cited: no one knows by which event.
	exec(t, admin, `DELETE FROM app.block_rosters; DELETE FROM app.rosters; DELETE FROM app.roster_facts; DELETE FROM app.roster_names`)
	must(t, rosterstore.Restore(t.Context(), s.Pool, s.Content))
	exec(t, admin, age)
	if n := sweep(t, s); n != 0 || stored(t, admin) != [3]int{1, 1, 1} {
		t.Errorf("%d are deleted, and %v restored", n, stored(t, admin))
	}
}

// A sweep deletes all, in several transactions, and nothing while a pass runs.
func TestASweepDeletesAll(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	s := rosterstoretest.New(t, storetest.Open(t, url, store.RoleFanout))
	var all []roster.Roster
	for no := range block.No(1100) {
		r, err := roster.Make(no, []roster.Person{{No: no.At(4), ID: fmt.Sprintf("pu-%d", no)}})
		must(t, err)
		all = append(all, r)
	}
	_, err := s.Put(t.Context(), all)
	must(t, err)
	exec(t, admin, age)
	other, err := admin.Begin(t.Context())
	must(t, err)
	_, err = other.Exec(t.Context(), `SELECT pg_advisory_xact_lock(`+store.LockRosters+`)`)
	must(t, err)
	if n := sweep(t, s); n != 0 {
		t.Errorf("during a pass %d are deleted", n)
	}
	must(t, other.Rollback(t.Context()))
	if n := sweep(t, s); n != len(all) || stored(t, admin) != [3]int{} {
		t.Errorf("%d are deleted, and %v left", n, stored(t, admin))
	}
}

// A state that is restored while rosters of it are stored, as after a restore of older files of
// Postgres, cites them again.
func TestARestoredStateCitesItsRosters(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	s := rosterstoretest.New(t, storetest.Open(t, url, store.RoleFanout))
	exec(t, admin, town)
	pass(t, s)
	state := current(t, admin)
	_, err := s.KeepState(t.Context(), state)
	must(t, err)
	exec(t, admin, `DELETE FROM app.directory_states; UPDATE app.rosters SET cited = false`)
	must(t, rosterstore.Restore(t.Context(), s.Pool, s.Content))
	exec(t, admin, `UPDATE app.portal_users SET active = NOT active`)
	pass(t, s)
	exec(t, admin, age)
	if n := sweep(t, s); n != 0 {
		t.Errorf("%d are deleted", n)
	}
}

// Rosters that are not current any more are stored again and cited while they are deleted, with a
// sweep before each statement and beside it: either they are cited and stay, or KeepState says that
// they are gone.
func TestASweepWhileRostersAreCited(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	kept := rosterstoretest.Content(t)
	sweeping := rosterstore.New(rosterstore.Config{Pool: storetest.Open(t, url, store.RoleFanout), Content: kept})
	swept := 0
	for n := 1; ; n++ {
		var all []roster.Roster
		for no := range block.No(3) {
			r, err := roster.Make(no, []roster.Person{{No: no.At(n), ID: fmt.Sprintf("pu-%d", no.At(n))}})
			must(t, err)
			all = append(all, r)
		}
		_, err := sweeping.Put(t.Context(), all)
		must(t, err)
		exec(t, admin, age)
		count := 0
		var beside sync.WaitGroup
		inTransaction := false
		s := rosterstore.New(rosterstore.Config{Content: kept, Pool: rosterstoretest.Hooked(t, url, store.RoleFanout, func(sql string) error {
			if count++; count == n {
				run := func() {
					if deleted, err := sweeping.Sweep(t.Context()); err != nil {
						t.Error(err)
					} else if deleted > 0 {
						swept++
					}
				}
				if inTransaction { // it may wait for this one
					beside.Go(run)
				} else {
					run()
				}
			}
			inTransaction = sql != "commit" && (inTransaction || sql == "begin isolation level read committed")
			return nil
		})})
		roots, err := s.Put(t.Context(), all)
		must(t, err)
		var state roster.State
		for i := range all {
			state = append(state, roster.BlockRoot{Block: all[i].Block, Root: roots[i]})
		}
		_, failed := s.KeepState(t.Context(), state)
		beside.Wait()
		if failed != nil && !errors.Is(failed, cited.ErrDamaged) {
			t.Fatal(failed)
		}
		found, err := cited.Whole(t.Context(), admin, roots)
		must(t, err)
		if failed == nil && len(found) != len(all) {
			t.Errorf("with a sweep before statement %d, %d rosters are cited and gone", n, len(all)-len(found))
		}
		s.Pool.Close()
		if count < n {
			break
		}
	}
	if swept == 0 {
		t.Error("no sweep has deleted anything")
	}
}
