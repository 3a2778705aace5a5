package postgres_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/embedded/filelock"
	"postern/internal/embedded/postgres"
	"postern/internal/giveup"
)

// startPostgres starts a server over dir that ends with the test.
func startPostgres(t *testing.T, cfg postgres.Config) *postgres.Server {
	t.Helper()
	p, err := postgres.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// write inserts a row that a later read finds.
func write(t *testing.T, p *postgres.Server) {
	t.Helper()
	_, err := connect(t, p.URL()).Exec(t.Context(), `CREATE TABLE kept AS SELECT 42 AS answer`)
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, p *postgres.Server) {
	t.Helper()
	var answer int
	err := connect(t, p.URL()).QueryRow(t.Context(), `SELECT answer FROM kept`).Scan(&answer)
	if err != nil || answer != 42 {
		t.Fatalf("the committed row: got %d, %v", answer, err)
	}
}

// await fails the test if the channel is not closed in time.
func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(giveup.After):
		t.Fatal("timed out waiting for: ", what)
	}
}

func TestPostgresKeepsCommittedDataAfterAStop(t *testing.T) {
	cfg := postgres.Config{Dir: t.TempDir(), Settings: map[string]string{"work_mem": "5MB"}}
	first := startPostgres(t, cfg)
	write(t, first)
	var workMem, listens string
	err := connect(t, first.URL()).QueryRow(t.Context(),
		`SELECT current_setting('work_mem'), current_setting('listen_addresses')`).Scan(&workMem, &listens)
	if err != nil || workMem != "5MB" || listens != "" {
		t.Errorf("work_mem %q, listen_addresses %q, %v", workMem, listens, err)
	}
	if got := postgres.Running(cfg.Dir); got != first.URL() {
		t.Errorf("Running: got %q, want %q", got, first.URL())
	}

	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first.PID(), 0); first.PID() != 0 && err == nil {
		t.Error("it still runs after Stop")
	}
	if got := postgres.Running(cfg.Dir); got != "" {
		t.Errorf("Running after Stop: got %q", got)
	}
	read(t, startPostgres(t, cfg))
}

// Lower case works for every script, and texts are ordered by their bytes.
func TestLowerCaseWorksForEveryScript(t *testing.T) {
	conn := connect(t, startPostgres(t, postgres.Config{Dir: t.TempDir()}).URL())
	var lower, collate string
	err := conn.QueryRow(t.Context(), `SELECT lower('ÅSA ΜΑΡΊΑ ОЛЬГА'), datcollate FROM pg_database WHERE datname = 'postern'`).Scan(&lower, &collate)
	if err != nil || lower != "åsa μαρία ольга" || collate != "C" {
		t.Errorf("lower: %q, collation: %q, %v", lower, collate, err)
	}
}

func TestASecondSupervisorIsRefused(t *testing.T) {
	cfg := postgres.Config{Dir: t.TempDir()}
	first := startPostgres(t, cfg)
	_, err := postgres.Start(t.Context(), cfg)
	if !errors.Is(err, filelock.ErrInUse) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("got %v, want an error that the folder is in use, and what to do", err)
	}
	write(t, first) // the first still works
}

func TestAKilledServerIsNoticedAndStartedAgain(t *testing.T) {
	p := startPostgres(t, postgres.Config{Dir: t.TempDir()})
	write(t, p)
	connect(t, p.URL()) // the backend of this connection ends a moment after the postmaster
	done := p.Done()
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "Done after kill -9", done)
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	read(t, p)

	wanted := p.Done()
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-wanted:
		t.Error("Done was closed by a Restart")
	default:
	}
	read(t, p)
}

// abandoned starts the server from a process that is then killed, and returns when that
// has ended. This is the state after kill -9 of `postern up`.
func abandoned(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestAbandoner$", "-test.v") // #nosec G204 -- ourselves
	cmd.Env = append(os.Environ(), "ABANDON="+dir)
	out, err := cmd.CombinedOutput()
	if ended := new(exec.ExitError); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process that kills itself: %v\n%s", err, out)
	}
}

