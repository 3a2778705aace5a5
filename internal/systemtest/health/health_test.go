package health_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/cli"
	"postern/internal/compose"
	"postern/internal/directory/audience"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/web/webtest"
)

func TestMain(m *testing.M) { webtest.Main(m) }

// The facts that an output may report. Each output reports some of them, and all outputs that
// report a fact must agree.
const (
	ready   = "ready"   // messages can be sent and read
	whole   = "whole"   // the stream matched its copy
	late    = "late"    // the recorder is long behind
	behind  = "behind"  // events that are not recorded yet
	parked  = "parked"  // open parked events
	pauses  = "pauses"  // pauses in force
	waiting = "waiting" // chunks whose alerts wait
)

// answers are the facts that an output reports, by the names above.
type answers map[string]any

// system is a clinic with one message that was delivered and alerted.
type system struct {
	*webtest.Site
	t        *testing.T
	operator *webtest.Visitor
	event    uuid.UUID // the parked event
	locked   pgx.Tx    // blocks the recorder
}

// States in the order in which the system goes through them. Each state is entered from the
// fresh one and left again, except the last.
var states = []struct {
	name         string
	enter, leave func(*system)
	want         answers
}{
	{"fresh", nothing, nothing, answers{}},
	{"parked", (*system).park, nothing, answers{parked: 1}},
	{"handled", (*system).handle, nothing, answers{}},
	{"parked again", (*system).park, nothing, answers{parked: 1}},
	{"discarded", (*system).discard, nothing, answers{}},
	{"paused", (*system).pause, (*system).resume, answers{pauses: 1, waiting: 1}},
	{"lagging", (*system).lag, (*system).catchUp, answers{behind: 1, late: true, ready: false}},
	{"caught up", nothing, nothing, answers{}},
	{"damaged", (*system).damage, nothing, answers{whole: false, behind: 1, late: true, ready: false}},
}

// Every output reports the same facts in every state.
func TestAllOutputsAgree(t *testing.T) {
	s := &system{Site: webtest.New(t), t: t}
	t.Setenv("DATABASE_URL", s.URL)
	t.Setenv("NATS_URL", s.NATSURL)
	s.operator = s.Staff(t, "Olga Operator", policy.All...)
	s.NewPortalUser(t, "pu-1")
	s.send()
	s.until("the alert of the first message", `SELECT count(*) = 1 FROM record.chunks WHERE alert_state = 'accepted'`)
	outputs := map[string]struct {
		read func(*system) answers
		says []string
	}{
		"/readyz":           {(*system).readyz, []string{ready, whole, late}},
		"/metrics":          {(*system).metrics, []string{whole, late, behind, parked, pauses, waiting}},
		"/v1/operations":    {(*system).api, []string{whole, late, behind, parked, pauses, waiting}},
		"/operations":       {(*system).page, []string{whole, late, behind, parked, pauses, waiting}},
		"postern health":    {(*system).cli, []string{whole, behind, parked, pauses}},
		"/operations/reads": {(*system).lists, []string{parked, pauses}},
	}
	for _, state := range states {
		state.enter(s)
		want := answers{ready: true, whole: true, late: false, behind: 0, parked: 0, pauses: 0, waiting: 0}
		maps.Copy(want, state.want)
		for name, output := range outputs {
			expected := answers{}
			for _, key := range output.says {
				expected[key] = want[key]
			}
			if diff := cmp.Diff(expected, output.read(s)); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", state.name, name, diff)
			}
		}
		state.leave(s)
	}
}

func nothing(*system) {}

func (s *system) park() {
	s.event = uuid.New()
	s.Exec(s.t, `INSERT INTO app.parked (parked_id, consumer, seq, event_id, type, tries, reason)
		SELECT $1, 'fanout-bulk', seq + (SELECT count(*) FROM app.parked), id, type, 8, 'a test' FROM record.events WHERE type = 'message.sent' LIMIT 1`, s.event)
}

