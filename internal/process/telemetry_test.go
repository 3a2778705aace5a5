package process_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"postern/internal/access"
	"postern/internal/access/policy"
	"postern/internal/config"
	"postern/internal/content"
	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/embedded/porttest"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/eventlog/facts"
	"postern/internal/giveup"
	"postern/internal/notify/sendgridfake"
	"postern/internal/process"
	"postern/internal/recorder/position"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/telemetry"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// clinic runs all roles in this process, each with its own telemetry, like separate processes.
type clinic struct {
	testing.TB
	server   *embedded.NATS
	database string
	spans    map[config.Process]*tracetest.InMemoryExporter
	address  map[config.Process]string
	token    string
	content  string // the folder of the content
	key      string // the file of its key
}

func open(t testing.TB, change ...func(config.Process, *config.Config)) *clinic {
	t.Helper()
	c := &clinic{TB: t, server: natstest.Start(t, natstest.Listening()), database: storetest.New(t),
		spans: map[config.Process]*tracetest.InMemoryExporter{}, address: map[config.Process]string{}}
	web := httptest.NewServer(sendgridfake.New(sendgridfake.Config{}))
	t.Cleanup(web.Close)
	dir := t.TempDir()
	key := filepath.Join(dir, "content.key")
	if _, err := content.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	c.content, c.key = filepath.Join(dir, "content"), key
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 4)
	for p, run := range map[config.Process]func(context.Context, config.Config, *telemetry.Telemetry, *slog.Logger) error{
		config.API: process.API, config.Fanout: process.Fanout, config.Notify: process.Notify, config.Recorder: process.Recorder} {
		c.spans[p], c.address[p] = tracetest.NewInMemoryExporter(), porttest.Address(t)
		tell := telemetry.Traced(string(p), sdk.WithSyncer(c.spans[p]))
		settings := config.Config{DatabaseURL: c.database, NATSURL: c.server.ClientURL(string(p)), RecordReplicas: 1,
			ContentURL: filepath.Join(dir, "content"), ContentKeyFile: key, ListenAddr: c.address[p], PublicURL: "http://portal.example.test",
			SendGridAPIKey: "SG.test", SendGridBaseURL: web.URL, AlertFrom: "alerts@clinic.example.test"}
		for _, f := range change {
			f(p, &settings)
		}
		go func() { ended <- run(ctx, settings, tell, slog.New(slog.DiscardHandler)) }()
	}
	t.Cleanup(func() {
		stop()
		for range 4 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	c.furnish()
	return c
}

// furnish makes a sender and a recipient.
func (c *clinic) furnish() {
	c.Helper()
	pool := storetest.Open(c, c.database, store.RoleAdmin)
	log := eventlogtest.Unchecked(c, c.server)
	watcher := position.NewWatcher(pool, nil)
	go func() { _ = watcher.Run(c.Context()) }()
	gate, err := access.New(access.Config{Pool: pool, Facts: facts.Publisher{Source: "/test", Send: log.Publish, Reached: watcher.Wait}})
	if err != nil {
		c.Fatal(err)
	}
	ada, err := gate.CreateStaff(c.Context(), "operator:test", access.NewStaff{Email: "ada@clinic.example.test", Name: "Ada", Permissions: policy.All})
	if err != nil {
		c.Fatal(err)
	}
	if _, c.token, err = gate.CreateToken(c.Context(), "operator:test", ada.ID, access.NewToken{Name: "of the test"}); err != nil {
		c.Fatal(err)
	}
	_, err = pool.Exec(c.Context(), `INSERT INTO app.portal_users (portal_user_id, name, email, active)
		VALUES ('pu-1', 'Given Family', 'given.family@example.test', true)`)
	if err != nil {
		c.Fatal(err)
	}
	c.eventually("everything ready", func() bool {
		for p := range c.address {
			if status, _ := c.ask(p, "/readyz"); status != http.StatusOK {
				return false
			}
		}
		return true
	})
}

func (c *clinic) ask(p config.Process, path string, header ...string) (status int, text string) {
	req, err := http.NewRequestWithContext(c.Context(), http.MethodGet, "http://"+c.address[p]+path, nil)
	if err != nil {
		c.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// send sends one message to the one portal user, and waits until it was alerted.
func (c *clinic) send() uuid.UUID {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), http.MethodPost, "http://"+c.address[config.API]+"/v1/messages",
		strings.NewReader(`{"subject":"Secret subject","body":"Secret body","recipients":{"portal_user_ids":["pu-1"],"groups":[]},"undo_seconds":0}`))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var sent struct{ ID uuid.UUID }
	if err := json.NewDecoder(resp.Body).Decode(&sent); err != nil || resp.StatusCode != http.StatusAccepted {
		c.Fatalf("%s, %v", resp.Status, err)
	}
	c.eventually("the alert on the record", func() bool {
		return c.value(config.Notify, `postern_alerts_total{outcome="accepted"}`) == "1"
	})
	return sent.ID
}

// value is a sample of /metrics, "" where there is none.
func (c *clinic) value(p config.Process, sample string) string {
	_, text := c.ask(p, "/metrics")
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sample) + ` (.*)$`).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1]
}

func (c *clinic) eventually(what string, reached func() bool) {
	c.Helper()
	deadline, tick := time.After(giveup.After), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-deadline:
			c.Fatalf("%s: not within a minute", what)
		}
	}
}

