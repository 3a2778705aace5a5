package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"

	"postern/internal/config"
	"postern/internal/embedded/porttest"
	"postern/internal/events"
	"postern/internal/giveup"
	"postern/internal/notify/sendgridfake"
	"postern/internal/proof/merkle"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/store/tlstest"
)

// The services of docker-compose.yml run without Docker, as plain processes on this
// machine. Each has the environment of its container, with other hosts, ports and
// folders. They start before the schema and the stream exist, deliver a message, and
// stop on SIGTERM.
func TestTheTopology(t *testing.T) {
	s := newStack(t)
	var running []*process
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		running = append(running, s.start(name))
	}
	running = append(running, s.start("recorder")) // the standby
	s.must("migrate", "migrate")
	for _, p := range running {
		s.waitUntilHealthy(p)
	}

	s.must("migrate", "import", "csv", s.file("patients.csv", "patient_id,given_name,family_name,birth_date,status,deceased\npt-1,Ada,Moss,1980-01-01,active,false\n"),
		s.file("portal_users.csv", "portal_user_id,name,email,active\npu-1,Ada Moss,ada@example.test,true\npu-2,Bea Moss,,true\n"),
		s.file("links.csv", "portal_user_id,patient_id,relationship,from,until\npu-1,pt-1,self,,\npu-2,pt-1,representative,,\n"))
	s.must("migrate", "staff", "create", "--email", "eve@example.test", "--name", "Eve", "--permit", "send_portal_message,send_bulk_portal_message")
	token := s.must("migrate", "token", "create", "--staff", "eve@example.test")
	api := running[slices.IndexFunc(running, func(p *process) bool { return p.name == "api" })]
	id := s.call(token, http.MethodPost, api.url+"/v1/messages", `{"subject":"Hello","body":"Good morning",
		"recipients":{"groups":["active_patients"]},"undo_seconds":0}`)["id"].(string)
	s.eventually("the message to be delivered and alerted", func() error {
		got := s.call(token, http.MethodGet, api.url+"/v1/messages/"+id, "")["progress"].(map[string]any)
		if got["delivered"] != 2.0 || got["alerted"] != 1.0 || got["alert_skipped"] != 1.0 {
			return fmt.Errorf("its progress is %v", got)
		}
		return nil
	})
	chosen := s.call(token, http.MethodPost, api.url+"/v1/messages", `{"subject":"Hello","body":"Good morning","recipients":{"portal_user_ids":["pu-1","pu-2"]}}`)["id"].(string)
	s.eventually("the message to chosen people to be alerted", func() error {
		if got := s.call(token, http.MethodGet, api.url+"/v1/messages/"+chosen, "")["progress"].(map[string]any); got["alerted"] != 1.0 || got["alert_skipped"] != 1.0 {
			return fmt.Errorf("its progress is %v", got)
		}
		return nil
	})
	s.mustHidePeople()

	for _, p := range running {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	for _, p := range running {
		if err := <-p.ended; err != nil {
			t.Errorf("%s does not stop cleanly: %v\n%s", p.name, err, p.log.String())
		}
	}
}

// mustHidePeople checks that every event that names people hides them: each process has found the
// key for that.
func (s *stack) mustHidePeople() {
	s.Helper()
	rows, err := storetest.Open(s.T, s.postgres.URL(), store.RoleAdmin).Query(s.ctx, `SELECT seq, stored FROM record.events ORDER BY seq`)
	if err != nil {
		s.Fatal(err)
	}
	var seq int64
	var stored []byte
	found := map[events.Type]bool{}
	_, err = pgx.ForEachRow(rows, []any{&seq, &stored}, func() error {
		event, err := merkle.Unpack(uint64(seq), stored)
		if err != nil {
			return err
		}
		e, err := events.Parse(event.Header, event.Data)
		if err != nil {
			return err
		}
		body, err := events.DecodeHiding(e)
		if err != nil || body == nil {
			return err
		}
		if found[e.Type] = true; body.HiddenBy() == nil {
			s.Errorf("%s names people to everyone who reads it: %s", e.Type, e.Data)
		}
		return nil
	})
	if err != nil || len(found) < 3 {
		s.Errorf("of the types that name people there are %v, %v", found, err)
	}
}

// stack is the two servers, and the addresses and folders that every process needs.
type stack struct {
	*testing.T
	ctx      context.Context
	services types.Services
	postgres *tlstest.Server
	nats     string
	dir      string
	sendgrid string
}

