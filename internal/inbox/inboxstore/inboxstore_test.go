package inboxstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/content"
	"postern/internal/content/message"
	"postern/internal/content/reader"
	"postern/internal/eventlog/facts"
	"postern/internal/inbox"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// newInbox makes an Inbox without content: all messages are missing.
func newInbox(t testing.TB, pool *pgxpool.Pool, now func() time.Time) *Inbox {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if _, err := content.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	kept, err := content.Open(t.Context(), t.TempDir(), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	return New(Config{Pool: pool, Reader: reader.New(reader.Config{Pool: pool, Content: kept}), Facts: facts.Publisher{Clock: now}})
}

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

// The cost of a page of a full inbox depends only on its length: not on the number of
// messages, of the reader or of all portal users, and not on where the page begins. For a
// reader with few messages it depends on the number of messages to the reader's block.
func TestAPageTouchesAFewRows(t *testing.T) {
	pool := storetest.Pool(t, store.RoleAdmin)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	// 2,000 messages to 25 portal users each, of whom the first gets all of them.
	for _, fill := range []string{
		`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, 'Name ' || i FROM generate_series(1, 20000) i`,
		`INSERT INTO app.patients (status, patient_id) SELECT 'active', 'pt-' || i FROM generate_series(1, 20000) i`,
		`INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT i, i, 'self' FROM generate_series(1, 20000) i`,
		`INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT 1, i, 'representative' FROM generate_series(2, 4) i`,
		`CREATE TEMP TABLE m AS SELECT ('01900000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid AS id, i FROM generate_series(1, 2000) i`,
		`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk, sent_at, release_at, completed_at)
		 SELECT id, i, 's', '{}', '[]', '', '', 'sent', 'none', false, now(), now(), now() FROM m`,
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) SELECT id, 0, i, 1, 20000, 25, now() FROM m`,
		// The others are spread over all blocks.
		recordertest.Delivered(`SELECT id, CASE WHEN n = 0 THEN 1 ELSE 2 + (i * 25 + n) * 401 % 19999 END, 0, CASE WHEN n = 0 THEN '{1,2,3,4}' ELSE '{9}'::int[] END
		 FROM m, generate_series(0, 24) n`),
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
			err := tx.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+page, 0, 0, 1, before, limit).Scan(&plan)
			if err != nil {
				t.Fatal(err)
			}
			if n := plan[0].Plan.touched(); n > 100*limit {
				t.Errorf("%s, with statistics: %v: a page of %d touches %.0f rows", name, statistics, limit, n)
			}
		}
	}
}

// A reader reads a delivery while a link to one of its patients is in force. Pages of all
// lengths have the same messages in the same order, although many between them can't be read.
func TestAReaderReadsWhatALinkInForceAllows(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t, store.RoleAdmin)
	today := time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)
	i := newInbox(t, pool, func() time.Time { return today })
	// Portal user 7 is patient 7, and represents 11, 12, 13 and 14. Number 12 ends today, 13
	// ended yesterday, and 14 begins tomorrow. Number 15 was never linked.
	for _, fill := range []string{
		`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, '' FROM generate_series(1, 9) i`,
		`INSERT INTO app.patients (status, patient_id, given_name) SELECT 'active', 'pt-' || i, 'P' || i FROM generate_series(1, 15) i`,
		`INSERT INTO app.links (portal_user_no, patient_no, relationship, valid_from, valid_until) VALUES
		 (7, 7, 'self', NULL, NULL), (7, 7, 'representative', NULL, NULL), (7, 11, 'representative', NULL, NULL),
		 (7, 12, 'representative', '2026-01-01', '2026-03-09'), (7, 13, 'representative', NULL, '2026-03-08'), (7, 14, 'representative', '2026-03-10', NULL)`,
		`INSERT INTO record.staff (staff_id, name, created_at) VALUES ('s', 'Ada', now())`,
	} {
		if _, err := pool.Exec(t.Context(), fill); err != nil {
			t.Fatal(err)
		}
	}
	reader := policy.Subject{No: 7}
	var want []inbox.Message
	for n, c := range slices.Repeat([]struct {
		patients []int32
		about    *inbox.About // nil: the message can't be read
	}{
		{[]int32{}, &inbox.About{Others: []string{}}},
		{[]int32{7, 7}, &inbox.About{Own: true, Others: []string{}}},
		{[]int32{11, 12, 15}, &inbox.About{Others: []string{"P11", "P12"}}},
		{[]int32{7, 11, 13}, &inbox.About{Own: true, Others: []string{"P11"}}},
		{[]int32{13}, nil}, {[]int32{14}, nil}, {[]int32{15}, nil}, {[]int32{13, 14}, nil},
	}, 3) {
		id := uuid.MustParse(fmt.Sprintf("01900000-0000-7000-8000-%012d", n))
		for _, fill := range []string{
			`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk, sent_at, release_at, completed_at, recalled_at)
			 VALUES ($1, $2::bigint, 's', '{}', '[]', '', '', CASE $2::bigint % 2 WHEN 0 THEN 'sent' ELSE 'recalled' END, 'none', false, $3, $3, $3, CASE $2::bigint % 2 WHEN 1 THEN $3::timestamptz END)`,
			`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) VALUES ($1, 0, $2::bigint, 5, 7, 2, $3)`,
		} {
			if _, err := pool.Exec(t.Context(), fill, id, n, today); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := pool.Exec(t.Context(), recordertest.Delivered(`VALUES ($1::uuid, 5, 0, '{7}'::integer[]), ($1, 7, 0, $2)`), id, c.patients); err != nil {
			t.Fatal(err)
		}
		wantErr := error(nil)
		switch {
		case c.about == nil:
			wantErr = inbox.ErrNotFound
		case n%2 == 1:
			wantErr = inbox.ErrRecalled
		}
		if _, err := i.find(t.Context(), reader, id); !errors.Is(err, wantErr) {
			t.Errorf("looking for a message about %v: %v, want %v", c.patients, err, wantErr)
		}
		if c.about != nil {
			want = append([]inbox.Message{{ID: id, From: "Ada", DeliveredAt: today, Recalled: n%2 == 1, Condition: message.Missing, About: *c.about}}, want...)
		}
	}
	for limit := 1; limit < len(want)+2; limit++ {
		got := []inbox.Message{}
		for before := uuid.Max; ; {
			page, err := i.List(t.Context(), reader, inbox.Filter{}, before, limit)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Messages...)
			if before = page.Next; before == uuid.Nil {
				break
			}
			if len(page.Messages) < limit {
				t.Errorf("a page of %d has %d messages, and others follow", limit, len(page.Messages))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("in pages of %d (-want +got):\n%s", limit, diff)
		}
	}
}

// Newest 20 of an inbox whose block got 500 messages to all portal users, and each portal
// user of it 20 messages of their own.
func BenchmarkNewest20(b *testing.B) {
	pool := storetest.Pool(b, store.RoleAdmin)
	for _, fill := range []string{
		`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, '' FROM generate_series(1, 1000) i`,
		`INSERT INTO app.patients (status, patient_id) SELECT 'active', 'pt-' || i FROM generate_series(1, 1000) i`,
		`INSERT INTO app.links (portal_user_no, patient_no, relationship) SELECT i, i, 'self' FROM generate_series(1, 1000) i`,
		`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk, sent_at, release_at, completed_at)
		 SELECT uuid_in(md5(i::text)::cstring), i, 's', '{}', '[]', '', '', 'sent', 'none', false, now(), now(), now() FROM generate_series(1, 5500) i`,
		`INSERT INTO record.chunks (message_id, chunk, seq, first_no, last_no, deliveries, delivered_at) SELECT message_id, 0, seq, 1, 1000, 1, now() FROM record.messages`,
		recordertest.Delivered(`SELECT message_id, no, 0, ARRAY[no] FROM record.messages, generate_series(1, 1000) no WHERE seq <= 500 OR no = 1 + seq % 250`),
		`VACUUM ANALYZE`,
	} {
		if _, err := pool.Exec(b.Context(), fill); err != nil {
			b.Fatal(err)
		}
	}
	i := newInbox(b, pool, time.Now)
	for b.Loop() {
		if page, err := i.List(b.Context(), policy.Subject{No: 77}, inbox.Filter{}, uuid.Max, 20); err != nil || len(page.Messages) != 20 {
			b.Fatal(len(page.Messages), err)
		}
	}
}