// TestAbandoner is the process that abandoned starts. In a normal test run it does nothing.
func TestAbandoner(t *testing.T) {
	dir := os.Getenv("ABANDON")
	if dir == "" {
		return
	}
	p, err := postgres.Start(t.Context(), postgres.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	write(t, p)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// serverPID returns the process id of the server, from its folder.
func serverPID(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "cluster", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestAServerThatWasLeftRunningIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	abandoned(t, dir)
	left := serverPID(t, dir)
	p := startPostgres(t, postgres.Config{Dir: dir})
	read(t, p)
	if p.PID() != left {
		t.Errorf("server %d runs instead of %d, which was left running", p.PID(), left)
	}

	done := p.Done()
	if err := syscall.Kill(p.PID(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	await(t, "Done of a server that is not our child", done)
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	read(t, p)
}

// A server that is taken over during its shutdown is started again.
func TestAServerThatWasStoppingIsStartedAgain(t *testing.T) {
	dir := t.TempDir()
	abandoned(t, dir)
	if err := syscall.Kill(serverPID(t, dir), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	read(t, startPostgres(t, postgres.Config{Dir: dir}))
}

// A stale postmaster.pid with the id of process 1, or of this process, is ignored.
func TestAStalePIDFileIsIgnored(t *testing.T) {
	dir := t.TempDir()
	p := startPostgres(t, postgres.Config{Dir: dir})
	write(t, p)
	path := filepath.Join(dir, "cluster", "postmaster.pid")
	for _, pid := range []string{"1", strconv.Itoa(os.Getpid()), "4194303"} {
		done := p.Done()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "the end of the server", done)
		_, rest, _ := strings.Cut(string(text), "\n")
		if err := os.WriteFile(path, []byte(pid+"\n"+rest), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.Restart(t.Context()); err != nil {
			t.Fatalf("with the process id %s: %v", pid, err)
		}
		read(t, p)
	}
}

func TestAnInterruptedInitdbIsRepeated(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, "initdb-123")
	if err := os.MkdirAll(filepath.Join(half, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, startPostgres(t, postgres.Config{Dir: dir}))
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the incomplete cluster still exists: %v", err)
	}
}

// After a cancelled first start, the second one works.
func TestAStartThatIsCancelledCanBeRepeated(t *testing.T) {
	dir := t.TempDir()
	for _, after := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		p, err := postgres.Start(ctx, postgres.Config{Dir: dir})
		cancel()
		if err == nil {
			if err := p.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, startPostgres(t, postgres.Config{Dir: dir}))
}

func TestAFolderOfAnotherMajorVersionIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := startPostgres(t, postgres.Config{Dir: dir}).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(dir, "cluster", "PG_VERSION")
	was, err := os.ReadFile(version)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(version, []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = postgres.Start(t.Context(), postgres.Config{Dir: dir})
	if !errors.Is(err, postgres.ErrOtherVersion) || !strings.Contains(err.Error(), "pg_upgrade") {
		t.Errorf("got %v, want an error about the other version, and what to do", err)
	}

	if err := os.WriteFile(version, was, 0o600); err != nil {
		t.Fatal(err)
	}
	startPostgres(t, postgres.Config{Dir: dir})
}

// A folder named cluster that initdb did not make is not changed.
func TestAForeignFolderIsNotChanged(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cluster", "theirs")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Start(t.Context(), postgres.Config{Dir: dir}); err == nil {
		t.Error("it started")
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestAMissingPostgresIsReportedWithInstallCommands(t *testing.T) {
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: t.TempDir(), BinDir: t.TempDir()})
	if !errors.Is(err, postgres.ErrNotInstalled) || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("got %v, want an error that it is not installed, with install commands", err)
	}
}

// The path is too long for a socket, has characters that URLs and shells must escape, and
// is below a folder that is closed to other users: for root, the server runs as a user
// without access to that path.
func TestAnAwkwardFolderWorks(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, strings.Repeat("long ", 24)+"'ö?&#%", "postgres")
	cfg := postgres.Config{Dir: dir}
	p := startPostgres(t, cfg)
	write(t, p)
	done := p.Done()
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "Done after kill -9", done)
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	read(t, p)
	if got := postgres.Running(dir); got != p.URL() {
		t.Errorf("Running: got %q, want %q", got, p.URL())
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	read(t, startPostgres(t, cfg))
}