// process is a running service.
type process struct {
	name      string
	url       string // of the api
	operators string // METRICS_ADDR
	cmd       *exec.Cmd
	log       bytes.Buffer
	ended     chan error
}

func newStack(t *testing.T) *stack {
	t.Helper()
	dir := t.TempDir()
	// The build uses the tests' GOFLAGS, so that nothing is compiled twice.
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/bin/", "../cmd/...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	t.Cleanup(cancel)
	s := &stack{T: t, ctx: ctx, services: project(t).Services, postgres: startPostgres(t), dir: dir}

	opts := natsOptions(t)
	opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
	opts.StoreDir, opts.NoSigs, opts.NoLog = t.TempDir(), true, true
	broker, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go broker.Start()
	t.Cleanup(func() { broker.Shutdown(); broker.WaitForShutdown() })
	if !broker.ReadyForConnections(giveup.After) {
		t.Fatal("the NATS server does not start")
	}
	s.nats = broker.Addr().String()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fake := sendgridfake.New(sendgridfake.Config{})
	go func() { _ = fake.Serve(ctx, listener) }()
	s.sendgrid = "http://" + listener.Addr().String()
	s.must("migrate", "keys", "create", filepath.Join(s.dir, "content.key"))
	s.must("migrate", "keys", "checkpoint", filepath.Join(s.dir, "checkpoint.key"))
	return s
}

// environ returns a service's environment, adapted to this machine.
func (s *stack) environ(service, listen, metrics string) []string {
	s.Helper()
	env := map[string]string{}
	for name, value := range s.services[service].Environment {
		env[name] = *value
	}
	env["DATABASE_URL"] = overTLS(s.T, s.postgres, env["DATABASE_URL"])
	env["NATS_URL"] = strings.Replace(env["NATS_URL"], "nats:4222", s.nats, 1)
	for name, here := range map[string]string{"NATS_CA_FILE": authority(s.T).File, "METRICS_ADDR": metrics, "LISTEN_ADDR": listen, "CONTENT_URL": filepath.Join(s.dir, "content"),
		"CONTENT_KEY_FILE": filepath.Join(s.dir, "content.key"),
		"ARCHIVE_URL":      filepath.Join(s.dir, "archive"), "CHECKPOINT_KEY_FILE": filepath.Join(s.dir, "checkpoint.key"), "SENDGRID_BASE_URL": s.sendgrid} {
		if _, given := env[name]; given {
			env[name] = here
		}
	}
	for _, name := range []string{config.InFile("SENDGRID_API_KEY"), config.InFile("OIDC_CLIENT_SECRET")} {
		if path, given := env[name]; given {
			env[name] = *secretFile(s.T, path)
		}
	}
	var all []string
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	return all
}

func (s *stack) start(service string) *process {
	s.Helper()
	listen, metrics := porttest.Address(s.T), porttest.Address(s.T)
	p := &process{name: service, url: "http://" + listen, operators: "http://" + metrics, ended: make(chan error, 1)}
	p.cmd = exec.CommandContext(s.ctx, filepath.Join(s.dir, s.services[service].Command[0]))
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = s.environ(service, listen, metrics), &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	s.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// must runs a verb of postern in a service's environment, and returns its output.
func (s *stack) must(service string, args ...string) string {
	s.Helper()
	cmd := exec.CommandContext(s.ctx, filepath.Join(s.dir, "bin/postern"), args...)
	cmd.Env = append(os.Environ(), s.environ(service, "", "")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("postern %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// waitUntilHealthy waits with the container's own health check.
func (s *stack) waitUntilHealthy(p *process) {
	s.Helper()
	s.eventually(p.name+" to be healthy", func() error {
		out, err := exec.CommandContext(s.ctx, filepath.Join(s.dir, "bin/postern"), "health", "--url", p.operators+"/readyz").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// eventually polls until done returns nil. It polls because other processes send no
// signal to the test.
func (s *stack) eventually(what string, done func() error) {
	s.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.Fatalf("timed out waiting for %s: %v", what, err)
		}
	}
}

func (s *stack) call(token, method, address, body string) map[string]any {
	s.Helper()
	req, err := http.NewRequestWithContext(s.ctx, method, address, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	text, readErr := io.ReadAll(resp.Body)
	var answer map[string]any
	if err := errors.Join(readErr, resp.Body.Close(), json.Unmarshal(text, &answer)); err != nil || resp.StatusCode >= 300 {
		s.Fatalf("%s %s: %s: %s (%v)", method, address, resp.Status, text, err)
	}
	return answer
}

func (s *stack) file(name, text string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}
