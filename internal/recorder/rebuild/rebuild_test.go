package rebuild

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
	"postern/internal/recorder"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func TestARebuildGivesTheSameTablesAndFindsAChange(t *testing.T) {
	log := eventlogtest.Start(t)
	url := storetest.New(t)
	pool := storetest.Open(t, url, store.RoleRecorder)
	r := recordertest.Start(t, log, pool, recorder.New(recorder.Config{Log: log, Pool: pool}).Run)
	m := uuid.New()
	dead := recordertest.Said(2, "bounce", 5, "bounce", "no such mailbox")
	dead.Dead = []events.DeadAddress{{PortalUserID: "pu-2", PortalUserNo: 2}}
	r.Says(t, recordertest.Facts(t, events.StaffCreated{StaffID: "s1", Name: "Ada"}, recordertest.SentTo(m, events.HoldNone, "all_portal_users"),
		recordertest.Chunk(m, 0, 1, 2, 3), recordertest.ReportedBy(m, 1, recordertest.Said(1, "processed", 1)), recordertest.OutcomeOf(m, 0, 3, events.AlertAccepted),
		recordertest.ReportedBy(m, 1, dead, recordertest.Said(3, "delivered", 4)), events.FanoutCompleted{MessageID: m, Deliveries: 3, Chunks: 1},
		recordertest.Chunk(m, 1, 2, 7), // number 2 has it already: all of the chunk is refused
	)...)
	admin := storetest.Open(t, url, store.RoleAdmin)
	rebuild := &Rebuild{Log: log, Pool: admin}
	mustBe := func(differing ...string) {
		t.Helper()
		compared, err := rebuild.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range compared {
			if !c.Same() {
				got = append(got, c.Table)
			}
		}
		if diff := cmp.Diff(differing, got); diff != "" {
			t.Errorf("tables that differ (-want +got):\n%s", diff)
		}
	}
	mustBe()
	if _, err := admin.Exec(t.Context(), `UPDATE record.inbox SET members = record.members_of('{1,3}'), patients = '{1,0,3,0}';
		UPDATE record.staff SET name = 'Eve'`); err != nil {
		t.Fatal(err)
	}
	mustBe("inbox", "staff")
	before := catalog(t, admin)
	if _, err := rebuild.Replace(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustBe()
	if diff := cmp.Diff(before, catalog(t, admin)); diff != "" {
		t.Errorf("the schema that a rebuild leaves (-before +after):\n%s", diff)
	}
	// Recording continues.
	r.Says(t, recordertest.Facts(t, events.DeliveryOpened{MessageID: m, PortalUserID: "pu-2", PortalUserNo: 2})...)
	mustBe()
}

// catalog returns the definition of the schema: columns, storage, grants, checks, indexes
// and views, with the views of the schema app. It also checks that a rebuild knows every
// table.
func catalog(t *testing.T, admin *pgxpool.Pool) []string {
	t.Helper()
	rows, err := admin.Query(t.Context(), `
		WITH r AS (SELECT * FROM pg_class WHERE relnamespace = 'record'::regnamespace AND relkind IN ('r', 'v'))
		SELECT format('%s %s %s %s %s %s', relname, relkind, relowner::regrole, relpersistence, reloptions,
		       (SELECT array_agg(a::text ORDER BY a::text) FROM aclexplode(relacl) a)) FROM r
		UNION ALL SELECT format('%s.%s %s %s %s %s %s', relname, attname, attnum, atttypid::regtype, attnotnull, attstorage,
		       pg_get_expr(adbin, adrelid)) FROM r JOIN pg_attribute ON attrelid = r.oid AND attnum > 0
		       LEFT JOIN pg_attrdef ON adrelid = r.oid AND adnum = attnum
		UNION ALL SELECT format('%s: %s %s', relname, conname, pg_get_constraintdef(c.oid)) FROM r JOIN pg_constraint c ON conrelid = r.oid
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'record'
		UNION ALL SELECT pg_get_viewdef(oid) FROM pg_class
		WHERE relnamespace IN ('record'::regnamespace, 'app'::regnamespace) AND relkind = 'v'
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var real, known []string
	for _, t := range tables {
		known = append(known, t.name)
	}
	if err := admin.QueryRow(t.Context(), `SELECT array_agg(tablename::text) FROM pg_tables WHERE schemaname = 'record'`).Scan(&real); err != nil {
		t.Fatal(err)
	}
	slices.Sort(real)
	slices.Sort(known)
	if diff := cmp.Diff(real, known); diff != "" {
		t.Errorf("tables (-there are +a rebuild knows):\n%s", diff)
	}
	return all
}
