package export_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/compose/composetest"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/record/export"
	"postern/internal/record/query"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const reviewer = query.Actor("staff:rosa")

// write exports to memory.
func write(t *testing.T, s *composetest.System, room *query.Reader, f query.Filter, format export.Format) ([]byte, query.Manifest) {
	t.Helper()
	begun, err := export.New(room, s.Pool).Start(t.Context(), reviewer, f, format)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	m, err := begun.Write(t.Context(), &file)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(file.Bytes()); m.Digest != "sha256:"+hex.EncodeToString(sum[:]) || m.Bytes != int64(file.Len()) {
		t.Errorf("the manifest does not match the file: %+v", m)
	}
	return file.Bytes(), m
}

// story makes a record with a message with all kinds of deliveries, and all kinds of access.
func story(t *testing.T, options ...composetest.Option) (s *composetest.System, room *query.Reader, message uuid.UUID) {
	s = composetest.New(t, options...)
	room = query.New(query.Config{Pool: s.Pool, Facts: facts.Publisher{Source: "/api", Send: s.Publish}})
	ada := s.Staff(t, "Ada", policy.SendPortalMessage)
	message = uuid.Must(uuid.NewV7())
	self, several, none := s.PortalUser(t, "bo"), s.PortalUser(t, "cy"), s.PortalUser(t, "d_e")
	s.PortalUser(t, "eve")
	s.Exec(t, `UPDATE app.links SET relationship = 'representative' WHERE portal_user_no = $1`, several.No)
	s.Exec(t, `INSERT INTO app.links (portal_user_no, patient_no, relationship)
		SELECT $1, patient_no, 'representative' FROM app.patients WHERE patient_id = 'pt-bo'`, several.No)
	s.Exec(t, `DELETE FROM app.links WHERE portal_user_no = $1`, none.No)
	sum := strings.Repeat("0a", 32)
	s.Record(t, ada.Actor(), events.MessageSent{MessageID: message, SenderID: ada.ID, SubjectDigest: "sha256:" + sum, BodyDigest: "sha256:" + sum,
		Attachments: []events.AttachmentFact{{AttachmentID: message, MediaType: "application/pdf", Size: 9, SHA256: sum}},
		Recipients:  events.Selection{PortalUserIDs: []string{"bo", "cy", "d_e", "eve"}, Groups: []string{}}, StaffBcc: []string{}, Hold: events.HoldNone, ReleaseAt: time.Now()})
	s.Deliver(t, message)
	s.Record(t, self.Actor(), events.DeliveryOpened{MessageID: message, PortalUserID: "bo", PortalUserNo: self.No},
		events.AttachmentDownloaded{MessageID: message, PortalUserID: "bo", PortalUserNo: self.No, AttachmentID: message, Request: message},
		events.SignIn{Attempt: uuid.New(), Account: "portal_user", ID: "bo", Method: events.ByPassword})
	s.Record(t, "process:api", events.SignIn{Failed: true, Attempt: uuid.New(), Account: "staff", ID: ada.ID, Method: events.ByPassword, Reason: "wrong_password"},
		events.SignIn{Failed: true, Attempt: uuid.New(), Account: "portal_user", Method: events.ByPassword, Reason: "no_account", Source: "192.0.2.0/24"},
		events.SignInsFailed{Tally: uuid.New(), Account: "portal_user", Source: "192.0.2.0/24", Minute: time.Now().UTC(), Count: 3, ByReason: map[string]int{"wrong_password": 1, "no_account": 2}})
	s.Record(t, ada.Actor(), events.ActionsRefused{Tally: uuid.New(), Account: "staff", ID: ada.ID, Minute: time.Now().UTC(), Count: 12, Actions: []string{"manage_staff"}})
	s.Record(t, "operator:jürgen", events.PermissionChanged{Change: uuid.New(), StaffID: ada.ID, Permission: "read_record"})
	s.Record(t, ada.Actor(), events.MessageRecalled{MessageID: message, StaffID: ada.ID, Reason: "=wrong", Opened: 1})
	write(t, s, room, query.Filter{MessageID: message}, export.CSV)
	s.Settle(t)
	return s, room, message
}

