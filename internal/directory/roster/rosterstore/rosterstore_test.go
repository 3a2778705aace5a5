package rosterstore_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/block"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/directory/roster/rosterstore/rosterstoretest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func exec(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pass makes the rosters of the dirty blocks. A pass that was killed just before may still hold
// the lock: until Postgres has noticed, another pass makes nothing.
func pass(t testing.TB, s *rosterstore.Store) int {
	t.Helper()
	for {
		made, err := s.Pass(t.Context())
		must(t, err)
		if made > 0 || len(dirty(t, s.Pool)) == 0 {
			return made
		}
	}
}

// town is a directory with portal users in the blocks 0, 1 and 4.
const town = `
INSERT INTO app.patients (patient_no, patient_id, status, deceased) OVERRIDING SYSTEM VALUE VALUES
    (1, 'pt-1', 'active', false), (2, '00000000-0000-4000-8000-000000000002', 'discharged', false), (3, 'pt-3', 'active', true);
INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, email, active) OVERRIDING SYSTEM VALUE VALUES
    (1, 'pu-1', 'Ann', 'ann@example.test', true), (250, '00000000-0000-4000-8000-000000000250', 'Bo', '', true),
    (251, 'pu-251', 'Cy', 'cy@example.test', false), (1001, 'pu-1001', 'Dee', 'dee@example.test', true);
INSERT INTO app.links (portal_user_no, patient_no, relationship, valid_from, valid_until) VALUES
    (1, 1, 'self', NULL, NULL), (1, 2, 'representative', '2020-01-01', '2030-12-31'),
    (251, 2, 'self', NULL, NULL), (1001, 1, 'representative', NULL, '2026-01-01');
`