func (s *system) handle() {
	s.Exec(s.t, `UPDATE app.parked SET handled_at = now() WHERE parked_id = $1`, s.event)
}

func (s *system) discard() {
	s.operator.Post("/operations/parked/"+s.event.String()+"/discard", url.Values{"reason": {"a test"}}).Is(http.StatusOK)
}

// pause pauses all alerting, and sends a message whose alert then waits.
func (s *system) pause() {
	s.operator.Post("/operations/alerting/pause", url.Values{"reason": {"a test"}}).Is(http.StatusOK)
	s.send()
	s.until("the alert that waits", `SELECT count(*) = 1 FROM app.alerts_waiting WHERE pause IS NOT NULL`)
	s.recorded()
}

func (s *system) resume() {
	s.operator.Post("/operations/alerting/resume", url.Values{"reason": {"a test"}}).Is(http.StatusOK)
	s.until("the alert of the second message", `SELECT count(*) = 2 FROM record.chunks WHERE alert_state = 'accepted'`)
	s.until("no alert that waits", `SELECT count(*) = 0 FROM app.alerts_waiting`)
	s.recorded()
}

// lag locks the recorder's position, publishes one event, and lets a minute pass.
func (s *system) lag() {
	tx, err := s.Admin.Begin(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := tx.Exec(s.t.Context(), `SELECT FROM record.position FOR UPDATE`); err != nil {
		s.t.Fatal(err)
	}
	s.locked = tx
	s.publish()
	s.Clock.Advance(time.Minute)
}

// publish publishes an event and does not wait for the recorder.
func (s *system) publish() {
	e, err := events.New("/test", "operator:o", s.Clock.Now(), events.LabelChanged{Change: uuid.New(), Label: "patient", One: "Client", Many: "Clients"})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.Log.Publish(s.t.Context(), e); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) catchUp() {
	if err := s.locked.Rollback(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.recorded()
}

// damage makes the copy differ from the stream, and ends the session of the leading recorder.
// The recorder loses the lease at the next event, takes it again, and compares the copy with
// the stream before it records anything.
func (s *system) damage() {
	s.Exec(s.t, `UPDATE record.events SET leaf = sha256('another') WHERE seq = 2`)
	s.Exec(s.t, `SELECT pg_terminate_backend(k.pid) FROM pg_locks k, app.leases l
		WHERE l.role = 'postern_recorder' AND l.name = 'recorder' AND k.locktype = 'advisory'
		  AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		  AND (k.classid::bigint << 32 | k.objid::bigint) = hashtextextended(l.role || '/' || l.name || '/' || l.term, 0)`)
	s.publish()
	s.until("the verdict of the next recorder", `SELECT EXISTS (SELECT FROM app.record_verdict WHERE NOT ok)`)
}

func (s *system) send() {
	at := 0
	_, err := s.Compose.Send(s.t.Context(), policy.Subject{Realm: policy.RealmStaff, ID: s.operator.ID, Permissions: policy.All}, uuid.NewString(),
		compose.Request{Subject: "A subject", Body: "A body.", Recipients: audience.Selection{PortalUserIDs: []string{"pu-1"}}, UndoSeconds: &at})
	if err != nil {
		s.t.Fatal(err)
	}
}

// recorded waits until the recorder has reached the end of the stream.
func (s *system) recorded() {
	state, err := s.Log.State(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.Await(s.t, state.Last)
}

// until polls a query: there is no notification when its result changes.
func (s *system) until(what, query string) {
	s.t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(giveup.After)
	for {
		var reached bool
		if err := s.Admin.QueryRow(s.t.Context(), query).Scan(&reached); err != nil {
			s.t.Fatal(err)
		}
		if reached {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			s.t.Fatalf("%s: not within two minutes", what)
		}
	}
}

func (s *system) readyz() answers {
	page := s.operator.Get("/readyz")
	var problem struct{ Errors []struct{ Location string } }
	if err := json.Unmarshal([]byte(page.Body), &problem); err != nil {
		s.t.Fatal(err)
	}
	a := answers{ready: page.Status == http.StatusOK, whole: true, late: false}
	for _, fault := range problem.Errors {
		switch fault.Location {
		case "record":
			a[whole] = false
		case "recorder":
			a[late] = true
		default:
			s.t.Errorf("/readyz names %s", fault.Location)
		}
	}
	return a
}

func (s *system) metrics() answers {
	values := map[string]float64{}
	for _, sample := range regexp.MustCompile(`(?m)^postern_(\w+)(?:\{[^}]*\})? (\S+)$`).FindAllStringSubmatch(s.operator.Get("/metrics").Is(http.StatusOK).Body, -1) {
		n, err := strconv.ParseFloat(sample[2], 64)
		if err != nil {
			s.t.Fatal(err)
		}
		values[sample[1]] += n
	}
	if values["stores_reachable"] != 1 {
		s.t.Error("/metrics says that the stores can't be reached")
	}
	return answers{whole: values["record_whole"] == 1, late: values["recorder_lag_seconds"] > 30, behind: int(values["recorder_lag_events"]),
		parked: int(values["events_parked"]), pauses: int(values["alerting_pauses"]), waiting: int(values["alert_retries_waiting"])}
}

func (s *system) api() answers {
	var state struct {
		Record   struct{ Whole bool }
		Recorder struct{ Events, Seconds int }
		Parked   int
		Pauses   []any
		Waiting  []struct{ Chunks int }
	}
	s.decode(s.operator.Get("/v1/operations").Is(http.StatusOK).Body, &state)
	chunks := 0
	for _, w := range state.Waiting {
		chunks += w.Chunks
	}
	return answers{whole: state.Record.Whole, late: state.Recorder.Seconds > 30, behind: state.Recorder.Events, parked: state.Parked,
		pauses: len(state.Pauses), waiting: chunks}
}

func (s *system) page() answers {
	text := s.operator.Get("/operations").Is(http.StatusOK).Text()
	first := func(expression string) int {
		found := regexp.MustCompile(expression).FindStringSubmatch(text)
		if found == nil {
			return 0
		}
		n, _ := strconv.Atoi(strings.ReplaceAll(found[1], ",", ""))
		return n
	}
	paused := 0
	if strings.Contains(text, "Resume all alerting") {
		paused = 1
	}
	return answers{whole: strings.Contains(text, "The record matched its copy at the last check."), late: first(`recorder \d+ (\d+) seconds? –`) > 30,
		behind: first(`recorder (\d+) `), parked: first(`Parked events (\d+) event`), pauses: paused, waiting: first(`Waiting alerts \d+ alerts? in (\d+) chunk`)}
}

func (s *system) cli() answers {
	var out, errs bytes.Buffer
	status := cli.RunWith(s.t.Context(), []string{"health", "--json"}, nil, &out, &errs)
	var said struct {
		Faults                 []any
		Behind, Parked, Pauses int
	}
	s.decode(out.String(), &said)
	if (status == 0) != (len(said.Faults) == 0) {
		s.t.Errorf("postern health exits with %d: %s%s", status, &out, &errs)
	}
	return answers{whole: len(said.Faults) == 0, behind: said.Behind, parked: said.Parked, pauses: said.Pauses}
}

// lists counts the entries of /v1/parked and /v1/alerting.
func (s *system) lists() answers {
	var open struct{ Items []any }
	s.decode(s.operator.Get("/v1/parked").Is(http.StatusOK).Body, &open)
	var alerting struct{ Pauses []any }
	s.decode(s.operator.Get("/v1/alerting").Is(http.StatusOK).Body, &alerting)
	return answers{parked: len(open.Items), pauses: len(alerting.Pauses)}
}

func (s *system) decode(text string, into any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		s.t.Fatalf("%v: %s", err, text)
	}
}
