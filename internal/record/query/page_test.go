package query

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/events"
	"postern/internal/recorder/recordertest"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// full fills the tables as a large clinic leaves them: small messages, and one to all portal
// users that one in three opened.
func full(t *testing.T, tx pgx.Tx, messages, users int) uuid.UUID {
	t.Helper()
	blast := uuid.Must(uuid.NewV7())
	sized := strings.NewReplacer("BLAST", "'"+blast.String()+"'::uuid", "MESSAGES", strconv.Itoa(messages), "USERS", strconv.Itoa(users))
	for _, fill := range []string{
		`INSERT INTO app.portal_users (active, portal_user_id, name) SELECT true, 'pu-' || i, 'x' FROM generate_series(1, USERS) i`,
		`INSERT INTO app.patients (status, patient_id) SELECT 'active', 'pt-' || i FROM generate_series(1, USERS) i`,
		`INSERT INTO app.links SELECT i, i, NULL, NULL, 'self' FROM generate_series(1, USERS) i`,
		// Four events a message, each message to one portal user.
		`INSERT INTO record.events (seq, id, type, actor, time, message_id, projected, leaf, stored)
		 SELECT i, gen_random_uuid(), (ARRAY['message.sent','deliveries.created','alerts.accepted','delivery.opened'])[1 + i % 4],
		        CASE i % 4 WHEN 0 THEN 'staff:s' || i / 4 % 50 WHEN 3 THEN 'portal_user:pu-' || 1 + i / 4 % USERS ELSE 'process:fanout-worker' END,
		        now() - interval '1 year' + i * interval '1 minute', uuid_in(md5((i / 4)::text)::cstring), true, '', ''
		 FROM generate_series(1, MESSAGES * 4) i`,
		recordertest.Delivered(`SELECT uuid_in(md5(i::text)::cstring), 1 + i % USERS, 0, ARRAY[1 + i % USERS] FROM generate_series(1, MESSAGES) i`),
		`INSERT INTO record.chunk_events SELECT seq, message_id, 0, 1 FROM record.events WHERE type IN ('deliveries.created', 'alerts.accepted')`,
		`INSERT INTO record.messages (message_id, seq, sender_id, recipients, attachments, subject_digest, body_digest, status, hold, bulk, sent_at, release_at)
		 SELECT message_id, seq, 's', '{}', '[]', '', '', 'sending', 'none', false, time, time FROM record.events WHERE type = 'message.sent'`,
		// The blast: a chunk a thousand, and openings.
		recordertest.Delivered(`SELECT BLAST, i, (i - 1) / 1000, ARRAY[i] FROM generate_series(1, USERS) i`),
		`INSERT INTO record.events (seq, id, type, actor, time, message_id, projected, leaf, stored)
		 SELECT MESSAGES * 4 + i, gen_random_uuid(), CASE WHEN i <= 2 * USERS / 1000 THEN (ARRAY['deliveries.created','alerts.accepted'])[1 + i % 2] ELSE 'delivery.opened' END,
		        CASE WHEN i <= 2 * USERS / 1000 THEN 'process:notify-worker' ELSE 'portal_user:pu-' || i END, now() + i * interval '1 second', BLAST, true, '', ''
		 FROM generate_series(1, USERS / 3) i`,
		`INSERT INTO record.chunk_events SELECT MESSAGES * 4 + i, BLAST, (i - 1) / 2, USERS / 1000 FROM generate_series(1, 2 * USERS / 1000) i`,
	} {
		if _, err := tx.Exec(t.Context(), sized.Replace(fill)); err != nil {
			t.Fatalf("%v in %s", err, fill)
		}
	}
	return blast
}

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

// explained is a transaction that counts the rows that Postgres looks at for its queries.
type explained struct {
	pgx.Tx
	touched float64
}

func (e *explained) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	var plan []struct{ Plan step }
	if err := e.QueryRow(ctx, "EXPLAIN (ANALYZE, FORMAT JSON) "+sql, args...).Scan(&plan); err != nil {
		return nil, err
	}
	e.touched += plan[0].Plan.touched()
	return e.Tx.Query(ctx, sql, args...)
}

// touched is how many rows Postgres looks at for a page.
func touched(t *testing.T, tx pgx.Tx, f Filter, before Cursor, limit int) float64 {
	t.Helper()
	asked, err := tx.Begin(t.Context()) // with settings of its own
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = asked.Rollback(t.Context()) }()
	counted := &explained{Tx: asked}
	got, err := f.allDeliveries(t.Context(), counted)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asked.Exec(t.Context(), f.settings()); err != nil {
		t.Fatal(err)
	}
	key, err := f.keyAt(t.Context(), asked, before)
	if err != nil {
		t.Fatal(err)
	}
	var args arguments
	rows, err := counted.Query(t.Context(), f.page(&args, got, before, key, limit), args...)
	if err != nil {
		t.Fatal(err)
	}
	rows.Close()
	return counted.touched
}

// The cost of a page depends on its length, or on the events of one person and the messages to
// that person's block. It does not depend on the length of the record, for every position,
// also before Postgres has statistics.
func TestAPageTouchesAFewRows(t *testing.T) {
	const messages, users, limit = 5_000, 12_000, 100
	pool := storetest.Pool(t, store.RoleAdmin)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	blast := full(t, tx, messages, users)
	now := time.Now()
	for _, statistics := range []bool{false, true} {
		if statistics {
			if _, err := tx.Exec(t.Context(), `ANALYZE`); err != nil {
				t.Fatal(err)
			}
		}
		for name, f := range map[string]Filter{
			"everything":                  {},
			"a blast":                     {MessageID: blast},
			"a blast's chunks":            {MessageID: blast, Type: events.TypeDeliveriesCreated},
			"a blast's recalls":           {MessageID: blast, Type: events.TypeMessageRecalled},
			"a type":                      {Type: events.TypeMessageSent},
			"a type that there is not":    {Type: events.TypeMessageRecalled},
			"an actor":                    {Actor: "staff:s7"},
			"a process":                   {Actor: "process:fanout-worker"},
			"a period long ago":           {From: now.AddDate(-1, 0, 0), To: now.AddDate(-1, 0, 1)},
			"a type in a period long ago": {Type: events.TypeMessageSent, From: now.AddDate(-1, 0, 0), To: now.AddDate(-1, 0, 1)},
			"a portal user":               {PortalUserID: "pu-7"},
			"a portal user's openings":    {PortalUserID: "pu-7", Type: events.TypeDeliveryOpened},
			"a patient":                   {PatientID: "pt-7"},
			"a portal user and a message": {PortalUserID: "pu-7", MessageID: blast},
		} {
			for _, before := range []Cursor{{}, {Time: now.AddDate(0, -11, 0), Seq: 1000}} {
				for _, f.SortBy = range []SortKey{ByTime, ByType, ByActor} {
					for _, f.Ascending = range []bool{false, true} {
						if !f.alongIndex() {
							continue // reads all events that match
						}
						if n := touched(t, tx, f, before, limit); n > 50*limit {
							t.Errorf("%s from %v by %q, ascending %v, with statistics %v, touches %v rows", name, before, f.SortBy, f.Ascending, statistics, n)
						}
					}
				}
			}
		}
	}
}
