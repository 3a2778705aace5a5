package directory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"postern/internal/directory/source/sourcetest"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/text/folding"
)

// found returns the ids of the portal users that a search finds.
func found(t *testing.T, pool *pgxpool.Pool, q string) string {
	t.Helper()
	users, _, err := Search(t.Context(), pool, q, 500, "")
	if err != nil {
		t.Fatal(err)
	}
	patients, _, err := SearchPatients(t.Context(), pool, q, 500, "")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, u := range users {
		all = append(all, u.ID)
	}
	for _, p := range patients {
		all = append(all, p.ID)
	}
	return strings.Join(all, " ")
}

func TestSearchFindsNamesAsPeopleTypeThem(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	letters, err := os.ReadFile("testdata/cases/search-letters.csv")
	if err != nil {
		t.Fatal(err)
	}
	importCSV(t, pool, "search-letters.csv", string(letters), "u.csv", sourcetest.PortalUsersHeader+
		"o1,Siobhán O’Hara,,true\no2,Anne-Marie Bérubé,,true\no3,Jan\u00a0de\u202fWit,,true\no4,Dana OBrien,,true\n",
		"p.csv", sourcetest.PatientsHeader+"pt-1,Łucja,Świątek-Żak,,active,false\npt-2,Ole,Ødegård,,active,false\n")
	for q, want := range map[string]string{
		"lukasz zak": "sl1", "soren aero": "sl2", "strasse": "sl3", "yilmaz": "sl4", "dorde": "sl5",
		"zak lukasz": "sl1", "ŁUKASZ ŻAK": "sl1", "jurgen": "sl3", "juergen": "sl3", "djordje pavlic": "sl5", "Đorđe": "sl5",
		"o'hara": "o1", "ohara": "o1", "o hara": "o1", "o`hara": "o1", "anne marie": "o2", "annemarie": "o2", "anne‑marie": "o2",
		"jan de wit": "o3", "dewit": "o3", "o’brien": "o4", "o brien": "o4", "lucja swiatek zak": "pt-1", "swiatekzak": "pt-1", "łucja": "pt-1",
		"ødegard": "pt-2", "oedegaard": "pt-2", "'": "", "-": "", "\u200b'": "", "zak": "sl1 pt-1",
	} {
		if got := found(t, pool, q); got != want {
			t.Errorf("%q finds %q, want %q", q, got, want)
		}
	}
}

// Names that were not written by this version are found once they are folded, some at a
// time, by any number of processes. Then nothing is left to do.
func TestFoldNames(t *testing.T) {
	url := storetest.New(t)
	pool, admin := storetest.Open(t, url, store.RoleAPI), storetest.Open(t, url, store.RoleAdmin)
	n := foldedAtOnce + 10
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'u' || i, 'Zoë Numéro' || i FROM generate_series(1, $1) i`, n)
	exec(`INSERT INTO app.patients (status, patient_id, given_name, family_name) VALUES ('active', 'p1', 'Łucja', 'Żak')`)
	if got := found(t, pool, "numero7"); got != "" {
		t.Errorf("found before: %q", got)
	}
	done := make(chan int)
	for range 2 {
		go func() {
			folded, err := FoldNames(t.Context(), pool)
			if err != nil {
				t.Error(err)
			}
			done <- folded
		}()
	}
	if sum := <-done + <-done; sum != n+1 {
		t.Errorf("folded %d names, want %d", sum, n+1)
	}
	if got := found(t, pool, "zoe numero7 lucja"); got != "" {
		t.Error(got)
	}
	if got := found(t, pool, fmt.Sprint("numero", n)); got != fmt.Sprint("u", n) {
		t.Errorf("a name of the last batch: %q", got)
	}
	if got := found(t, pool, "lucja zak"); got != "p1" {
		t.Errorf("a patient: %q", got)
	}
	if folded, err := FoldNames(t.Context(), pool); folded != 0 || err != nil {
		t.Errorf("a second time: %d, %v", folded, err)
	}
	// An import leaves nothing to fold.
	importCSV(t, pool, "u.csv", sourcetest.PortalUsersHeader+"new,Zoë New,,true\nu1,Zoë Other,,true\n")
	if folded, err := FoldNames(t.Context(), pool); folded != 0 || err != nil {
		t.Errorf("after an import: %d, %v", folded, err)
	}
	if got := found(t, pool, "zoe other") + found(t, pool, "zoe new") + found(t, pool, "numero1"); !strings.HasPrefix(got, "u1new") {
		t.Errorf("after an import: %q", got)
	}
}

// FoldNames never waits for an import, which may be waiting for it.
func TestFoldNamesSkipsLockedRows(t *testing.T) {
	url := storetest.New(t)
	pool, admin := storetest.Open(t, url, store.RoleAPI), storetest.Open(t, url, store.RoleAdmin)
	if _, err := admin.Exec(t.Context(), `INSERT INTO app.portal_users (active, portal_user_id, name) VALUES (true, 'u1', 'Zoë One'), (true, 'u2', 'Zoë Two')`); err != nil {
		t.Fatal(err)
	}
	folds := func(want int) {
		t.Helper()
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		if _, err := conn.Exec(t.Context(), `SET lock_timeout = '20s'`); err != nil { // rather than wait for ever
			t.Fatal(err)
		}
		if folded, err := FoldNames(t.Context(), conn); folded != want || err != nil {
			t.Errorf("it folded %d, want %d: %v", folded, want, err)
		}
	}
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `UPDATE app.portal_users SET active = false WHERE portal_user_id = 'u1'`); err != nil {
			return err
		}
		folds(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	folds(1)
}

// The partial indexes hold the rows older than the version that FoldNames writes.
func TestUnfoldedNamesAreFoundByAnIndex(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	rows, err := pool.Query(t.Context(), `SELECT indexdef FROM pg_indexes WHERE schemaname = 'app' AND indexname LIKE '%_unfolded' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	for _, index := range got {
		if want := fmt.Sprintf("WHERE (words_version < %d)", folding.Version); !strings.HasSuffix(index, want) {
			t.Errorf("%s: want it to end in %s", index, want)
		}
	}
}

