package recorder

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
	"postern/internal/proof/merkle"
	"postern/internal/recorder/position"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const noDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// facts makes events of bodies, in the order of the record, a second apart.
func facts(t testing.TB, bodies ...events.Body) []events.Event {
	t.Helper()
	all := make([]events.Event, len(bodies))
	for i, body := range bodies {
		e, err := events.New("/test", "process:test", noon.Add(time.Duration(i)*time.Second), body)
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

func sentTo(message uuid.UUID, hold events.Hold, groups ...string) events.MessageSent {
	return events.MessageSent{MessageID: message, SenderID: "s1", SubjectDigest: noDigest, BodyDigest: noDigest,
		Attachments: []events.AttachmentFact{}, StaffBcc: []string{"s2"}, Hold: hold, ReleaseAt: noon.Add(time.Minute),
		Recipients: events.Selection{PortalUserIDs: []string{}, Groups: append([]string{}, groups...)}}
}

func chunk(message uuid.UUID, index int, nos ...int32) events.DeliveriesCreated {
	c := events.DeliveriesCreated{MessageID: message, Chunk: index}
	for _, no := range nos {
		c.Recipients = append(c.Recipients, events.Recipient{PortalUserID: fmt.Sprintf("pu-%d", no), PortalUserNo: no,
			Links: []events.Link{{PatientID: fmt.Sprintf("pt-%d", no), PatientNo: no, Relationship: "self"}}})
	}
	return c
}

func outcomeOf(message uuid.UUID, index, recipients int, state events.AlertState, exceptions ...events.AlertException) events.AlertOutcome {
	if exceptions == nil {
		exceptions = []events.AlertException{}
	}
	return events.AlertOutcome{MessageID: message, Chunk: index, Chunks: 2, Attempt: 1, Recipients: recipients,
		State: state, Exceptions: exceptions, Requests: []events.AlertRequest{}}
}

// project writes events straight into a database, in runs of the sizes given and
// then one by one, as the active recorder would.
func project(t testing.TB, db beginner, evs []events.Event, runs ...int) {
	t.Helper()
	var prepared []*prepared
	for i, e := range evs {
		p, err := prepare(merkle.Stored{Seq: uint64(i + 1), Subject: e.Subject(), Header: e.Header(), Data: e.Data})
		if err != nil {
			t.Fatal(err)
		}
		prepared = append(prepared, p)
	}
	for at := 0; at < len(prepared); {
		n := 1
		if len(runs) > 0 {
			n, runs = min(runs[0], len(prepared)-at), runs[1:]
		}
		if err := record(t.Context(), db, uint64(at), prepared[at:at+n], parkRow); err != nil {
			t.Fatal(err)
		}
		at += n
	}
}

func connectTo(t testing.TB, pool *pgxpool.Pool) *pgx.Conn {
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

// digests reads every projected table.
func digests(t testing.TB, conn *pgx.Conn) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, tab := range tables {
		d, _, err := digest(t.Context(), conn, "record", tab)
		if err != nil {
			t.Fatal(err)
		}
		all[tab.name] = d
	}
	return all
}

// recording is a recorder at work on a record.
type recording struct {
	*Recorder
	watcher *position.Watcher
	url     string
	stop    func()
}

// start runs a recorder until the test ends or stop is called.
func start(t testing.TB, log *eventlog.Log, databaseURL string) *recording {
	t.Helper()
	pool := storetest.Open(t, databaseURL, store.RoleRecorder)
	r := &recording{Recorder: New(Config{Log: log, Pool: pool}), watcher: position.NewWatcher(pool, nil), url: databaseURL}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { _ = r.Run(ctx); done <- struct{}{} }()
	go func() { _ = r.watcher.Run(ctx); done <- struct{}{} }()
	stopped := false
	r.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
			<-done
		}
	}
	t.Cleanup(r.stop)
	return r
}

// says publishes events and waits until they can be read.
func (r *recording) says(t testing.TB, evs ...events.Event) {
	t.Helper()
	last, err := r.Log.Publish(t.Context(), evs...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.watcher.Wait(ctx, last); err != nil {
		t.Fatal(err)
	}
}

// verdict waits for and returns the recorder's verdict on the stream. The verdict counts
// from the next renewal of the recorder's lease.
func (r *recording) verdict(t testing.TB) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := r.watcher.Whole(ctx)
		if !errors.Is(err, position.ErrUnchecked) || ctx.Err() != nil {
			return err
		}
		<-again.C
	}
}

// leads returns a recorder that has taken the lease and does nothing yet.
func leads(t testing.TB, log *eventlog.Log, pool *pgxpool.Pool) *leading {
	t.Helper()
	conn := connectTo(t, pool)
	lease, err := store.TakeLease(t.Context(), pool, conn, store.LeaseRecorder)
	if err != nil {
		t.Fatal(err)
	}
	return &leading{Recorder: New(Config{Log: log, Pool: pool}), conn: conn, lease: lease}
}
