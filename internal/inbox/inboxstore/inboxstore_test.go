package inboxstore

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// step is a node of an executed query plan.
type step struct {
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []step
}

func (s step) touched() float64 {
	n := (s.Rows + s.Removed) * s.Loops
	for _, p := range s.Plans {
		n += p.touched()
	}
	return n
}

// The cost of a page of an inbox depends only on its length: not on the number of messages,
// of the reader or of all portal users, and not on where the page begins.
func TestAPageTouchesAFewRows(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	// 2,000 messages to 50 portal users each, of whom the first gets all of them.
	for _, fill := range []string{
		`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, 'Name ' || i FROM generate_series(1, 20000) i`,
		`INSERT INTO app.patients (status, patient_id) SELECT 'active', 'pt-' || i FROM generate_series(1, 20000) i`,
		`INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT i, i, 'self' FROM generate_series(1, 20000) i`,
		`INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT 1, i, 'representative' FROM generate_series(2, 4) i`,
		`CREATE TEMP TABLE m AS SELECT ('01900000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid AS id, i FROM generate_series(1, 2000) i`,
		`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk, sent_at, release_at, completed_at)
		 SELECT id, i, 's', '{}', '[]', '', '', 'sent', 'none', false, now(), now(), now() FROM m`,
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) SELECT id, 0, i, 1, 20000, 50, now() FROM m`,
		`INSERT INTO record.deliveries (message_id, portal_user_no, chunk, patient_nos)
		 SELECT id, CASE WHEN n = 0 THEN 1 ELSE 1 + (i * 50 + n) % 19999 + 1 END, 0, CASE WHEN n = 0 THEN '{1,2,3,4}' ELSE '{9}'::int[] END
		 FROM m, generate_series(0, 49) n ON CONFLICT DO NOTHING`,
		`INSERT INTO record.opens SELECT id, 1, now() FROM m WHERE i % 2 = 0`,
	} {
		if _, err := tx.Exec(t.Context(), fill); err != nil {
			t.Fatal(err)
		}
	}
	const limit = 21
	for _, statistics := range []bool{false, true} {
		if statistics {
			if _, err := tx.Exec(t.Context(), `ANALYZE`); err != nil {
				t.Fatal(err)
			}
		}
		for name, before := range map[string]uuid.UUID{
			"the newest": uuid.Max, "in the middle": uuid.MustParse("01900000-0000-7000-8000-000000001000"),
		} {
			var plan []struct{ Plan step }
			err := tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+page, 1, time.Now().Format(time.DateOnly), before, limit).Scan(&plan)
			if err != nil {
				t.Fatal(err)
			}
			if n := plan[0].Plan.touched(); n > 100*limit {
				t.Errorf("%s, with statistics: %v: a page of %d touches %.0f rows", name, statistics, limit, n)
			}
		}
	}
}
