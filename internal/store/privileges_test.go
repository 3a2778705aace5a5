package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// roles are those of the processes, in the order of the columns of the tables below.
var roles = []store.Role{store.RoleAPI, store.RoleFanout, store.RoleNotify, store.RoleRecorder}

// allowed is what each role may do with a table of app, by the first letters of
// SELECT, INSERT, UPDATE and DELETE. A table without a row here fails the test:
// say who may do what with it.
//
//	table                    api     fanout  notify  recorder
const allowed = `
	app.address_changes      SIUD    -       -       -
	app.alert_repeats        S       -       SIUD    -
	app.alert_work           S       -       SIUD    -
	app.alerts_due           -       -       SU      -
	app.alerts_waiting       S       -       S       -
	app.attachments          SIUD    -       -       -
	app.attempts             S       -       SIU     -
	app.block_rosters        SIUD    SIUD    -       -
	app.checkpoint_keys      S       -       -       SI
	app.checkpoints          S       -       -       SI
	app.database             S       -       -       S
	app.consumer_errors      S       SIU     SIU     SIU
	app.directory_imports    SIUD    -       -       -
	app.directory_states     S       SI      -       -
	app.dirty_blocks         SIUD    SIUD    -       -
	app.drafts               SIUD    -       -       -
	app.entry_keys           SI      SI      S       -
	app.fhir_episodes        SIU     -       -       -
	app.fhir_patients        SIU     -       -       -
	app.fhir_related_persons SIU     -       -       -
	app.fhir_replacements    SID     -       -       -
	app.identities           SIUD    -       -       -
	app.invitations          SIUD    -       -       -
	app.leases               SIU     SIU     SIUD    SIU
	app.links                SIU     S       -       -
	app.manifest_keys        SUD     SIU     -       -
	app.losses               S       S       -       S
	app.message_content      SIUD    -       -       -
	app.notice_letters       SIUD    -       -       -
	app.notice_mails         SIUD    -       -       -
	app.notice_readers       SIUD    -       -       -
	app.outbox               SIUD    -       -       SIUD
	app.parked               SIUD    SIU     SIU     SIUD
	app.parked_events        S       -       -       -
	app.open_parked_events   S       -       -       -
	app.passkeys             SIUD    -       -       -
	app.patients             SIU     S       -       -
	app.password_links       SIUD    -       -       -
	app.portal_accounts      SIUD    -       S       -
	app.portal_users         SIU     S       S       -
	app.read_notices         SIUD    -       -       -
	app.record_check         S       S       S       SIU
	app.record_verdict       S       S       S       S
	app.repair_tail          -       -       -       -
	app.recovery_codes       SIUD    -       -       -
	app.replay_left_out      S       -       SIU     -
	app.replay_pace          SI      -       SIU     -
	app.replay_sets          SI      -       SIU     -
	app.roster_facts         SI      SI      S       -
	app.roster_names         SI      SI      S       -
	app.rosters              SI      SI      S       -
	app.second_factors       SIUD    -       -       -
	app.sends                SIUD    -       -       -
	app.sessions             SIUD    -       -       -
	app.sign_in_tries        SIUD    -       -       -
	app.staff_accounts       SIUD    -       -       -
	app.staff_tokens         SIUD    -       -       -
	app.staff_with_factor    S       -       -       -
	app.unread_marks         SIUD    -       -       -
	app.tables_to_fill       -       -       -       -
	app.unsubscribe_key      S       -       S       -
	app.user_names           SI      -       -       -
	app.wordings             SIUD    -       -       -
	app.timelines            S       -       S       -
`

// mayDo returns the privileges on a table from allowed, or from the rule for the schema record:
// all roles may read it, only the recorder may write it, and not even the recorder may change or
// delete a recorded event or its proof.
func mayDo(table string) ([]string, bool) {
	switch {
	case table == "record.events", table == "record.hashes":
		return []string{"S", "S", "S", "SI"}, true
	case table == "record.deliveries", table == "record.delivery_status", table == "record.held_messages", table == "record.accounts_with_second_factor": // views, which no role can write
		return []string{"S", "S", "S", "S"}, true
	case strings.HasPrefix(table, "record."):
		return []string{"S", "S", "S", "SIUD"}, true
	}
	for line := range strings.Lines(allowed) {
		if cells := strings.Fields(line); len(cells) == 1+len(roles) && cells[0] == table {
			return cells[1:], true
		}
	}
	return nil, false
}