// One message makes one trace, from its POST through every process to SendGrid and the recorder,
// although the processes exchange no trace data.
func TestATraceFollowsAMessage(t *testing.T) {
	t.Parallel()
	c := open(t)
	message := c.send()
	var all tracetest.SpanStubs
	recorded := func() bool {
		all = nil
		for p := range c.spans {
			all = append(all, c.spans[p].GetSpans()...)
		}
		return slices.ContainsFunc(all, func(s tracetest.SpanStub) bool { return s.Name == "record alerts.accepted" })
	}
	c.eventually("the last span", recorded)

	byID := map[string]string{"0000000000000000": ""}
	for _, s := range all {
		byID[s.SpanContext.SpanID().String()] = s.Name
	}
	got := map[string]string{} // span → its parent
	for _, s := range all {
		if s.SpanContext.TraceID().String() != strings.ReplaceAll(message.String(), "-", "") {
			t.Errorf("%s is in another trace", s.Name)
		}
		process := s.Resource.Attributes()[0].Value.AsString()
		name := process + ": " + s.Name
		parent, there := byID[s.Parent.SpanID().String()]
		if !there {
			t.Errorf("%s hangs below nothing", name)
		}
		got[name] = parent
		if text, _ := json.Marshal(s.Attributes); regexp.MustCompile(`@|Secret|Family|pu-1`).Match(text) {
			t.Errorf("%s has personal data: %s", name, text)
		}
	}
	want := map[string]string{
		"api: POST /v1/messages":                   "",
		"api: publish message.sent":                "POST /v1/messages",
		"fanout-worker: handle message.sent":       "POST /v1/messages",
		"fanout-worker: publish audience.resolved": "handle message.sent", // with the rest of a small message
		"notify-worker: handle deliveries.created": "POST /v1/messages",
		"notify-worker: send alerts":               "handle deliveries.created", "notify-worker: publish alerts.accepted": "handle deliveries.created",
		"recorder: record message.sent": "POST /v1/messages", "recorder: record audience.resolved": "POST /v1/messages",
		"recorder: record deliveries.created": "POST /v1/messages", "recorder: record fanout.completed": "POST /v1/messages",
		"recorder: record alerts.accepted": "POST /v1/messages",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spans and their parents (-want +got):\n%s", diff)
	}
}

// Each process serves its metrics, and the reasons why it is not ready.
func TestMetricsAndReasons(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.send()
	c.eventually("everything recorded", func() bool { return c.value(config.API, "postern_recorder_lag_events") == "0" })
	pool := storetest.Open(t, c.database, store.RoleAdmin)
	for i, handled := range []bool{false, false, true, true, true} {
		if _, err := pool.Exec(t.Context(), `INSERT INTO app.parked (parked_id, consumer, seq, type, tries, reason, handled_at)
			VALUES ($1, 'fanout-bulk', $2, 'message.sent', 8, 'a test', CASE WHEN $3 THEN now() END)`, uuid.New(), i+1, handled); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []struct {
		process       config.Process
		sample, value string
	}{
		{config.API, `postern_events_published_total{outcome="acknowledged",type="message.sent"}`, "1"},
		{config.API, `postern_http_request_duration_seconds_count{route="POST /v1/messages",status="202"}`, "1"},
		{config.API, `postern_stores_reachable`, "1"},
		{config.API, `postern_record_whole`, "1"},
		{config.API, `postern_events_parked{consumer="notify-bulk"}`, "0"},
		{config.API, `postern_events_parked{consumer="fanout-bulk"}`, "2"}, // the others were handled
		{config.API, `postern_alert_retries_waiting`, "0"},
		{config.API, `postern_recorder_lag_seconds`, "0"},
		{config.Fanout, `postern_events_published_total{outcome="acknowledged",type="deliveries.created"}`, "1"},
		{config.Fanout, `postern_event_handling_duration_seconds_count{consumer="fanout-direct",outcome="done"}`, "1"},
		{config.Notify, `postern_alerts_total{outcome="accepted"}`, "1"},
		{config.Notify, `postern_sendgrid_request_duration_seconds_count{answer="accepted",status="202"}`, "1"},
	} {
		if got := c.value(want.process, want.sample); got != want.value {
			t.Errorf("%s says %s is %q, want %s", want.process, want.sample, got, want.value)
		}
	}
	if _, text := c.ask(config.API, "/metrics"); regexp.MustCompile(`@|pu-1|Family`).MatchString(text) {
		t.Error("the metrics have personal data")
	}
	if err := c.server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for p := range c.address {
		c.eventually(string(p)+" saying that NATS is away", func() bool {
			status, text := c.ask(p, "/readyz")
			return status == http.StatusServiceUnavailable && strings.Contains(text, "nats: NATS can't be reached")
		})
	}
	if got := c.value(config.API, "postern_stores_reachable"); got != "0" {
		t.Errorf("the stores are said to be reachable: %s", got)
	}
}

// A process is not ready with a stream that has fewer events than were recorded: it is another
// stream, or lost events.
func TestAStreamThatLostEvents(t *testing.T) {
	t.Parallel()
	c := open(t)
	pool := storetest.Open(t, c.database, store.RoleAdmin)
	if _, err := pool.Exec(t.Context(), `UPDATE record.position SET seq = seq + 1000`); err != nil {
		t.Fatal(err)
	}
	for _, p := range []config.Process{config.API, config.Recorder} {
		status, text := c.ask(p, "/readyz")
		if status != http.StatusServiceUnavailable || !strings.Contains(text, "the stream ends at event") || !strings.Contains(text, "postern repair") {
			t.Errorf("%s says %d %s", p, status, text)
		}
	}
}
