package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/embedded/porttest"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/notify/sendgridfake"
)

// binaries builds the processes under test, once for all tests, and gives the folder.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "torture-bin-")
	if err != nil {
		return "", err
	}
	if err := tellWatchdog("folder " + dir); err != nil {
		return "", err
	}
	// The build uses GOFLAGS as the tests do, so that no package is compiled twice. In
	// make check the processes also run with the race detector.
	build := exec.Command("go", "build", "-o", dir, "./cmd/...")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the processes: %w\n%s", err, out)
	}
	return dir, nil
})

// A system is a complete Postern that runs in separate processes.
type system struct {
	testing.TB
	dir  string
	bin  string
	url  string // of the api
	pool *pgxpool.Pool
	standIn

	processes []*childProcess
	kinds     map[string]func() killable // choose the process of a kind to be killed
	verbs     func(args ...string) *exec.Cmd
	nats      func() (url string, err error) // for the admin

	people people
	token  string
}

// standIn is the stand-in for SendGrid, with a fresh mailbox for every blast.
type standIn struct {
	address string
	fake    *atomic.Pointer[sendgridfake.Fake]
	web     *webServer
}

func newSystem(t testing.TB) *system {
	t.Helper()
	s := &system{TB: t}
	var err error
	if s.bin, err = binaries(); err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: Postgres's own user needs access, and the path of a socket must be
	// short.
	if s.dir, err = os.MkdirTemp("", "torture-"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(s.dir, 0o711), tellWatchdog("folder "+s.dir)); err != nil { // #nosec G302 -- see above
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	s.serveSendGrid()
	return s
}

func (s *system) serveSendGrid() {
	fake := new(atomic.Pointer[sendgridfake.Fake])
	fake.Store(sendgridfake.New(sendgridfake.Config{}))
	web := &webServer{address: "127.0.0.1:0", handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fake.Load().ServeHTTP(w, r)
	})}
	web.start(s)
	s.standIn = standIn{"http://" + web.address, fake, web}
	s.Cleanup(func() { web.kill(s) })
}

// environ is the whole environment of a process: the settings, and the test's variables
// that are needed to find programs.
func environ(settings ...string) []string {
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "PG_BIN"} {
		if value, ok := os.LookupEnv(name); ok {
			settings = append(settings, name+"="+value)
		}
	}
	return settings
}

func (s *system) add(name, path string, env []string, args ...string) *childProcess {
	p := &childProcess{name: name, path: path, args: args, env: env, log: filepath.Join(s.dir, name+".log")}
	s.processes = append(s.processes, p)
	s.Cleanup(func() {
		p.kill(s)
		if s.Failed() {
			s.Logf("the last log lines of %s:\n%s", p.name, p.tail())
		}
	})
	return p
}

// separate makes a system of separate processes with a NATS and a Postgres, and two of
// each worker. It starts none of them.
func separate(t testing.TB) (s *system, stores, services []killable) {
	t.Helper()
	s = newSystem(t)
	postgres := &cluster{dir: filepath.Join(s.dir, "postgres")}
	t.Cleanup(func() { postgres.stop(t) })
	listen, key := porttest.Address(t), filepath.Join(s.dir, "content.key")
	if _, err := content.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	nats := s.add("nats", os.Args[0], environ(roleVariable+"=nats", "TORTURE_FOLDER="+filepath.Join(s.dir, "nats"), "TORTURE_LISTEN="+listen))
	user := func(name string) string { return "nats://" + name + ":" + password + "@" + listen }
	settings := func(process string, more ...string) []string {
		return environ(append(more, "DATABASE_URL="+postgres.url(), "NATS_URL="+user(process),
			"CONTENT_URL="+filepath.Join(s.dir, "content"), "CONTENT_KEY_FILE="+key, "PUBLIC_URL=http://portal.example.test",
			"SENDGRID_BASE_URL="+s.address, "SENDGRID_API_KEY=SG.torture", "ALERT_FROM=alerts@clinic.example.test")...)
	}
	web := porttest.Address(t)
	s.url = "http://" + web
	s.add("api", filepath.Join(s.bin, "api"), settings(events.API, "LISTEN_ADDR="+web))
	for _, worker := range []string{events.FanoutWorker, events.NotifyWorker, events.Recorder} {
		for i := range 2 {
			s.add(fmt.Sprintf("%s-%d", worker, i), filepath.Join(s.bin, worker), settings(worker))
		}
	}
	s.nats = func() (string, error) { return user(events.Admin), nil }
	s.verbs = func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(s.bin, "postern"), args...) // #nosec G204 -- what we torture
		cmd.Env = environ("DATABASE_URL="+postgres.url(), "NATS_URL="+user(events.Admin))
		return cmd
	}
	s.connect(postgres.url())
	for _, p := range s.processes[1:] {
		services = append(services, p)
	}
	s.kinds = map[string]func() killable{
		"api": s.oneOf("api"), "fanout-worker": s.oneOf("fanout-worker"), "notify-worker": s.oneOf("notify-worker"),
		"recorder": s.leader, "nats": func() killable { return nats }, "postgres": func() killable { return postgres }}
	return s, []killable{nats, postgres}, services
}