// dirty returns the numbers of the dirty blocks.
func dirty(t testing.TB, pool *pgxpool.Pool) []int32 {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT block FROM app.dirty_blocks ORDER BY block`)
	must(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	must(t, err)
	return found
}

// said returns what the rosters of a snapshot say, a line for each person, with how many of the
// rosters were built from the tables.
func said(t testing.TB, pool *pgxpool.Pool) (lines []string, built int) {
	t.Helper()
	snapshot, err := rosterstore.Open(t.Context(), pool)
	must(t, err)
	defer snapshot.Close(t.Context())
	err = snapshot.Blocks(t.Context(), 0, func(b *rosterstore.Block) bool {
		if b.Built() {
			built++
		}
		b.Names = nil
		must(t, b.Visit(func(p *roster.Person) bool {
			lines = append(lines, fmt.Sprintf("%+v", *p))
			return true
		}))
		return true
	})
	must(t, err)
	return lines, built
}

// stated returns what the tables say, in the same form, by another way.
func stated(t testing.TB, pool *pgxpool.Pool) (lines []string) {
	t.Helper()
	var people []roster.Person
	rows, err := pool.Query(t.Context(), `SELECT portal_user_no, active, email <> '' FROM app.portal_users ORDER BY 1`)
	must(t, err)
	var p roster.Person
	_, err = pgx.ForEachRow(rows, []any{&p.No, &p.Active, &p.Addressed}, func() error { people = append(people, p); return nil })
	must(t, err)
	for i := range people {
		rows, err := pool.Query(t.Context(), `SELECT relationship = 'self', valid_from - '2000-01-01', valid_until - '2000-01-01', status = 'discharged', deceased
			FROM app.links JOIN app.patients USING (patient_no) WHERE portal_user_no = $1 ORDER BY patient_no, relationship`, people[i].No)
		must(t, err)
		var l roster.Link
		var from, until *int32
		_, err = pgx.ForEachRow(rows, []any{&l.Self, &from, &until, &l.Discharged, &l.Deceased}, func() error {
			l.From.Set, l.Until.Set, l.From.Day, l.Until.Day = from != nil, until != nil, 0, 0
			if from != nil {
				l.From.Day = *from
			}
			if until != nil {
				l.Until.Day = *until
			}
			people[i].Links = append(people[i].Links, l)
			return nil
		})
		must(t, err)
		lines = append(lines, fmt.Sprintf("%+v", people[i]))
	}
	return lines
}

// mustSay compares the rosters with the tables.
func mustSay(t testing.TB, pool *pgxpool.Pool, wantBuilt int) {
	t.Helper()
	lines, built := said(t, pool)
	if diff := cmp.Diff(stated(t, pool), lines); diff != "" || built != wantBuilt {
		t.Errorf("%d rosters were built, want %d (-tables +rosters):\n%s", built, wantBuilt, diff)
	}
}

// Every change of what a roster says marks the block, and no other change does.
func TestWhatMarksABlock(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	s := rosterstoretest.New(t, pool)
	exec(t, pool, town)
	if got := dirty(t, pool); !slices.Equal(got, []int32{0, 1, 4}) {
		t.Fatalf("new portal users mark %v", got)
	}
	if made := pass(t, s); made != 3 {
		t.Fatalf("%d rosters were made", made)
	}
	mustSay(t, pool, 0)
	for _, c := range []struct {
		change string
		marks  []int32
	}{
		{`UPDATE app.portal_users SET active = false WHERE portal_user_no = 1`, []int32{0}},
		{`UPDATE app.portal_users SET email = '' WHERE portal_user_no = 1001`, []int32{4}},
		{`UPDATE app.portal_users SET email = 'bo@example.test' WHERE portal_user_no = 250`, []int32{0}},
		{`UPDATE app.portal_users SET portal_user_id = 'pu-one' WHERE portal_user_no = 1`, []int32{0}},
		{`UPDATE app.portal_users SET active = NOT active`, []int32{0, 1, 4}},
		{`INSERT INTO app.portal_users (portal_user_no, portal_user_id, name, active) OVERRIDING SYSTEM VALUE VALUES (2, 'pu-2', '', true)`, []int32{0}},
		{`DELETE FROM app.portal_users WHERE portal_user_no = 2`, []int32{0}},
		{`INSERT INTO app.links VALUES (251, 1, NULL, NULL, 'representative')`, []int32{1}},
		{`UPDATE app.links SET valid_until = '2027-01-01' WHERE portal_user_no = 251 AND patient_no = 1`, []int32{1}},
		{`UPDATE app.links SET valid_from = '2019-01-01' WHERE portal_user_no = 251 AND patient_no = 1`, []int32{1}},
		{`UPDATE app.links SET relationship = 'self', valid_from = NULL, valid_until = NULL WHERE portal_user_no = 251 AND patient_no = 1`, []int32{1}},
		{`UPDATE app.links SET portal_user_no = 1001 WHERE portal_user_no = 251 AND patient_no = 1`, []int32{1, 4}},
		{`DELETE FROM app.links WHERE portal_user_no = 1001 AND relationship = 'self'`, []int32{4}},
		{`UPDATE app.patients SET status = 'discharged' WHERE patient_no = 1`, []int32{0, 4}},
		{`UPDATE app.patients SET deceased = true WHERE patient_no = 2`, []int32{0, 1}},
		{`UPDATE app.patients SET patient_id = 'pt-two' WHERE patient_no = 2`, []int32{0, 1}},
		{`UPDATE app.patients SET status = 'discharged' WHERE patient_no = 3`, nil}, // linked to nobody
		{`INSERT INTO app.patients (patient_no, patient_id, status) OVERRIDING SYSTEM VALUE VALUES (4, 'pt-4', 'active')`, nil},
		{`UPDATE app.patients SET given_name = 'Xi', family_name = 'Yo', birth_date = '1980-01-01', words_version = 0`, nil},
		{`UPDATE app.portal_users SET name = 'Zoë', words_version = 0, email_version = 7`, nil},
		{`UPDATE app.portal_users SET email = 'cy@elsewhere.test' WHERE portal_user_no = 251`, nil}, // another address
		{`UPDATE app.links SET valid_from = valid_from`, nil},
		{`DELETE FROM app.links WHERE false`, nil},
		{`DELETE FROM app.portal_users WHERE portal_user_no = 251; DELETE FROM app.links WHERE portal_user_no = 251`, []int32{1}}, // the last of its block
		{`TRUNCATE app.links`, []int32{0, 4}},
	} {
		exec(t, pool, c.change)
		if got := dirty(t, pool); !slices.Equal(got, c.marks) {
			t.Errorf("%s marks %v, want %v", c.change, got, c.marks)
		}
		pass(t, s)
		if left := dirty(t, pool); len(left) > 0 {
			t.Errorf("%s: the pass left %v", c.change, left)
		}
		mustSay(t, pool, 0)
	}
	exec(t, pool, `UPDATE app.portal_users SET active = false; TRUNCATE app.portal_users CASCADE`)
	pass(t, s)
	if lines, _ := said(t, pool); len(lines) > 0 {
		t.Errorf("of an empty directory they say %v", lines)
	}
}

// The roles of the processes mark, make and read rosters; none of them changes what is stored.
func TestTheRolesOfTheProcesses(t *testing.T) {
	t.Parallel()
	for _, role := range []store.Role{store.RoleAPI, store.RoleFanout} {
		url := storetest.New(t)
		api := storetest.Open(t, url, store.RoleAPI)
		exec(t, storetest.Open(t, url, store.RoleAdmin), town)
		exec(t, api, `UPDATE app.portal_users SET active = NOT active`)
		pool := storetest.Open(t, url, role)
		pass(t, rosterstoretest.New(t, pool))
		mustSay(t, pool, 0)
		for _, change := range []string{
			`UPDATE app.rosters SET secret = secret`, `DELETE FROM app.rosters`, `DELETE FROM app.roster_facts`, `DELETE FROM app.roster_names`,
			`UPDATE app.roster_facts SET digest = digest`, `UPDATE app.roster_facts SET facts = facts || '\x00'`, `UPDATE app.roster_names SET names = '\x010001'`,
		} {
			if _, err := pool.Exec(t.Context(), change); err == nil {
				t.Errorf("%s may %s", role, change)
			}
		}
	}
}

// roots returns the current root of each block.
func roots(t testing.TB, pool *pgxpool.Pool) map[int32]string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT block, encode(root, 'hex') FROM app.block_rosters`)
	must(t, err)
	found := map[int32]string{}
	var no int32
	var root string
	_, err = pgx.ForEachRow(rows, []any{&no, &root}, func() error { found[no] = root; return nil })
	must(t, err)
	return found
}

