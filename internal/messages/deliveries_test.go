package messages

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// blast fills the tables as a large message leaves them: every second delivery was
// opened, every hundredth alert failed.
func blast(t *testing.T, tx pgx.Tx, deliveries int) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	for _, fill := range []string{
		`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, 'Name ' || i FROM generate_series(1, $2) i WHERE $1::uuid IS NOT NULL`,
		`INSERT INTO record.deliveries SELECT $1, i, (i - 1) / 1000, '{}' FROM generate_series(1, $2) i`,
		`INSERT INTO record.opens SELECT $1, i, now() FROM generate_series(1, $2, 2) i`,
		`INSERT INTO record.alert_exceptions SELECT $1, i, (i - 1) / 1000, 'failed', 'x', 1, now() FROM generate_series(1, $2, 100) i`,
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at, alert_state, alert_at)
		 SELECT $1, i, 1, i * 1000 + 1, i * 1000 + 1000, 1000, now(), 'accepted', now() FROM generate_series(0, $2 / 1000 - 1) i`,
	} {
		if _, err := tx.Exec(t.Context(), fill, id, deliveries); err != nil {
			t.Fatal(err)
		}
	}
	small(t, tx)
	return id
}

// small adds messages to one portal user each: most messages are.
func small(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if _, err := tx.Exec(t.Context(), `
		WITH m AS (SELECT gen_random_uuid() AS id, 1 + i % 1000 AS no FROM generate_series(1, 5000) i),
		     c AS (INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at, alert_state, alert_at)
		           SELECT id, 0, 1, no, no, 1, now(), 'accepted', now() FROM m)
		INSERT INTO record.deliveries SELECT id, no, 0, '{}' FROM m`); err != nil {
		t.Fatal(err)
	}
}

// step is a node of a plan that was carried out.
type step struct {
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Joined  float64 `json:"Rows Removed by Join Filter"`
	Plans   []step
}

func (s step) touched() float64 {
	n := (s.Rows + s.Removed + s.Joined) * s.Loops
	for _, p := range s.Plans {
		n += p.touched()
	}
	return n
}

// touches is how many rows a query looks at.
func touches(t *testing.T, tx pgx.Tx, sql string, args ...any) float64 {
	t.Helper()
	var plan []struct{ Plan step }
	if err := tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+sql, args...).Scan(&plan); err != nil {
		t.Fatal(err)
	}
	return plan[0].Plan.touched()
}

// The cost of a page depends on its length, and not on the message's size, for every filter
// and position, also before Postgres has statistics.
func TestAPageTouchesAFewRows(t *testing.T) {
	const size, limit = 100_000, 100
	pool := storetest.Pool(t, store.RoleAdmin)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	id := blast(t, tx, size)
	if _, err := tx.Exec(t.Context(), alongIndexes); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	for _, statistics := range []bool{false, true} {
		if statistics {
			if _, err := tx.Exec(t.Context(), `ANALYZE`); err != nil {
				t.Fatal(err)
			}
		}
		by := Filter{Alert: events.AlertFailed, Reason: "x"}
		if n := touches(t, tx, by.numbers(), by.args(id, 0, limit)...); n > 50*limit {
			t.Errorf("those of a reason, with statistics %v, touch %v rows for a page of %d", statistics, n, limit)
		}
		for _, alert := range []events.AlertState{"", events.AlertAccepted, events.AlertFailed, events.AlertUnknown} {
			for _, opened := range []*bool{nil, &yes, &no} {
				for _, after := range []int32{0, size / 2, size - 10} {
					f := Filter{Alert: alert, Opened: opened}
					args := f.args(id, after, limit)
					asked, _ := json.Marshal(f)
					if n := touches(t, tx, f.numbers(), args...); n > 50*limit {
						t.Errorf("%s after %d, with statistics %v, touches %v rows for a page of %d", asked, after, statistics, n, limit)
					}
				}
			}
		}
		numbers := make([]int32, limit)
		for i := range numbers {
			numbers[i] = int32(size/2 + i) // #nosec G115 -- small
		}
		if n := touches(t, tx, selectDeliveries, id, numbers); n > 50*limit {
			t.Errorf("with statistics %v, showing a page of %d touches %v rows", statistics, limit, n)
		}
	}
}

// The deliveries of a page equal the view record.delivery_status.
func TestAPageSaysWhatTheViewSays(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	var id uuid.UUID
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		id = blast(t, tx, 2000)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := pool.Query(t.Context(), `
		SELECT portal_user_no, portal_user_id, name, delivered_at, alert_state, alert_reason, alert_at, alert_attempts, opened_at
		FROM record.delivery_status JOIN app.portal_users USING (portal_user_no) WHERE message_id = $1 ORDER BY portal_user_no`, id)
	if err != nil {
		t.Fatal(err)
	}
	want, err := pgx.CollectRows(rows, scanDelivery)
	if err != nil {
		t.Fatal(err)
	}
	got, err := New(pool).Deliveries(t.Context(), id, Filter{}, 0, 5000)
	if err != nil || len(got) != 2000 {
		t.Fatalf("there are %d deliveries (%v)", len(got), err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the page (-view +page):\n%s", diff)
	}
}
