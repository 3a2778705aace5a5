package messages

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/directory/block"
	"postern/internal/events"
	"postern/internal/recorder/recordertest"
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
		recordertest.Delivered(`SELECT $1::uuid, i, (i - 1) / 1000, '{}'::integer[] FROM generate_series(1, $2) i`),
		`INSERT INTO record.opens SELECT $1, i, now() FROM generate_series(1, $2, 2) i`,
		`INSERT INTO record.alert_exceptions SELECT $1, i, (i - 1) / 1000, 'failed', 'x', 1, now() FROM generate_series(1, $2, 100) i`,
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at, alert_state, alert_at)
		 SELECT $1, i, 1, i * 1000 + 1, i * 1000 + 1000, 1000, now(), 'accepted', now() FROM generate_series(0, $2 / 1000 - 1) i`,
	} {
		if _, err := tx.Exec(t.Context(), fill, id, deliveries); err != nil {
			t.Fatal(err)
		}
	}
	if err := countOpens(t.Context(), tx, id); err != nil {
		t.Fatal(err)
	}
	small(t, tx)
	return id
}

// countOpens counts the opens of a message as the recorder does.
func countOpens(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	_, err := tx.Exec(ctx, `
		UPDATE record.inbox i SET opened = (
		    SELECT count(*) FROM record.opens o
		    WHERE o.message_id = i.message_id AND o.portal_user_no BETWEEN i.block * 250 + 1 AND i.block * 250 + 250
		      AND record.has_member(i.members, record.place_of(o.portal_user_no)))
		WHERE message_id = $1`, id)
	return err
}

// small adds messages to one portal user each: most messages are.
func small(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if _, err := tx.Exec(t.Context(), `
		CREATE TEMPORARY TABLE small ON COMMIT DROP AS SELECT gen_random_uuid() AS id, 1 + i % 1000 AS no FROM generate_series(1, 5000) i`); err != nil {
		t.Fatal(err)
	}
	for _, fill := range []string{
		recordertest.Delivered(`SELECT id, no, 0, '{}'::integer[] FROM small`),
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at, alert_state, alert_at)
		 SELECT id, 0, 1, no, no, 1, now(), 'accepted', now() FROM small`,
	} {
		if _, err := tx.Exec(t.Context(), fill); err != nil {
			t.Fatal(err)
		}
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

// rowsRead is how many rows of tables do reads.
func rowsRead(t *testing.T, tx pgx.Tx, do func()) (n int) {
	t.Helper()
	read := func() (n int) {
		t.Helper()
		if err := tx.QueryRow(t.Context(), `
			SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer FROM pg_stat_xact_user_tables`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := read()
	do()
	return read() - before
}

// The cost of a page depends on its length, and not on the message's size, for every filter
// and position, also before Postgres has statistics. A page for which all blocks are searched
// in vain reads some rows of each.
func TestAPageReadsAFewRows(t *testing.T) {
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
		filters := []Filter{{Alert: events.AlertFailed, Reason: "x"}}
		for _, alert := range []events.AlertState{"", events.AlertAccepted, events.AlertFailed, events.AlertUnknown} {
			for _, opened := range []*bool{nil, &yes, &no} {
				filters = append(filters, Filter{Alert: alert, Opened: opened})
			}
		}
		for _, f := range filters {
			for _, after := range []int32{0, size / 2, size - 10} {
				most := 6 * limit
				if f.Alert == events.AlertFailed {
					most = 10 * limit // one in a hundred matches
				}
				n := rowsRead(t, tx, func() {
					w := walk{&snapshot{t.Context(), tx}, id, f}
					found, err := w.next(after, limit)
					if err != nil {
						t.Fatal(err)
					}
					if len(found) == 0 {
						most = 10 * size / block.Size
					}
					if _, err := w.complete(found); err != nil {
						t.Fatal(err)
					}
				})
				asked, _ := json.Marshal(f)
				if n > most {
					t.Errorf("%s after %d, with statistics %v, reads %v rows for a page of %d", asked, after, statistics, n, limit)
				}
			}
		}
	}
}