// A directory that changes and changes back has its first roots again, and a change of facts
// leaves the names where they are.
func TestTheSameContentHasOneRoot(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	s := rosterstoretest.New(t, pool)
	exec(t, pool, town)
	pass(t, s)
	before := roots(t, pool)
	exec(t, pool, `UPDATE app.portal_users SET active = NOT active`)
	pass(t, s)
	for no, root := range roots(t, pool) {
		if root == before[no] {
			t.Errorf("block %d has changed and has the same root", no)
		}
	}
	exec(t, pool, `UPDATE app.portal_users SET active = NOT active`)
	pass(t, s)
	if diff := cmp.Diff(before, roots(t, pool)); diff != "" {
		t.Errorf("the roots differ (-before +changed back):\n%s", diff)
	}
	var facts, names, rosters int
	must(t, pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM app.roster_facts), (SELECT count(*) FROM app.roster_names), (SELECT count(*) FROM app.rosters)`).Scan(&facts, &names, &rosters))
	if facts != 6 || names != 3 || rosters != 6 {
		t.Errorf("%d facts, %d names, %d rosters are stored, want 6, 3, 6", facts, names, rosters)
	}
}

// A stored roster reads back with its names, its secret opens, and gives its root. The secret
// itself stands in no row.
func TestSecrets(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	s := rosterstoretest.New(t, pool)
	exec(t, pool, town)
	pass(t, s)
	var all []roster.Digest
	for _, root := range roots(t, pool) {
		raw, err := hex.DecodeString(root)
		must(t, err)
		all = append(all, roster.Digest(raw))
	}
	read := 0
	var rosters []roster.Roster
	must(t, cited.Each(t.Context(), pool, all, func(r *roster.Roster) error { rosters = append(rosters, *r); read++; return nil }))
	for _, root := range all {
		secret, err := s.Secret(t.Context(), root)
		must(t, err)
		if !slices.ContainsFunc(rosters, func(r roster.Roster) bool {
			got, err := r.Root(secret)
			return err == nil && got == root
		}) {
			t.Errorf("no roster has the root %s with its secret", root)
		}
		var stored string
		must(t, pool.QueryRow(t.Context(), `SELECT (SELECT string_agg(r::text, '') FROM app.rosters r) || (SELECT string_agg(r::text, '') FROM app.roster_facts r)
			|| (SELECT string_agg(r::text, '') FROM app.roster_names r) || (SELECT string_agg(r::text, '') FROM app.block_rosters r)`).Scan(&stored))
		if strings.Contains(stored, hex.EncodeToString(secret.Bytes())) || strings.Contains(stored, hex.EncodeToString(secret.Bytes()[:8])) {
			t.Error("a secret is stored in the clear")
		}
		if _, err := rosterstoretest.New(t, pool).Secret(t.Context(), root); !errors.Is(err, content.ErrChanged) {
			t.Errorf("it opens with another key: %v", err)
		}
	}
	if read != 3 {
		t.Errorf("%d rosters were read", read)
	}
	if _, err := s.Secret(t.Context(), roster.Digest{}); !errors.Is(err, cited.ErrDamaged) {
		t.Error(err)
	}
}

// Two passes at once, and a store of the same rosters beside them, come to one root for each
// block.
func TestTwoPassesAtOnce(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	s := rosterstoretest.New(t, pool)
	for round := range 5 {
		exec(t, pool, `INSERT INTO app.portal_users (portal_user_id, name, active) SELECT $1 || '-' || i, '', true FROM generate_series(1, 2000) i`, fmt.Sprint(round))
		var built []roster.Roster
		snapshot, err := rosterstore.Open(t.Context(), pool)
		must(t, err)
		must(t, snapshot.Blocks(t.Context(), 0, func(b *rosterstore.Block) bool {
			if b.Built() {
				built = append(built, b.Roster)
			}
			return true
		}))
		snapshot.Close(t.Context())
		slices.Reverse(built) // in another order
		var all sync.WaitGroup
		var put []roster.Digest
		for range 2 {
			all.Go(func() {
				if _, err := s.Pass(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if put, err = s.Put(t.Context(), built); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		pass(t, s)
		mustSay(t, pool, 0)
		current := roots(t, pool)
		for i, root := range put {
			if current[int32(built[i].Block)] != root.String() {
				t.Errorf("block %d has two roots", built[i].Block)
			}
		}
	}
}

// After an import of many people, their rosters have copies in the content store, so that the
// first message to them does not make them. Rosters of which only the facts are new have none
// until they are cited.
func TestRostersOfNewPeopleAreCopied(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	for _, role := range []store.Role{store.RoleAPI, store.RoleFanout} {
		s := rosterstoretest.New(t, storetest.Open(t, url, role))
		without := func() (n int) {
			t.Helper()
			must(t, admin.QueryRow(t.Context(), `SELECT count(*) FROM app.block_rosters JOIN app.rosters USING (root) WHERE kept IS NULL`).Scan(&n))
			return n
		}
		exec(t, admin, `INSERT INTO app.portal_users (portal_user_id, name, active) SELECT $1 || '-' || i, '', true FROM generate_series(1, 15000) i`, string(role))
		must(t, s.Finish(t.Context()))
		if n := without(); n != 0 {
			t.Errorf("%s: %d rosters of new people have no copy", role, n)
		}
		exec(t, admin, `UPDATE app.portal_users SET active = NOT active`)
		must(t, s.Finish(t.Context()))
		if n := without(); n < 60 {
			t.Errorf("%s: only %d rosters with new facts have no copy", role, n)
		}
		exec(t, admin, `UPDATE app.portal_users SET active = NOT active`)
		must(t, s.Finish(t.Context()))
		mustSay(t, admin, 0)
	}
}

// The end of an import waits for the pass of another process, and makes what is left.
func TestAnImportWaitsForThePassOfAnother(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	s := rosterstoretest.New(t, pool)
	exec(t, pool, town)
	other, err := pool.Begin(t.Context())
	must(t, err)
	_, err = other.Exec(t.Context(), `SELECT pg_advisory_xact_lock(`+store.LockRosters+`)`)
	must(t, err)
	finished := make(chan error, 1)
	go func() { finished <- s.Finish(t.Context()) }()
	for waits := false; !waits; {
		must(t, pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory')`).Scan(&waits))
		select {
		case err := <-finished:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	must(t, other.Rollback(t.Context()))
	must(t, <-finished)
	mustSay(t, pool, 0)
}