func TestFHIR(t *testing.T) {
	t.Parallel()
	s, room, message := story(t)
	file, m := write(t, s, room, query.Filter{}, export.FHIR)
	count := map[string]int{}
	recipients := map[string]map[string]any{}
	var whole, spokenOf []string // Communications
	var networks []string        // of failed sign-ins, and why
	for line := range bytes.Lines(file) {
		var resource map[string]any
		if err := json.Unmarshal(line, &resource); err != nil {
			t.Fatal(err)
		}
		for _, fault := range faultsOf(resource) {
			t.Errorf("%s\nin %s", fault, line)
		}
		kind := resource["resourceType"].(string)
		count[kind]++
		if kind == "AuditEvent" {
			count[resource["type"].(map[string]any)["display"].(string)]++
			if network, ok := resource["agent"].([]any)[0].(map[string]any)["network"]; ok {
				networks = append(networks, fmt.Sprintf("%v %v", network, resource["outcomeDesc"]))
			}
			for _, entity := range list(resource["entity"]) {
				if what, _ := entity["what"].(map[string]any); what["type"] == "Communication" {
					spokenOf = append(spokenOf, what["reference"].(string))
				}
			}
			continue
		}
		whole = append(whole, "Communication/"+resource["id"].(string))
		if received, ok := resource["received"].(string); ok && received < resource["sent"].(string) {
			t.Errorf("it was opened before it was sent: %s", line)
		}
		to := resource["recipient"].([]any)[0].(map[string]any)
		recipients[to["identifier"].(map[string]any)["value"].(string)] = resource
	}
	for what, want := range map[string]int{"Communication": 4, "Patient Record": 2, "User Authentication": 4, "Security Alert": 3, "Audit Log Used": 1, "Export": 1} {
		if count[what] != want {
			t.Errorf("there are %d of %s, want %d", count[what], what, want)
		}
	}
	if diff := cmp.Diff([]string{"map[address:192.0.2.0/24 type:2] no_account", "map[address:192.0.2.0/24 type:2] 2 no_account, 1 wrong_password"}, networks); diff != "" {
		t.Errorf("where sign-ins failed (-want +got):\n%s", diff)
	}
	for _, reference := range spokenOf {
		if !slices.Contains(whole, reference) {
			t.Errorf("%s is referred to but does not exist", reference)
		}
	}
	if len(spokenOf) != 2 {
		t.Errorf("%d deliveries are referred to", len(spokenOf))
	}
	if m.Rows != count["Communication"]+count["AuditEvent"] {
		t.Errorf("the manifest counts %d", m.Rows)
	}
	for id, want := range map[string]struct{ status, reference, about string }{
		"pt-bo":  {"completed", "Patient/pt-bo", "subject"}, // opened before the recall
		"cy":     {"stopped", "RelatedPerson/cy", "about"},
		"d_e":    {"stopped", "", ""}, // an id that no reference can hold
		"pt-eve": {"stopped", "Patient/pt-eve", "subject"},
	} {
		c := recipients[id]
		if c == nil {
			t.Errorf("there is no Communication to %s", id)
			continue
		}
		reference, _ := c["recipient"].([]any)[0].(map[string]any)["reference"].(string)
		_, about := c[want.about]
		_, received := c["received"]
		if c["status"] != want.status || reference != want.reference || want.about != "" && !about || received != (want.status == "completed") {
			t.Errorf("to %s: %v", id, c)
		}
		document := c["payload"].([]any)[0].(map[string]any)["contentAttachment"].(map[string]any)
		if document["size"] != float64(9) || document["extension"].([]any)[0].(map[string]any)["valueString"] != strings.Repeat("0a", 32) || document["title"] != nil {
			t.Errorf("the document is %v", document)
		}
	}
	// With a filter for a person, only that person's deliveries.
	for _, f := range []query.Filter{{PortalUserID: "cy"}, {PatientID: "pt-eve"}, {PatientID: "pt-bo", PortalUserID: "bo", MessageID: message, Type: events.TypeDeliveriesCreated}} {
		if file, _ := write(t, s, room, f, export.FHIR); bytes.Count(file, []byte(`"Communication","id"`)) != 1 {
			t.Errorf("%+v gives %s", f, file)
		}
	}
}