// allInOne starts a system in one process, `postern up`.
func allInOne(t testing.TB) *system {
	t.Helper()
	s := newSystem(t)
	data, web := filepath.Join(s.dir, "data"), porttest.Address(t)
	s.url = "http://" + web
	postern := filepath.Join(s.bin, "postern")
	// A killed `postern up` leaves its Postgres running.
	t.Cleanup(func() { s.endPostgres(data) })
	up := s.add("up", postern, environ("SENDGRID_BASE_URL="+s.address, "SENDGRID_API_KEY=SG.torture", "ALERT_FROM=alerts@clinic.example.test"),
		"up", "--data", data, "--listen", web)
	s.verbs = func(args ...string) *exec.Cmd {
		cmd := exec.Command(postern, append(args, "--data", data)...) // #nosec G204 -- what we torture
		cmd.Env = environ()
		return cmd
	}
	s.nats = func() (string, error) {
		var run struct {
			URLs map[string]string `json:"nats_urls"`
		}
		text, err := os.ReadFile(filepath.Join(data, "run.json"))
		if err == nil {
			err = json.Unmarshal(text, &run)
		}
		return run.URLs[events.Admin], err
	}
	s.kinds = map[string]func() killable{"up": func() killable { return up }}
	s.connect((&cluster{dir: filepath.Join(data, "postgres")}).url())
	up.start(t)
	s.awaitReady()
	return s
}

func (s *system) oneOf(kind string) func() killable {
	var turn int
	return func() killable {
		var all []*childProcess
		for _, p := range s.processes {
			if strings.HasPrefix(p.name, kind) {
				all = append(all, p)
			}
		}
		turn++
		return all[turn%len(all)]
	}
}

// leader is the leading recorder: killing the standby has no effect.
func (s *system) leader() killable {
	for _, p := range s.processes {
		if strings.HasPrefix(p.name, "recorder") && p.leads() {
			return p
		}
	}
	return s.oneOf("recorder")()
}

// anotherLeads reports whether a recorder other than p leads.
func (s *system) anotherLeads(p *childProcess) bool {
	return slices.ContainsFunc(s.processes, func(o *childProcess) bool {
		return o != p && strings.HasPrefix(o.name, "recorder") && o.leads()
	})
}

func (s *system) connect(databaseURL string) {
	pool, err := pgxpool.New(s.Context(), databaseURL) // connects at first use
	if err != nil {
		s.Fatal(err)
	}
	s.pool = pool
	s.Cleanup(pool.Close)
}

// log connects to the record as the admin.
func (s *system) log(ctx context.Context) (*eventlog.Log, error) {
	url, err := s.nats()
	if err != nil {
		return nil, err
	}
	return eventlog.Connect(ctx, eventlog.Config{URL: url, Name: "torture"})
}

func (s *system) awaitReady() {
	s.Helper()
	var answer string
	eventually(s, 20*time.Millisecond, "becoming ready", func() string { return answer }, func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/readyz", nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			answer = err.Error()
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		var text bytes.Buffer
		_, _ = text.ReadFrom(resp.Body)
		answer = text.String()
		return resp.StatusCode == http.StatusOK
	})
}

// verb runs a verb of the command line and gives its output.
func (s *system) verb(args ...string) string {
	s.Helper()
	cmd := s.verbs(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.Errorf("postern %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return strings.TrimSpace(out.String())
}

// endPostgres ends the Postgres that a killed `postern up` left running.
func (s *system) endPostgres(data string) {
	text, err := os.ReadFile(filepath.Join(data, "postgres", "cluster", "postmaster.pid"))
	if err == nil {
		pid, _, _ := strings.Cut(string(text), "\n")
		end(pid, 3) // SIGQUIT: at once
	}
}
