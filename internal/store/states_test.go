package store_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/recorder/state"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/text/language"
)

// sameCheck gives the tables that have the CHECK $1. PostgreSQL prints an expression in its
// own way, so that each table is copied, and the CHECK added to the copy.
const sameCheck = `
CREATE FUNCTION pg_temp.same_check(quoted text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    one regclass;
BEGIN
    FOR one IN SELECT DISTINCT conrelid::regclass FROM pg_constraint WHERE contype = 'c' AND connamespace::regnamespace::text IN ('record', 'app') LOOP
        EXECUTE format('CREATE TEMPORARY TABLE copy (LIKE %s)', one);
        BEGIN
            EXECUTE 'ALTER TABLE copy ADD CONSTRAINT quoted CHECK (' || quoted || ')';
            IF EXISTS (SELECT FROM pg_constraint live, pg_constraint made WHERE live.conrelid = one AND made.conrelid = 'copy'::regclass
                    AND made.conname = 'quoted' AND pg_get_constraintdef(live.oid) = pg_get_constraintdef(made.oid)) THEN
                RETURN NEXT one::text;
            END IF;
        EXCEPTION WHEN undefined_column OR undefined_function OR datatype_mismatch OR invalid_text_representation THEN
            NULL; -- not a CHECK of this table
        END;
        DROP TABLE copy;
    END LOOP;
END $$`

// Every CHECK that docs/states.md quotes is one of the migrated database.
func TestTheChecksOfTheStatesAreThere(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := storetest.Pool(t, store.RoleAdmin).Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), sameCheck); err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]* (?:IN|=|<>|<=) [^`]*)`").FindAllStringSubmatch(string(page), -1)
	if len(quoted) < 15 {
		t.Errorf("only %d checks are quoted", len(quoted))
	}
	for _, q := range quoted {
		var tables int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_temp.same_check($1)`, q[1]).Scan(&tables); err != nil {
			t.Errorf("%s: %v", q[1], err)
		} else if tables == 0 {
			t.Errorf("states.md quotes a CHECK that no table has: %s", q[1])
		}
	}
}

// A column whose name says that it holds one of a few words has a CHECK that names them.
func TestEveryStateHasItsCheck(t *testing.T) {
	t.Parallel()
	columns := list(t, storetest.Pool(t, store.RoleAdmin), `
		SELECT attrelid::regclass || '.' || attname || ': ' || coalesce((SELECT string_agg(pg_get_constraintdef(oid), ' ') FROM pg_constraint
		    WHERE conrelid = attrelid AND contype = 'c' AND attnum = ANY(conkey)), '')
		FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
		WHERE relkind = 'r' AND `+ours("relnamespace")+` AND atttypid = 'text'::regtype
		  AND attname ~ '(^|_)(status|state|verdict|answer|kind|cause|hold|purpose)$'`)
	if len(columns) < 14 {
		t.Errorf("only %d columns hold a state: %v", len(columns), columns)
	}
	for _, c := range columns {
		name, checks, _ := strings.Cut(c, ": ")
		column := name[strings.LastIndex(name, ".")+1:]
		if !strings.Contains(checks, "("+column+" = ANY (ARRAY[") {
			t.Errorf("no CHECK names the values of %s", name)
		}
	}
}

// The CHECKs of the database name the states of the tables in Go.
func TestTheStatesAreThoseOfTheTables(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	same(t, pool, "record.messages", "status", statesOf(state.MessageMoves))
	same(t, pool, "record.replays", "status", statesOf(state.ReplayMoves))
	same(t, pool, "record.chunks", "alert_state", statesOf(state.AlertMoves))
}

// The CHECKs of a language name those that portal users and staff can choose.
func TestTheLanguagesAreThoseOfThePages(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	same(t, pool, "app.portal_accounts", "language", language.Portal)
	same(t, pool, "app.staff_accounts", "language", language.Staff)
}

func statesOf[S ~string, By comparable](moves state.Moves[S, By]) (all []S) {
	for _, m := range moves {
		all = append(all, m.From, m.To)
	}
	return all
}

func same[S ~string](t *testing.T, pool *pgxpool.Pool, table, column string, values []S) {
	t.Helper()
	want := map[string]bool{}
	for _, v := range values {
		want[string(v)] = true
	}
	got := list(t, pool, `SELECT (regexp_matches(pg_get_constraintdef(oid), $$'([a-z]+)'::text$$, 'g'))[1] FROM pg_constraint
		WHERE conrelid = $1::text::regclass AND conname = $2 ORDER BY 1`, table, strings.Split(table, ".")[1]+"_"+column+"_check")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), got); diff != "" {
		t.Errorf("%s.%s (-Go +CHECK):\n%s", table, column, diff)
	}
}