// A change in the middle of a pass leaves its block dirty: the old roster never becomes current,
// wherever in the pass the change comes. Before the last COMMIT, a change would wait for it.
func TestAPassThatIsOvertaken(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	kept := rosterstoretest.Content(t)
	exec(t, admin, town)
	statements := 0
	for n := 1; ; n++ {
		exec(t, admin, `UPDATE app.portal_users SET active = NOT active`) // all are dirty
		count := 0
		hooked := rosterstoretest.Hooked(t, url, store.RoleFanout, func(sql string) error {
			if count++; count == n && sql != "commit" {
				exec(t, admin, `UPDATE app.portal_users SET active = NOT active WHERE portal_user_no < 251`)
			}
			return nil
		})
		pass(t, rosterstore.New(rosterstore.Config{Pool: hooked, Content: kept}))
		lines, _ := said(t, admin)
		if diff := cmp.Diff(stated(t, admin), lines); diff != "" {
			t.Errorf("with a change before statement %d (-tables +rosters):\n%s", n, diff)
		}
		pass(t, rosterstore.New(rosterstore.Config{Pool: admin, Content: kept}))
		mustSay(t, admin, 0)
		if count < n {
			break
		}
		statements = n
	}
	if statements < 10 {
		t.Errorf("the pass has %d statements", statements)
	}
}

