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

	"postern/internal/embedded/postgres"
	"postern/internal/giveup"
)

// A killable can be killed at once and started again.
type killable interface {
	kill(t testing.TB)
	start(t testing.TB)
}

// A childProcess runs one of the binaries. It is started and ended from one goroutine.
type childProcess struct {
	name     string
	path     string
	args     []string
	env      []string // the whole environment
	log      string   // the log file, for all runs
	logStart int64    // the size of the log when this run began

	cmd    *exec.Cmd
	status chan int // receives the exit status, once
}

func (p *childProcess) start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if info, err := log.Stat(); err == nil {
		p.logStart = info.Size()
	}
	cmd := exec.Command(p.path, p.args...) // #nosec G204 -- a binary under test
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	if err := tellWatchdog(fmt.Sprintf("+%d", cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	status := make(chan int, 1)
	go func() {
		_ = cmd.Wait()
		_ = tellWatchdog(fmt.Sprintf("-%d", cmd.Process.Pid))
		status <- cmd.ProcessState.ExitCode()
	}()
	p.cmd, p.status = cmd, status
}

// signal ends the process with a signal and gives its exit status, -1 if the signal
// killed it.
func (p *childProcess) signal(t testing.TB, s syscall.Signal) int {
	t.Helper()
	if p.cmd == nil {
		return 0
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Errorf("%s had exited by itself:\n%s", p.name, p.logged())
	}
	p.cmd = nil
	select {
	case status := <-p.status:
		return status
	case <-time.After(giveup.After):
		t.Fatalf("%s does not exit:\n%s", p.name, p.logged())
		return 0
	}
}

func (p *childProcess) kill(t testing.TB) { t.Helper(); p.signal(t, syscall.SIGKILL) }

// logged gives the log of this run.
func (p *childProcess) logged() string {
	all, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(all[min(int(p.logStart), len(all)):])
}

// leads reports whether this recorder is the leader, according to its log.
func (p *childProcess) leads() bool {
	log := []byte(p.logged())
	return bytes.LastIndex(log, []byte(`"msg":"recording"`)) > bytes.LastIndex(log, []byte(`"msg":"recording stopped`))
}

// tail gives the end of the log of all runs.
func (p *childProcess) tail() string {
	all, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// A cluster is a Postgres that this process supervises and can kill.
type cluster struct {
	dir    string
	server *postgres.Server
}

// url is the DATABASE_URL of the cluster. It is known before the cluster exists.
func (c *cluster) url() string {
	return "postgres://postern@/postern?host=" + filepath.Join(c.dir, "socket") + "&port=5432&sslmode=disable"
}

func (c *cluster) start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), giveup.After)
	defer cancel()
	var err error
	if c.server != nil {
		err = c.server.Restart(ctx)
	} else {
		c.server, err = postgres.Start(ctx, postgres.Config{Dir: c.dir, BinDir: os.Getenv("PG_BIN"), Unsafe: true})
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
	ctx, cancel := context.WithTimeout(context.Background(), giveup.After)
	defer cancel()
	if err := c.server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// A webServer is a [killable] in this process. After kill, nothing listens on its
// address.
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
