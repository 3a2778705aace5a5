package torture

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/embedded"
)

// A victim is what can be killed at once and started again.
type victim interface {
	kill(t testing.TB)
	start(t testing.TB)
}

// A process is one of the binaries. It is started and ended from one goroutine.
type running struct {
	name string
	path string
	args []string
	env  []string // all of it
	log  string   // file of what it said in all its lives
	life int64    // where in the log this life begins

	cmd    *exec.Cmd
	status chan int // its exit status, once
}

func (p *running) start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if info, err := log.Stat(); err == nil {
		p.life = info.Size()
	}
	cmd := exec.Command(p.path, p.args...) // #nosec G204 -- what we torture
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	if err := tell(fmt.Sprintf("+%d", cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	status := make(chan int, 1)
	go func() {
		_ = cmd.Wait()
		_ = tell(fmt.Sprintf("-%d", cmd.Process.Pid))
		status <- cmd.ProcessState.ExitCode()
	}()
	p.cmd, p.status = cmd, status
}

// signal ends the process and gives its exit status, -1 where a signal did it.
func (p *running) signal(t testing.TB, s syscall.Signal) int {
	t.Helper()
	if p.cmd == nil {
		return 0
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Errorf("%s had ended by itself:\n%s", p.name, p.said())
	}
	p.cmd = nil
	select {
	case status := <-p.status:
		return status
	case <-time.After(deadline):
		t.Fatalf("%s does not end:\n%s", p.name, p.said())
		return 0
	}
}

func (p *running) kill(t testing.TB) { t.Helper(); p.signal(t, syscall.SIGKILL) }

// said is what the process logged in this life.
func (p *running) said() string {
	all, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(all[min(int(p.life), len(all)):])
}

// leads tells of a recorder whether it is the one that records, as far as it said.
func (p *running) leads() bool {
	said := []byte(p.said())
	return bytes.LastIndex(said, []byte(`"msg":"recording"`)) > bytes.LastIndex(said, []byte(`"msg":"recording stopped`))
}

// tail is the end of all that the process logged.
func (p *running) tail() string {
	all, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// A cluster is a Postgres that this process supervises, and can kill.
type cluster struct {
	dir    string
	server *embedded.Postgres
}

// url is the DATABASE_URL of the cluster, known before it exists.
func (c *cluster) url() string {
	return "postgres://postern@/postern?host=" + filepath.Join(c.dir, "socket") + "&port=5432&sslmode=disable"
}

func (c *cluster) start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var err error
	if c.server != nil {
		err = c.server.Restart(ctx)
	} else {
		c.server, err = embedded.StartPostgres(ctx, embedded.PostgresConfig{Dir: c.dir, BinDir: os.Getenv("PG_BIN"), Unsafe: true})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) kill(t testing.TB) {
	t.Helper()
	ended := c.server.Done()
	if err := syscall.Kill(c.server.PID(), syscall.SIGKILL); err != nil {
		t.Fatalf("killing Postgres: %v", err)
	}
	<-ended
}

func (c *cluster) stop(t testing.TB) {
	t.Helper()
	if c.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// A webServer is a [victim] in this process: killed, nobody listens any more.
type webServer struct {
	address string
	handler http.Handler
	server  *http.Server
}

func (w *webServer) start(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	w.address = listener.Addr().String()
	w.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: w.handler}
	go func() { _ = w.server.Serve(listener) }()
}

func (w *webServer) kill(testing.TB) { _ = w.server.Close() }