// A change that is about to commit is not waited for, and its block stays dirty.
func TestAPassWaitsForNoImport(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	s := rosterstoretest.New(t, pool)
	exec(t, pool, town)
	tx, err := pool.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), `UPDATE app.portal_users SET active = false WHERE portal_user_no = 1`)
	must(t, err)
	pass(t, s)
	if got := dirty(t, pool); !slices.Equal(got, []int32{0}) {
		t.Errorf("the pass left %v", got)
	}
	mustSay(t, pool, 1)
	must(t, tx.Commit(t.Context()))
	mustSay(t, pool, 1)
	pass(t, s)
	mustSay(t, pool, 0)
}

// The pass may end before any of its statements. Its blocks stay dirty, and the next pass makes
// the same.
func TestAPassThatIsKilled(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	kept := rosterstoretest.Content(t)
	exec(t, admin, town)
	for n := 1; ; n++ {
		exec(t, admin, `UPDATE app.portal_users SET active = NOT active`)
		count := 0
		killed := errors.New("killed")
		hooked := rosterstoretest.Hooked(t, url, store.RoleFanout, func(sql string) error {
			if count++; count == n || count > n && sql != "rollback" {
				return killed
			}
			return nil
		})
		_, err := rosterstore.New(rosterstore.Config{Pool: hooked, Content: kept}).Pass(t.Context())
		if n > count {
			must(t, err)
			if n < 10 {
				t.Errorf("the pass has %d statements", n)
			}
			return
		}
		if err == nil {
			// The end of the snapshot may fail without a loss. Or the pass before still holds
			// the lock: then it is this one's turn again.
			if len(dirty(t, admin)) > 0 {
				n--
				exec(t, admin, `UPDATE app.portal_users SET active = NOT active`)
				continue
			}
			mustSay(t, admin, 0)
			continue
		}
		if got := dirty(t, admin); !slices.Equal(got, []int32{0, 1, 4}) {
			t.Errorf("killed before statement %d: %v are dirty", n, got)
		}
		mustSay(t, admin, 3)
		pass(t, rosterstore.New(rosterstore.Config{Pool: admin, Content: kept}))
		mustSay(t, admin, 0)
	}
}

// A roster that is missing, damaged or of another block is not used. It is built from the
// tables, and the next pass restores it.
func TestADamagedRosterIsNotUsed(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"facts changed": `ALTER TABLE app.roster_facts DROP CONSTRAINT roster_facts_check;
			UPDATE app.roster_facts SET facts = set_byte(facts, length(facts) - 2, get_byte(facts, length(facts) - 2) # 1) WHERE digest = (SELECT facts FROM app.rosters WHERE block = 1)`,
		"facts lost":       `SET session_replication_role = replica; DELETE FROM app.roster_facts WHERE digest = (SELECT facts FROM app.rosters WHERE block = 1)`,
		"roster lost":      `SET session_replication_role = replica; DELETE FROM app.rosters WHERE block = 1`,
		"of another block": `UPDATE app.block_rosters SET root = (SELECT root FROM app.rosters WHERE block = 4) WHERE block = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := storetest.Pool(t, store.RoleAdmin)
			s := rosterstoretest.New(t, pool)
			exec(t, pool, town)
			pass(t, s)
			exec(t, pool, damage+`; SET session_replication_role = origin`)
			mustSay(t, pool, 1)
			if got := dirty(t, pool); !slices.Equal(got, []int32{1}) {
				t.Errorf("%v are dirty", got)
			}
			pass(t, s)
			mustSay(t, pool, 0)
		})
	}
}

// Names that are damaged are not copied to the content store, and the next pass restores them.
func TestDamagedNamesAreNotUsed(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"changed": `ALTER TABLE app.roster_names DROP CONSTRAINT roster_names_check; UPDATE app.roster_names SET names = names || '\x00' WHERE digest = (SELECT names FROM app.rosters WHERE block = 1)`,
		"lost":    `SET session_replication_role = replica; DELETE FROM app.roster_names WHERE digest = (SELECT names FROM app.rosters WHERE block = 1)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := storetest.New(t)
			pool := storetest.Open(t, url, store.RoleAdmin)
			s := rosterstoretest.New(t, storetest.Open(t, url, store.RoleFanout))
			exec(t, pool, town)
			pass(t, s)
			var of []roster.Digest
			for _, b := range current(t, pool) {
				of = append(of, b.Root)
			}
			exec(t, pool, damage+`; SET session_replication_role = origin`)
			if err := s.Keep(t.Context(), of); !errors.Is(err, cited.ErrDamaged) {
				t.Errorf("they were copied: %v", err)
			}
			if got := dirty(t, pool); !slices.Equal(got, []int32{1}) {
				t.Errorf("%v are dirty", got)
			}
			pass(t, s)
			must(t, s.Keep(t.Context(), of))
			must(t, cited.Each(t.Context(), pool, of, func(*roster.Roster) error { return nil }))
		})
	}
}

