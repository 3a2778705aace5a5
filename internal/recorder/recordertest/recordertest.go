// Package recordertest has what the tests of the recorder's packages share: events, a
// recorder at work, and the contents of its tables. It imports none of those packages
// except position, so that all of them can use it.
package recordertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/recorder/position"
)

// Noon is the time of the first of some events.
var Noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// NoDigest has the form of a digest.
const NoDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// Facts makes events of bodies, in the order of the record, a second apart.
func Facts(t testing.TB, bodies ...events.Body) []events.Event {
	t.Helper()
	all := make([]events.Event, len(bodies))
	for i, body := range bodies {
		e, err := events.New("/test", "process:test", Noon.Add(time.Duration(i)*time.Second), body)
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := body.(events.DeliveriesCreated); ok {
			e.Chunk = &events.ChunkRef{Index: c.Chunk, Of: 2}
		}
		all[i] = e
	}
	return all
}

// SentTo is a message of s1, with s2 as Bcc.
func SentTo(message uuid.UUID, hold events.Hold, groups ...string) events.MessageSent {
	return events.MessageSent{MessageID: message, SenderID: "s1", SubjectDigest: NoDigest, BodyDigest: NoDigest,
		Attachments: []events.AttachmentFact{}, StaffBcc: []string{"s2"}, Hold: hold, ReleaseAt: Noon.Add(time.Minute),
		Recipients: events.Selection{PortalUserIDs: []string{}, Groups: append([]string{}, groups...)}}
}

// Chunk is a chunk of a message's deliveries, to the portal users with the given numbers.
func Chunk(message uuid.UUID, index int, nos ...int32) events.DeliveriesCreated {
	c := events.DeliveriesCreated{MessageID: message, Chunk: index}
	for _, no := range nos {
		c.Recipients = append(c.Recipients, events.Recipient{PortalUserID: fmt.Sprintf("pu-%d", no), PortalUserNo: no,
			Links: []events.Link{{PatientID: fmt.Sprintf("pt-%d", no), PatientNo: no, Relationship: "self"}}})
	}
	return c
}

// OutcomeOf is the outcome of the first attempt at a chunk's alerts.
func OutcomeOf(message uuid.UUID, index, recipients int, state events.AlertState, exceptions ...events.AlertException) events.AlertOutcome {
	if exceptions == nil {
		exceptions = []events.AlertException{}
	}
	return events.AlertOutcome{MessageID: message, Chunk: index, Chunks: 2, Attempt: 1, Recipients: recipients,
		State: state, Exceptions: exceptions, Requests: []events.AlertRequest{}}
}

// Said is a report about a portal user's alert, so many seconds after Noon.
func Said(no int32, kind string, seconds int, more ...string) events.Report {
	r := events.Report{ID: fmt.Sprint(kind, "-", no, "-", seconds), Type: kind, Position: int(no) - 1,
		At: Noon.Add(time.Duration(seconds) * time.Second), PortalUserID: fmt.Sprintf("pu-%d", no), PortalUserNo: no}
	for i, to := range []*string{&r.Bounce, &r.Reason} {
		if i < len(more) {
			*to = more[i]
		}
	}
	return r
}

// ReportedBy is a post of SendGrid's webhook about chunk 0 of a message.
func ReportedBy(message uuid.UUID, attempt int, reports ...events.Report) events.AlertsReported {
	return events.AlertsReported{MessageID: message, Requests: []events.ReportedRequest{{RequestID: message, Attempt: attempt, Reports: reports}}}
}

// Connect takes a connection out of a pool, on which the recorder's tables need no schema.
func Connect(t testing.TB, pool *pgxpool.Pool) *pgx.Conn {
	t.Helper()
	c, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn := c.Hijack()
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `SET search_path = record`); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Digests reads all rows of every table of the recorder, and gives one digest a table.
func Digests(t testing.TB, conn *pgx.Conn) map[string]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT tablename::text FROM pg_tables WHERE schemaname = 'record'`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	all := map[string]string{}
	for _, name := range names {
		var digest string
		if err := conn.QueryRow(t.Context(), `SELECT coalesce(md5(string_agg(r::text, E'\n' ORDER BY r::text)), '') FROM record.`+
			pgx.Identifier{name}.Sanitize()+` r`).Scan(&digest); err != nil {
			t.Fatal(err)
		}
		all[name] = digest
	}
	return all
}

// MessageState is the part of a message that pages show.
type MessageState struct {
	Status                                                string
	Delivered, Accepted, Failed, Skipped, Unknown, Opened int
}

// StateOf reads the state of a message.
func StateOf(t testing.TB, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, id uuid.UUID) MessageState {
	t.Helper()
	var m MessageState
	err := db.QueryRow(t.Context(), `SELECT status, delivered, alert_accepted, alert_failed, alert_skipped, alert_unknown, opened
		FROM record.messages WHERE message_id = $1`, id).
		Scan(&m.Status, &m.Delivered, &m.Accepted, &m.Failed, &m.Skipped, &m.Unknown, &m.Opened)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Running is a recorder at work on a record.
type Running struct {
	Log     *eventlog.Log
	Pool    *pgxpool.Pool
	Watcher *position.Watcher
	// Stop stops the recorder. It may be called again.
	Stop func()
}

// Start calls run, which records what is in the log, until the test ends or Stop is called.
func Start(t testing.TB, log *eventlog.Log, pool *pgxpool.Pool, run func(context.Context) error) *Running {
	t.Helper()
	r := &Running{Log: log, Pool: pool, Watcher: position.NewWatcher(pool, nil)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { _ = run(ctx); done <- struct{}{} }()
	go func() { _ = r.Watcher.Run(ctx); done <- struct{}{} }()
	stopped := false
	r.Stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
			<-done
		}
	}
	t.Cleanup(r.Stop)
	return r
}

// Says publishes events and waits until they can be read.
func (r *Running) Says(t testing.TB, evs ...events.Event) {
	t.Helper()
	last, err := r.Log.Publish(t.Context(), evs...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	if err := r.Watcher.Wait(ctx, last); err != nil {
		t.Fatal(err)
	}
}

// Verdict waits for and returns the recorder's verdict on the stream. The verdict counts
// from the next renewal of the recorder's lease.
func (r *Running) Verdict(t testing.TB) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := r.Watcher.Intact(ctx)
		if !errors.Is(err, position.ErrUnchecked) || ctx.Err() != nil {
			return err
		}
		<-again.C
	}
}

// Delivered is a statement that writes the deliveries that a query gives into record.inbox.
// The query's columns are the message's id, the portal user's number, the chunk, and the
// numbers of the patients on whose account it was delivered, as integer[]:
//
//	recordertest.Delivered(`SELECT $1::uuid, no, 0, '{}'::integer[] FROM generate_series(1, 5) no`)
func Delivered(query string) string {
	return `INSERT INTO record.inbox (message_id, block, part, chunk, members, patients)
		SELECT message_id, block, CASE WHEN row_number() OVER (PARTITION BY message_id, block ORDER BY chunk) = 1 THEN 0 ELSE chunk END, chunk,
		       record.members_of(nos), patients
		FROM (SELECT message_id, record.block_of(no) AS block, chunk, array_agg(no ORDER BY no) AS nos,
		             string_to_array(string_agg(array_to_string(patient_nos || 0, ','), ',' ORDER BY no), ',')::integer[] AS patients
		      FROM (` + query + `) AS delivered (message_id, no, chunk, patient_nos)
		      GROUP BY message_id, record.block_of(no), chunk) AS blocks`
}
