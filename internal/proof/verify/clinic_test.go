package verify_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"postern/internal/embedded"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/archive"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/signer"
	"postern/internal/proof/verify"
	"postern/internal/recorder"
	"postern/internal/recorder/position"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// clinic is a record in the real files of the stream, Postgres and the archive.
type clinic struct {
	t       *testing.T
	nats    string // folder
	archive string // folder
	keyFile string
	url     string
	pool    *pgxpool.Pool // as the owner
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{t: t, nats: t.TempDir(), archive: t.TempDir(), keyFile: filepath.Join(t.TempDir(), "key"), url: storetest.New(t)}
	if _, err := checkpoint.CreateKeyFile(c.keyFile, "clinic.example/record"); err != nil {
		t.Fatal(err)
	}
	c.pool = storetest.Open(t, c.url, store.RoleAdmin)
	return c
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// serve runs the server over the stream's folder while f runs.
func (c *clinic) serve(f func(*eventlog.Log)) {
	c.t.Helper()
	server := must(embedded.StartNATS(c.t.Context(), embedded.NATSConfig{StoreDir: c.nats}))(c.t)
	nc := must(server.Connect(""))(c.t)
	log := eventlog.New(nc, nil)
	if err := log.Ensure(c.t.Context(), 1); err != nil {
		c.t.Fatal(err)
	}
	f(log)
	nc.Close()
	if err := server.Shutdown(); err != nil {
		c.t.Error(err)
	}
}

// publish publishes events and records them. When it returns, they are signed and the
// processes have stopped.
func (c *clinic) publish(evs ...events.Event) {
	c.t.Helper()
	c.serve(func(log *eventlog.Log) {
		last := must(log.Publish(c.t.Context(), evs...))(c.t)
		c.record(log, c.url, last)
	})
}

func (c *clinic) record(log *eventlog.Log, url string, last uint64) {
	c.t.Helper()
	pool := storetest.Open(c.t, url, store.RoleRecorder)
	defer pool.Close()
	outside := must(archive.Open(c.t.Context(), c.archive))(c.t)
	defer func() { _ = outside.Close() }()
	n := must(signer.New(signer.Config{Pool: pool, Keys: c.keys(), Archive: outside, Every: time.Hour}))(c.t)
	ctx, stop := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	watcher := position.NewWatcher(pool, nil)
	go func() { _ = watcher.Run(ctx) }()
	go func() {
		defer close(done)
		_ = recorder.New(recorder.Config{Log: log, Pool: pool, Notary: n}).Run(ctx)
	}()
	if err := watcher.Wait(c.t.Context(), last); err != nil {
		c.t.Fatal(err)
	}
	stop()
	<-done
}

func (c *clinic) keys() *checkpoint.Keys { return must(checkpoint.ReadKeyFile(c.keyFile))(c.t) }

// verify runs the verifier over the present record.
func (c *clinic) verify(url string, since *checkpoint.Checkpoint) (report verify.Report) {
	c.t.Helper()
	c.serve(func(log *eventlog.Log) { report = c.verifyOn(log, url, since) })
	return report
}

func (c *clinic) verifyOn(log *eventlog.Log, url string, since *checkpoint.Checkpoint) verify.Report {
	c.t.Helper()
	v := c.verifier(log, since)
	v.Pool = storetest.Open(c.t, url, store.RoleAdmin)
	return must(v.Run(c.t.Context()))(c.t)
}

func (c *clinic) verifier(log *eventlog.Log, since *checkpoint.Checkpoint) *verify.Verifier {
	c.t.Helper()
	outside := must(archive.Open(c.t.Context(), c.archive))(c.t)
	c.t.Cleanup(func() { _ = outside.Close() })
	return &verify.Verifier{Log: log, Pool: c.pool, Archive: outside, Keys: must(c.keys().Known())(c.t), Since: since}
}

// natsMsg makes a msg to publish a stored event as a new one.
func natsMsg(s eventlog.Stored) *nats.Msg {
	for name := range s.Header {
		if strings.HasPrefix(name, "Nats-") {
			s.Header.Del(name)
		}
	}
	return &nats.Msg{Subject: s.Subject, Header: s.Header, Data: s.Data}
}

func (c *clinic) exec(sql string, args ...any) {
	c.t.Helper()
	if _, err := c.pool.Exec(c.t.Context(), sql, args...); err != nil {
		c.t.Fatal(err)
	}
}

// newest returns the newest checkpoint.
func (c *clinic) newest() *checkpoint.Checkpoint {
	c.t.Helper()
	var text string
	if err := c.pool.QueryRow(c.t.Context(), `SELECT signed FROM app.checkpoints ORDER BY nr DESC LIMIT 1`).Scan(&text); err != nil {
		c.t.Fatal(err)
	}
	cp := must(checkpoint.Open(text, must(c.keys().Known())(c.t)))(c.t)
	return &cp
}

// soleLease is the lease of a process without competitors.
type soleLease struct{}

func (soleLease) Fence(context.Context, pgx.Tx) error { return nil }
func (soleLease) Held(context.Context) error          { return nil }

// seal makes segments of all signed events.
func (c *clinic) seal() {
	c.t.Helper()
	c.exec(`UPDATE app.checkpoints SET signed_at = signed_at - interval '2 hours'`)
	pool := storetest.Open(c.t, c.url, store.RoleRecorder)
	defer pool.Close()
	outside := must(archive.Open(c.t.Context(), c.archive))(c.t)
	defer func() { _ = outside.Close() }()
	n := must(signer.New(signer.Config{Pool: pool, Keys: c.keys(), Archive: outside}))(c.t)
	if err := n.Attest(c.t.Context(), soleLease{}); err != nil {
		c.t.Fatal(err)
	}
}

const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bulkMessage returns all events of one message to chunks of three portal users each: 2
// events, one for each chunk, one more, one for each chunk, and an opening.
func bulkMessage(t testing.TB, chunks int) []events.Event {
	t.Helper()
	m := uuid.Must(uuid.NewV7())
	var bodies, alerts []events.Body
	manifest := sha256.New()
	for i := range chunks {
		body := events.DeliveriesCreated{MessageID: m, Chunk: i}
		for n := range int32(3) {
			no := int32(i)*3 + n + 1
			body.Recipients = append(body.Recipients, events.Recipient{PortalUserID: fmt.Sprintf("pu-%d", no), PortalUserNo: no,
				Links: []events.Link{{PatientID: fmt.Sprintf("pt-%d", no), PatientNo: no, Relationship: "self"}}})
		}
		sum := sha256.Sum256(must(json.Marshal(body))(t))
		manifest.Write(sum[:])
		bodies = append(bodies, body)
		alerts = append(alerts, events.AlertOutcome{MessageID: m, Chunk: i, Chunks: chunks, Attempt: 1, Recipients: 3, State: events.AlertAccepted,
			Exceptions: []events.AlertException{}, Requests: []events.AlertRequest{}})
	}
	bodies = append([]events.Body{
		events.MessageSent{MessageID: m, SenderID: "s1", SubjectDigest: digest, BodyDigest: digest, Attachments: []events.AttachmentFact{},
			StaffBcc: []string{}, Hold: events.HoldNone, ReleaseAt: noon, Recipients: events.Selection{PortalUserIDs: []string{}, Groups: []string{"all_portal_users"}}},
		events.AudienceResolved{MessageID: m, Count: 3 * chunks, Chunks: chunks, ManifestDigest: "sha256:" + hex.EncodeToString(manifest.Sum(nil)),
			Included: map[string]int{}, Excluded: map[string]int{}},
	}, bodies...)
	bodies = append(bodies, events.FanoutCompleted{MessageID: m, Deliveries: 3 * chunks, Chunks: chunks})
	bodies = append(bodies, alerts...)
	bodies = append(bodies, events.DeliveryOpened{MessageID: m, PortalUserID: "pu-2", PortalUserNo: 2})
	all := make([]events.Event, len(bodies))
	for i, body := range bodies {
		all[i] = must(events.New("/test", "process:test", noon.Add(time.Duration(i)*time.Second), body))(t)
		if b, ok := body.(events.DeliveriesCreated); ok {
			all[i].Chunk = &events.ChunkRef{Index: b.Chunk, Of: chunks}
		}
	}
	return all
}

// copyTree copies a folder.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