// A snapshot is of one moment: what is committed while it is read is not in it.
func TestASnapshotIsOfOneMoment(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	s := rosterstoretest.New(t, admin)
	exec(t, admin, town)
	pass(t, s)
	exec(t, admin, `UPDATE app.portal_users SET active = NOT active WHERE portal_user_no = 1`) // one is dirty, two are stored
	for n := 2; ; n++ {
		before := stated(t, admin)
		var count atomic.Int32
		hooked := rosterstoretest.Hooked(t, url, store.RoleAPI, func(sql string) error {
			if int(count.Add(1)) == n && n > 2 { // the first query takes the snapshot
				exec(t, admin, `UPDATE app.portal_users SET active = NOT active`)
				exec(t, admin, `UPDATE app.patients SET deceased = NOT deceased`)
				if n%2 == 0 {
					pass(t, s)
				}
			}
			return nil
		})
		lines, _ := said(t, hooked)
		if diff := cmp.Diff(before, lines); diff != "" {
			t.Errorf("with an import before statement %d (-before +read):\n%s", n, diff)
		}
		if int(count.Load()) < n {
			break
		}
	}
}

// Put gives the roots of rosters in the order in which they were given.
func TestPutKeepsTheOrder(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	s := rosterstoretest.New(t, pool)
	var all []roster.Roster
	for _, no := range []block.No{7, 3, 9} {
		r, err := roster.Make(no, []roster.Person{{No: no.At(4), ID: fmt.Sprintf("pu-%d", no)}})
		must(t, err)
		all = append(all, r)
	}
	put, err := s.Put(t.Context(), all)
	must(t, err)
	for i, root := range put {
		must(t, cited.Each(t.Context(), pool, []roster.Digest{root}, func(r *roster.Roster) error {
			if !r.Equal(&all[i]) || !bytes.Equal(r.Names, all[i].Names) {
				t.Errorf("root %d is of block %d", i, r.Block)
			}
			return nil
		}))
	}
	again, err := s.Put(t.Context(), []roster.Roster{all[2], all[0]})
	must(t, err)
	if diff := cmp.Diff([]roster.Digest{put[2], put[0]}, again); diff != "" {
		t.Error(diff)
	}
	if none, err := s.Put(context.Background(), nil); none != nil || err != nil {
		t.Error(none, err)
	}
}

// A state of the directory is stored once. One that was changed is not read, and is restored when
// it is stored again. One that Postgres has lost is restored from the content store.
func TestStatesAreRestored(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	s := rosterstoretest.New(t, storetest.Open(t, url, store.RoleFanout))
	exec(t, admin, town)
	pass(t, s)
	state := current(t, admin)
	keep := func() (digest roster.Digest) {
		t.Helper()
		for range 2 {
			var err error
			digest, err = s.KeepState(t.Context(), state)
			must(t, err)
			got, err := cited.State(t.Context(), admin, digest)
			must(t, err)
			if diff := cmp.Diff(state, got); diff != "" || digest != state.Digest() {
				t.Errorf("(-stored +read):\n%s", diff)
			}
		}
		return digest
	}
	digest := keep()
	exec(t, admin, `ALTER TABLE app.directory_states DROP CONSTRAINT directory_states_check; UPDATE app.directory_states SET state = state || '\x00'`)
	if _, err := cited.State(t.Context(), admin, digest); !errors.Is(err, cited.ErrNoState) {
		t.Errorf("it is read though it was changed: %v", err)
	}
	keep()
	exec(t, admin, `DELETE FROM app.directory_states`)
	must(t, rosterstore.Restore(t.Context(), s.Pool, s.Content))
	keep()
}