// Every role tries every statement on every table, and the database refuses all that are not in
// the table above.
func TestWhatEachRoleMayDo(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	tables := tablesOf(t, storetest.Open(t, url, store.RoleAdmin))
	for i, role := range roles {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			pool := storetest.Open(t, url, role)
			want, got := map[string]string{}, map[string]string{}
			for _, table := range tables {
				may, known := mayDo(table)
				if !known {
					t.Errorf("%s has no row in the table of what roles may do", table)
					continue
				}
				want[table] = strings.Trim(may[i], "-")
				got[table] = verbsOf(t, pool, table)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s may do other than it should (-should +may):\n%s", role, diff)
			}
		})
	}
	for line := range strings.Lines(allowed) {
		if cells := strings.Fields(line); len(cells) > 0 && !slices.Contains(tables, cells[0]) {
			t.Errorf("the table of what roles may do names %s, which there is not", cells[0])
		}
	}
}

// Names, birth dates and addresses are for the processes that use them.
func TestWhoReadsWhatOfPeople(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	for _, row := range []struct {
		column string
		by     []store.Role
	}{
		{"app.patients.given_name", []store.Role{store.RoleAPI}},
		{"app.patients.family_name", []store.Role{store.RoleAPI}},
		{"app.patients.birth_date", []store.Role{store.RoleAPI}},
		{"app.patients.words", []store.Role{store.RoleAPI}},
		{"app.patients.status", []store.Role{store.RoleAPI, store.RoleFanout}},
		{"app.portal_users.name", []store.Role{store.RoleAPI}},
		{"app.portal_users.words", []store.Role{store.RoleAPI}},
		{"app.portal_users.email", []store.Role{store.RoleAPI, store.RoleFanout, store.RoleNotify}},
		{"app.portal_users.portal_user_id", []store.Role{store.RoleAPI, store.RoleFanout, store.RoleNotify}},
		{"app.staff_accounts.email", []store.Role{store.RoleAPI}},
	} {
		for _, role := range roles {
			table, column := row.column[:strings.LastIndex(row.column, ".")], row.column[strings.LastIndex(row.column, ".")+1:]
			refused := refuses(t, storetest.Open(t, url, role), fmt.Sprintf(`SELECT %s FROM %s LIMIT 0`, column, table))
			if should := !slices.Contains(row.by, role); refused != should {
				t.Errorf("%s is kept from %s: %t, want %t", row.column, role, refused, should)
			}
		}
	}
}

// No role can create, change or drop parts of the schema, truncate a table, or grant itself
// privileges.
func TestNoRoleChangesTheSchema(t *testing.T) {
	t.Parallel()
	url := storetest.New(t)
	for _, role := range roles {
		pool := storetest.Open(t, url, role)
		for _, statement := range []string{
			`CREATE TABLE record.more (n int)`, `CREATE TABLE app.more (n int)`,
			`ALTER TABLE record.events ADD COLUMN more int`, `ALTER TABLE record.events DISABLE TRIGGER ALL`,
			`DROP TABLE record.events`, `DROP SCHEMA record CASCADE`, `TRUNCATE record.events`, `TRUNCATE record.inbox`,
			`TRUNCATE app.message_content`, `CREATE RULE r AS ON INSERT TO record.events DO INSTEAD NOTHING`,
			`UPDATE goose_db_version SET version_id = 0`, `ALTER ROLE postern_api SUPERUSER`,
		} {
			if !refuses(t, pool, statement) {
				t.Errorf("%s may %s", role, statement)
			}
		}
	}
}

func tablesOf(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('record', 'app') AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// verbsOf tries each verb and gives those that were not refused.
func verbsOf(t *testing.T, pool *pgxpool.Pool, table string) (may string) {
	t.Helper()
	column := ""
	err := pool.QueryRow(t.Context(), `SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0
		AND NOT attisdropped AND attidentity = '' AND attgenerated = '' ORDER BY attnum LIMIT 1`, table).Scan(&column)
	if err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct{ verb, statement string }{
		{"S", "SELECT FROM %[1]s LIMIT 0"},
		{"I", "INSERT INTO %[1]s DEFAULT VALUES"},
		{"U", "UPDATE %[1]s SET %[2]s = DEFAULT WHERE false"},
		{"D", "DELETE FROM %[1]s WHERE false"},
	} {
		if !refuses(t, pool, fmt.Sprintf(try.statement, table, column)) {
			may += try.verb
		}
	}
	return may
}

// refuses tells whether the database refuses a statement for want of a right. What
// it does not refuse is undone; that it may fail over a row is another matter.
func refuses(t *testing.T, pool *pgxpool.Pool, statement string) bool {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), statement)
	failed := new(pgconn.PgError)
	switch {
	case errors.As(err, &failed) && failed.Code == "42501": // insufficient_privilege
		return true
	case errors.As(err, &failed) && failed.Code == "55000": // a view takes no rows
		return true
	case errors.As(err, &failed) && failed.Code[:2] != "23": // 23: a row that breaks a constraint
		t.Errorf("%s: %v", statement, err)
	}
	return false
}