// No search reads a whole table, whatever is typed: each part of a search has an index.
func TestNoSearchReadsAWholeTable(t *testing.T) {
	url := storetest.New(t)
	pool, admin := storetest.Open(t, url, store.RoleAPI), storetest.Open(t, url, store.RoleAdmin)
	for _, sql := range []string{
		`INSERT INTO app.portal_users (active, portal_user_id, name, email) SELECT true, 'u' || i, 'Given' || i || ' Family' || i % 100, 'u' || i || '@x.test' FROM generate_series(1, 20000) i`,
		`INSERT INTO app.patients (status, patient_id, given_name, family_name) SELECT 'active', 'p' || i, 'Given' || i, 'Family' || i % 100 FROM generate_series(1, 20000) i`,
		`INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT i, i, 'self' FROM generate_series(1, 20000) i`,
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := FoldNames(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), `VACUUM ANALYZE app.portal_users, app.patients, app.links`); err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	whole := regexp.MustCompile(`Seq Scan on \S+`)
	for _, q := range []string{"given77 family7", "zak", "f", "o'hara", "u77@x", "u77", "'", "anne-marie de la cruz lópez"} {
		for _, search := range []func(*explainer){
			func(e *explainer) { _, _, _ = Search(t.Context(), e, q, 20, "") },
			func(e *explainer) { _, _, _ = SearchPatients(t.Context(), e, q, 20, "") },
		} {
			e := &explainer{conn: conn}
			search(e)
			if found := whole.FindString(e.plan); found != "" || e.plan == "" {
				t.Errorf("%q: %s in\n%s", q, found, e.plan)
			}
		}
	}
}

// explainer is a Querier that explains queries instead of running them.
type explainer struct {
	conn *pgxpool.Conn
	plan string
}

func (e *explainer) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if _, err := e.conn.Exec(ctx, `SET enable_seqscan = off`); err != nil {
		return nil, err
	}
	rows, err := e.conn.Query(ctx, `EXPLAIN `+sql, args...)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	e.plan += strings.Join(lines, "\n")
	return nil, errors.New("only explained")
}

// Words from package folding are stored and found unchanged, whatever characters they have.
func TestWordsSurviveTheDatabase(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAPI)
	rapid.Check(t, func(rt *rapid.T) {
		name := strings.Trim(rapid.StringOfN(rapid.RuneFrom([]rune(`'"\:*&|!()<-> aÄßłŁ’`), unicode.Letter, unicode.Punct), 1, 60, -1).Draw(rt, "name"), " ")
		words, query := folding.Words(name), folding.Query(name)
		if query == "" {
			return
		}
		var found bool
		if err := pool.QueryRow(t.Context(), `SELECT array_to_tsvector(string_to_array($1, ' ')) @@ $2::text::tsquery`, strings.Join(words, " "), query).Scan(&found); err != nil || !found {
			rt.Fatalf("%q is not found by itself: %q, %s: %v", name, words, query, err)
		}
		if folding.Mentions(name, name) != found {
			rt.Fatalf("%q: the search in memory has another result", name)
		}
	})
}
