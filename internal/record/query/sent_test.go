package query

import (
	"testing"

	"github.com/google/uuid"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// The cost of a page of what was sent to a person depends on the messages to them and to groups, and
// not on the number of messages to others, also before Postgres has statistics.
func TestAPageOfAPersonTouchesAFewRows(t *testing.T) {
	const messages, users, limit = 5_000, 12_000, 51
	pool := storetest.Pool(t, store.RoleAdmin)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	full(t, tx, messages, users)
	for _, sql := range []string{
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) SELECT DISTINCT message_id, chunk, 1, 1, 1, 1, now() FROM record.inbox`,
		// A few to groups, which the person did not get, and one that was recalled.
		`UPDATE record.messages SET recipients = '{"portal_user_ids": ["pu-8"], "groups": []}'`,
		`UPDATE record.messages SET bulk = true, recipients = '{"portal_user_ids": [], "groups": ["all_portal_users"]}' WHERE seq % 500 = 0`,
		`UPDATE record.messages SET status = 'recalled', recalled_at = now(), recipients = '{"portal_user_ids": ["pu-7"], "groups": []}' WHERE seq = 104`,
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, statistics := range []bool{false, true} {
		if statistics {
			if _, err := tx.Exec(t.Context(), `ANALYZE`); err != nil {
				t.Fatal(err)
			}
		}
		for _, show := range Shows {
			asked, err := tx.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := asked.Exec(t.Context(), oneByOne); err != nil {
				t.Fatal(err)
			}
			counted := &explained{Tx: asked}
			f := SentFilter{PortalUserID: "pu-7", Show: show}
			of, err := Filter{PortalUserID: "pu-7"}.people(t.Context(), asked)
			if err != nil {
				t.Fatal(err)
			}
			s := sentSearch{ctx: t.Context(), tx: counted, filter: f, people: of, to: of.all[0], before: uuid.Max, limit: limit}
			found, err := s.run()
			if err != nil {
				t.Fatal(err)
			}
			want := map[Show]bool{ShowAll: true, ShowNotSent: true}[show]
			recalled := false
			for _, m := range found {
				recalled = recalled || m.Status == "recalled"
			}
			if recalled != want {
				t.Errorf("%s: the recalled message is listed: %t", show, recalled)
			}
			if counted.touched > 50*limit {
				t.Errorf("%s, with statistics %v, touches %v rows", show, statistics, counted.touched)
			}
			_ = asked.Rollback(t.Context())
		}
	}
}
