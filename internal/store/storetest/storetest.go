// Package storetest gives each test a fresh, migrated PostgreSQL database.
//
// A test binary starts one private cluster at first use, with a migrated template
// in it that it clones for every test, which takes some tens of milliseconds. The
// first binary after a change of the migrations makes that cluster and keeps a
// copy among the temporary files (see template.go); the others start from the copy.
// Tests may run in parallel, and so may test binaries. A package that uses it ends
// the cluster from TestMain:
//
//	func TestMain(m *testing.M) { storetest.Main(m) }
//
// The cluster lives in the temporary folder, without fsync, and goes with the
// test binary also when that is killed. Where PostgreSQL is not installed, the
// test fails with the command that installs it; it is never skipped.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/embedded/postgres"
	"postern/internal/giveup"
	"postern/internal/store"
)

// cluster is the cluster of this test binary, started at first use.
var cluster struct {
	once   sync.Once
	server *postgres.Server
	admin  *pgxpool.Pool // makes and drops databases
	dir    string
	alive  *os.File
	err    error
	clones atomic.Int64
}

// Main runs the tests of a package. Then it ends the cluster, if one was started, and calls the
// functions of also.
func Main(m *testing.M, also ...func() error) {
	code := m.Run()
	for _, end := range append(also, stop) {
		if err := end(); err != nil {
			fmt.Fprintln(os.Stderr, "storetest:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// New returns the DATABASE_URL of a fresh, migrated database that is dropped
// when the test ends, connections to it or not.
func New(t testing.TB) string {
	t.Helper()
	// Copying the files takes half the time of the default, which writes every page to the WAL.
	return create(t, " TEMPLATE "+template+" STRATEGY file_copy")
}

// Empty returns the DATABASE_URL of a fresh database without a schema.
func Empty(t testing.TB) string {
	t.Helper()
	return create(t, "")
}

func create(t testing.TB, how string) string {
	t.Helper()
	server := Cluster(t)
	name := fmt.Sprintf("test_%d", cluster.clones.Add(1))
	admin(t, `CREATE DATABASE `+name+how)
	t.Cleanup(func() { admin(t, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`) })
	return named(server.URL(), name)
}

// Pool returns a pool on a fresh database of its own, under the role.
func Pool(t testing.TB, role store.Role) *pgxpool.Pool {
	t.Helper()
	return Open(t, New(t), role)
}

// Open returns a pool on a database that [New] made, under the role, closed
// when the test ends: for tests in which several processes share a database.
func Open(t testing.TB, databaseURL string, role store.Role) *pgxpool.Pool {
	t.Helper()
	pool, err := store.Open(t.Context(), databaseURL, role, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Cluster returns the server with this test binary's databases.
func Cluster(t testing.TB) *postgres.Server {
	t.Helper()
	cluster.once.Do(func() { cluster.err = start() })
	if cluster.err != nil {
		t.Fatalf("storetest: %v", cluster.err)
	}
	return cluster.server
}

func start() error {
	ctx, cancel := context.WithTimeout(context.Background(), giveup.After)
	defer cancel()
	dir, err := os.MkdirTemp("", "storetest-")
	if err != nil {
		return err
	}
	cluster.dir = dir
	if err := watch(dir); err != nil {
		return err
	}
	if err := copyTemplate(ctx, dir); err != nil {
		return err
	}
	if cluster.server, err = postgres.Start(ctx, config(dir)); err != nil {
		return err
	}
	cluster.admin, err = pgxpool.New(context.Background(), cluster.server.URL())
	return err
}

func config(dir string) postgres.Config {
	return postgres.Config{
		Dir: dir, BinDir: os.Getenv("PG_BIN"), Unsafe: true,
		Settings: map[string]string{
			"max_connections": "300",
			"shared_buffers":  "64MB",
			// Many small databases come and go; no query needs their statistics.
			"max_wal_size": "512MB", "min_wal_size": "80MB",
		},
	}
}

// watchdog waits for its input to end, then stops the cluster in the folder $0, if it still
// runs, and removes the folder.
const watchdog = `
cat >/dev/null
kill -QUIT "$(head -n 1 "$0/cluster/postmaster.pid")" 2>/dev/null && sleep 1
rm -rf "$0"`

// watch starts the watchdog. The pipe to it closes when this process ends for any reason.
func watch(dir string) error {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	cluster.alive = ours                                // never closed by us
	cmd := exec.Command("/bin/sh", "-c", watchdog, dir) // #nosec G204 -- a folder that we made
	cmd.Stdin = theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for the tests
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the watchdog: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	return theirs.Close()
}

func stop() error {
	if cluster.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), giveup.After)
	defer cancel()
	if cluster.admin != nil {
		cluster.admin.Close()
	}
	return errors.Join(cluster.server.Stop(ctx), os.RemoveAll(cluster.dir))
}

func admin(t testing.TB, statement string) {
	t.Helper()
	// Not the test's context, which has ended at the time of the cleanup.
	ctx, cancel := context.WithTimeout(context.Background(), giveup.After)
	defer cancel()
	if _, err := cluster.admin.Exec(ctx, statement); err != nil {
		t.Fatalf("storetest: %v", err)
	}
}

// named returns the URL with another database.
func named(databaseURL, name string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		panic(err) // we made it ourselves
	}
	u.Path = "/" + name
	return u.String()
}
