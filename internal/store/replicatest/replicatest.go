// Package replicatest gives a test a Postgres server with a replica that can lag and be failed
// over to. It has the requirements of package embedded. A test with it takes some seconds.
package replicatest

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/embedded/postgres"
	"postern/internal/giveup"
	"postern/internal/store"
)

// Pair is a primary with the schema, and a replica that follows it.
type Pair struct {
	Primary, Replica *postgres.Server
}

// New starts a pair, which ends with the test.
func New(t testing.TB) *Pair {
	t.Helper()
	p := &Pair{Primary: start(t, folder(t), "primary")}
	if err := store.Migrate(t.Context(), p.Primary.URL(), nil); err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	p.copy(t, filepath.Join(dir, "cluster"))
	p.Replica = start(t, dir, "replica")
	return p
}

// folder makes a folder that the server's user can read, unlike t.TempDir.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "replicatest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func start(t testing.TB, dir, name string) *postgres.Server {
	t.Helper()
	server, err := postgres.Start(t.Context(), postgres.Config{Dir: dir, BinDir: os.Getenv("PG_BIN"), Unsafe: true,
		Settings: map[string]string{"shared_buffers": "32MB", "cluster_name": name, "wal_keep_size": "256MB"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), giveup.After)
		defer cancel()
		_ = server.Stop(ctx)
	})
	return server
}

// copy makes a base backup of the primary that follows it.
func (p *Pair) copy(t testing.TB, to string) {
	t.Helper()
	var bin, cluster string
	p.query(t, p.Primary, `SELECT (SELECT setting FROM pg_config WHERE name = 'BINDIR'), current_setting('data_directory')`, &bin, &cluster)
	u, err := url.Parse(p.Primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "pg_basebackup"), "--host", u.Query().Get("host"), "--username", u.User.Username(), // #nosec G204 -- the server's own
		"--pgdata", to, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	cmd.Dir = "/"
	if os.Geteuid() == 0 { // the server runs as another user
		info, err := os.Stat(filepath.Join(filepath.Dir(u.Query().Get("host")), "cluster"))
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		if err := os.Chown(filepath.Dir(to), int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
}

// URL names the server of the two that accepts writes, like DATABASE_URL for a managed pair.
func (p *Pair) URL(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(p.Primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	other, err := url.Parse(p.Replica.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("host", q.Get("host")+","+other.Query().Get("host"))
	q.Set("port", q.Get("port")+","+other.Query().Get("port"))
	q.Set("target_session_attrs", "read-write")
	u.RawQuery = q.Encode()
	return u.String()
}

// Lag waits until the replica has everything, and then stops the replication.
func (p *Pair) Lag(t testing.TB) {
	t.Helper()
	var at string
	p.query(t, p.Primary, `SELECT pg_current_wal_flush_lsn()::text`, &at)
	p.await(t, p.Replica, `SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn`, at)
	p.exec(t, p.Replica, `ALTER SYSTEM SET primary_conninfo = ''`)
	p.exec(t, p.Replica, `SELECT pg_reload_conf()`)
	p.await(t, p.Replica, `SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)`)
	p.await(t, p.Primary, `SELECT NOT EXISTS (SELECT FROM pg_stat_replication)`)
}

// FailOver ends the primary and promotes the replica.
func (p *Pair) FailOver(t testing.TB) {
	t.Helper()
	if err := p.Primary.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.exec(t, p.Replica, `SELECT pg_promote()`)
	p.await(t, p.Replica, `SELECT NOT pg_is_in_recovery()`)
}

func (p *Pair) exec(t testing.TB, server *postgres.Server, sql string) {
	t.Helper()
	conn := connect(t, server)
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (p *Pair) query(t testing.TB, server *postgres.Server, sql string, to ...any) {
	t.Helper()
	conn := connect(t, server)
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), sql).Scan(to...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// await polls, because a replica does not notify its clients.
func (p *Pair) await(t testing.TB, server *postgres.Server, sql string, args ...any) {
	t.Helper()
	conn := connect(t, server)
	defer func() { _ = conn.Close(context.Background()) }()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(giveup.After); ; {
		var holds bool
		if err := conn.QueryRow(t.Context(), sql, args...).Scan(&holds); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if holds {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("it never came to hold: %s", sql)
		}
	}
}

func connect(t testing.TB, server *postgres.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