func list(v any) (all []map[string]any) {
	some, _ := v.([]any)
	for _, one := range some {
		all = append(all, one.(map[string]any))
	}
	return all
}

// A manifest is proved by the first checkpoint that covers the whole export and the manifest
// itself. That checkpoint does not change later.
func TestAManifestIsProved(t *testing.T) {
	t.Parallel()
	s, room, _ := story(t, composetest.Unsigned)
	_, m := write(t, s, room, query.Filter{}, export.CSV)
	s.Settle(t)
	for _, step := range []struct {
		signed string
		size   uint64
		want   string
	}{{"of the export alone", m.Through, ""}, {"of both", m.Seq, "of both"}, {"later", m.Seq + 1, "of both"}} {
		s.Exec(t, `INSERT INTO app.checkpoints (size, root, signed) VALUES ($1, decode(repeat('00', 32), 'hex'), $2)`, int64(step.size), step.signed) // #nosec G115 -- small
		kept, err := room.Manifest(t.Context(), m.Export)
		if err != nil || kept.Proof != step.want || kept.Digest != m.Digest || kept.Seq != m.Seq {
			t.Errorf("with a checkpoint %s the manifest is %+v, %v", step.signed, kept, err)
		}
	}
}

// A slow reader of an export keeps no transaction open in Postgres.
func TestASlowReaderHoldsNoTransaction(t *testing.T) {
	t.Parallel()
	pool := full(t, 5_000)
	room := query.New(query.Config{Pool: pool, Facts: facts.Publisher{Source: "/api", Send: unpublished}})
	begun, err := export.New(room, pool).Start(t.Context(), reviewer, query.Filter{}, export.NDJSON)
	if err != nil {
		t.Fatal(err)
	}
	stalled := func() error { // waits until the read-ahead is full and no more rows are requested
		for open := -1; open != 0; {
			err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`).Scan(&open)
			if err != nil || t.Context().Err() != nil {
				return errors.Join(err, t.Context().Err())
			}
		}
		return nil
	}
	if m, err := begun.Write(t.Context(), writer(stalled)); err != nil || m.Events != 5_000 {
		t.Errorf("%+v, %v", m, err)
	}
}

// Each line has the stored event, so its leaf can be computed from the line.
func TestNDJSONHasTheDataOfEachLeaf(t *testing.T) {
	t.Parallel()
	s, room, _ := story(t)
	file, m := write(t, s, room, query.Filter{}, export.NDJSON)
	n := 0
	for line := range bytes.Lines(file) {
		var e struct {
			Seq     uint64              `json:"seq"`
			Subject string              `json:"subject"`
			Headers map[string][]string `json:"headers"`
			Body    json.RawMessage     `json:"body"`
			Leaf    string              `json:"leaf"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		n++
		if leaf := merkle.Leaf(&merkle.Stored{Seq: e.Seq, Subject: e.Subject, Header: e.Headers, Data: e.Body}); hex.EncodeToString(leaf[:]) != e.Leaf || e.Seq != uint64(n) {
			t.Errorf("line %d does not match its leaf: %s", n, line)
		}
	}
	if n != m.Events || uint64(n) != m.Through {
		t.Errorf("the file has %d lines for %d events", n, m.Events)
	}
}

func TestCSVIsASCII(t *testing.T) {
	t.Parallel()
	s, room, _ := story(t)
	file, m := write(t, s, room, query.Filter{}, export.CSV)
	for _, b := range file {
		if b > '~' {
			t.Fatalf("it is not ASCII: %s", file)
		}
	}
	r := csv.NewReader(bytes.NewReader(file))
	r.FieldsPerRecord = len(export.Columns)
	rows, err := r.ReadAll()
	if err != nil || len(rows) != m.Rows+1 || bytes.Count(file, []byte("\r\n")) != len(rows) {
		t.Fatalf("%d rows of %d, %v", len(rows), m.Rows, err)
	}
	if !bytes.Contains(file, []byte(`operator:j\u00fcrgen`)) || bytes.Contains(file, []byte("=wrong")) {
		t.Errorf("it says %s", file)
	}
}

// full returns a database with n openings on the record, written like the recorder does.
func full(t testing.TB, n int) *pgxpool.Pool {
	t.Helper()
	pool := storetest.Pool(t, store.RoleAdmin)
	message := uuid.Must(uuid.NewV7())
	at := time.Now().UTC().Add(-time.Hour)
	_, err := pool.CopyFrom(t.Context(), pgx.Identifier{"record", "events"},
		[]string{"seq", "id", "type", "actor", "time", "message_id", "projected", "leaf", "stored"},
		pgx.CopyFromSlice(n, func(i int) ([]any, error) {
			who := fmt.Sprintf("pu-%d", i)
			e, err := events.New("/api", "portal_user:"+who, at.Add(time.Duration(i)*time.Microsecond),
				events.DeliveryOpened{MessageID: message, PortalUserID: who, PortalUserNo: int32(i)}) // #nosec G115 -- small
			if err != nil {
				return nil, err
			}
			stored := &merkle.Stored{Seq: uint64(i + 1), Subject: e.Subject(), Header: e.Header(), Data: e.Data} // #nosec G115 -- an index
			packed, err := merkle.Pack(stored)
			leaf := merkle.Leaf(stored)
			return []any{int64(stored.Seq), e.ID, string(e.Type), e.Actor, e.Time, message, true, leaf[:], packed}, err // #nosec G115 -- a sequence
		}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE record.position SET seq = $1`, n); err != nil {
		t.Fatal(err)
	}
	return pool
}

func unpublished(context.Context, ...events.Event) (uint64, error) { return 1, nil }

// heap is a writer that measures the largest heap while it is written to.
type heap struct{ writes, highest uint64 }

func (h *heap) Write(p []byte) (int, error) {
	if h.writes++; h.writes%64 == 1 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		h.highest = max(h.highest, m.HeapAlloc)
	}
	return len(p), nil
}

// long is for `make bench-export`.
var long = flag.Int("rows", 20_000, "how many rows to export")

// Only a few rows are in memory, for any number of rows.
func TestMemoryDoesNotGrow(t *testing.T) {
	const most = 8 << 20 // all rows take more, a page of them takes 2 MiB
	n := *long
	pool := full(t, n)
	room := query.New(query.Config{Pool: pool, Facts: facts.Publisher{Source: "/api", Send: unpublished}})
	begun, err := export.New(room, pool).Start(t.Context(), reviewer, query.Filter{}, export.CSV)
	if err != nil {
		t.Fatal(err)
	}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	h := &heap{}
	began := time.Now()
	m, err := begun.Write(t.Context(), h)
	if err != nil || m.Rows != n {
		t.Fatal(m, err)
	}
	t.Logf("%d rows, %.0f a second, %d KiB more heap", n, float64(n)/time.Since(began).Seconds(), (int64(h.highest)-int64(before.HeapAlloc))>>10) // #nosec G115 -- heap sizes
	if h.highest > before.HeapAlloc+most {
		t.Errorf("the heap rose from %d to %d MiB", before.HeapAlloc>>20, h.highest>>20)
	}
}

// If a client disconnects, the reading ends and no manifest is recorded.
func TestADisconnectedClientGetsNoManifest(t *testing.T) {
	t.Parallel()
	published := 0
	pool := full(t, 5_000)
	room := query.New(query.Config{Pool: pool, Facts: facts.Publisher{Source: "/api", Send: func(context.Context, ...events.Event) (uint64, error) {
		published++
		return 1, nil
	}}})
	for name, leave := range map[string]func(context.CancelFunc) io.Writer{
		"its request ends":    func(cancel context.CancelFunc) io.Writer { return writer(func() error { cancel(); return nil }) },
		"it can't be written": func(context.CancelFunc) io.Writer { return writer(func() error { return io.ErrClosedPipe }) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		begun, err := export.New(room, pool).Start(ctx, reviewer, query.Filter{}, export.NDJSON)
		if err != nil {
			t.Fatal(err)
		}
		published = 0
		if m, err := begun.Write(ctx, leave(cancel)); err == nil || published != 0 {
			t.Errorf("%s: %v, %v, %d published", name, m, err, published)
		} else if !errors.Is(err, context.Canceled) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

type writer func() error

func (w writer) Write(p []byte) (int, error) { return len(p), w() }
