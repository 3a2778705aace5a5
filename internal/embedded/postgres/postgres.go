// Package postgres runs a private PostgreSQL server beside this process, on a unix socket. It
// owns a folder, holds the folder's lock while it runs, and never deletes data.
//
// Acknowledged data survives a power cut: PostgreSQL runs with fsync and synchronous
// commits. [Config.Unsafe] is for tests.
//
// When this process dies, PostgreSQL continues to run in its own session. The next [Start]
// over the folder takes it over if possible, or starts it again.
//
// All methods may be called concurrently.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/embedded/filelock"
)

// postgresName is the name of the superuser and of the database.
const postgresName = "postern"

// stopBound is the timeout of a fast shutdown, which ends with a checkpoint. After it the
// server is shut down immediately, which costs a recovery at the next start.
const stopBound = 30 * time.Second

// Config configures the private PostgreSQL.
type Config struct {
	// Dir is the folder with the cluster, its log and its socket. It is created if
	// necessary and never removed.
	Dir string
	// BinDir is the folder with initdb and postgres. If it is "", they are searched in
	// PATH and in the folders of Linux distributions and Homebrew.
	BinDir string
	// Logger receives the supervisor's log; nil discards it. The server's own log is
	// the file postgres.log in Dir.
	Logger *slog.Logger
	// Unsafe turns fsync off, for tests. Committed data survives kill -9, but a power
	// cut destroys the cluster.
	Unsafe bool
	// Settings are added to, or replace, the server's settings.
	Settings map[string]string
}

// Server is a private PostgreSQL server on a unix socket that only this user can
// connect to.
type Server struct {
	cfg     Config
	log     *slog.Logger
	lock    *filelock.Lock
	install installation
	owner   owner
	cluster string // the PostgreSQL data folder, inside cfg.Dir

	mu     sync.Mutex // held through starts and stops
	server *postmaster
	socket string // the folder of the unix socket
	done   chan struct{}
	closed bool
}

// Start starts the server over cfg.Dir, or takes over a server that still runs
// there because the last process was killed. It returns when the server answers. The first
// time it creates the cluster and the database.
//
// Errors wrap [filelock.ErrInUse] if another process supervises the folder, [ErrNotInstalled] if
// PostgreSQL is not installed, and [ErrOtherVersion] if the folder was made by a major
// version that is not installed.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the folder of PostgreSQL: %w", err)
	}
	cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the folder of PostgreSQL: %w", err)
	}
	lock, err := filelock.Take(dir)
	if err != nil {
		return nil, err
	}
	p := &Server{cfg: cfg, log: cfg.Logger, lock: lock, cluster: filepath.Join(dir, "cluster")}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if err := p.open(ctx); err != nil {
		// The context may have ended, but a server that was started must be stopped.
		return nil, errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	return p, nil
}

func (p *Server) open(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	major, err := clusterVersion(p.cluster)
	if err != nil {
		return err
	}
	if p.owner, err = ownerOf(p.cluster); err != nil {
		return err
	}
	if p.install, err = findPostgres(ctx, p.cfg.BinDir, major); err != nil {
		return err
	}
	p.removeLeftovers()
	if major == 0 {
		if err := p.createCluster(ctx); err != nil {
			return err
		}
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	return p.createDatabase(ctx)
}

// start starts or takes over the server. The caller holds p.mu.
func (p *Server) start(ctx context.Context) error {
	server, err := p.adopt(ctx)
	if err == nil && server == nil {
		server, err = p.launch(ctx)
	}
	if err != nil {
		return err
	}
	done := make(chan struct{})
	p.server, p.done = server, done
	go func() {
		<-server.exited
		if !server.stopping.Load() {
			p.log.Error("PostgreSQL ended unexpectedly", "pid", server.pid, "log", p.logPath())
			close(done)
		}
	}()
	return nil
}

// createDatabase creates the database if it does not exist. It is called at every start,
// because a crash may have happened after the cluster was created and before this.
func (p *Server) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.socketURL("postgres"))
	if err != nil {
		return fmt.Errorf("connecting to the new PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	var there bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, postgresName).Scan(&there)
	if err == nil && !there {
		_, err = conn.Exec(ctx, `CREATE DATABASE `+postgresName)
	}
	if err != nil {
		return fmt.Errorf("creating the database: %w", err)
	}
	return nil
}

// URL returns the DATABASE_URL of the server. It may change in [Postgres.Restart].
func (p *Server) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.socketURL(postgresName)
}

// PID returns the process id of the postmaster, 0 if none runs.
func (p *Server) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return 0
	}
	return p.server.pid
}

// Done returns a channel that is closed if the server ends without [Postgres.Stop] or
// [Postgres.Restart]. Each start has its own channel.
func (p *Server) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Restart starts the server again, after an unexpected end or to replace a running one.
// Connections to the old server are broken.
func (p *Server) Restart(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("restarting PostgreSQL: it was stopped")
	}
	if err := p.stop(ctx); err != nil {
		return err
	}
	return p.start(ctx)
}

// Stop shuts the server down: connections are closed, and committed data is checkpointed.
// If ctx ends first, or after half a minute, the server is shut down immediately, which
// loses no data but makes the next start recover. A second call does nothing.
func (p *Server) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	err := p.stop(ctx)
	return errors.Join(err, p.removeSocketDir(), p.lock.Release())
}

// stop ends the running server, if there is one. The caller holds p.mu.
func (p *Server) stop(ctx context.Context) error {
	if p.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopBound)
	defer cancel()
	if err := p.server.stop(ctx); err != nil {
		return err
	}
	p.server = nil
	return nil
}

func (p *Server) logPath() string { return filepath.Join(p.cfg.Dir, "postgres.log") }

// socketURL returns the libpq URL of a database of the server.
func (p *Server) socketURL(database string) string {
	return socketURL(p.socket, cmp.Or(p.cfg.Settings["port"], postgresPort), database)
}

// socketURL returns the libpq URL of a database on the unix socket in dir.
func socketURL(dir, port, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(postgresName),
		Path:     "/" + database,
		RawQuery: url.Values{"host": {dir}, "port": {port}, "sslmode": {"disable"}}.Encode(),
	}
	return u.String()
}

// Running returns the DATABASE_URL of the server that another process runs over
// dir, or "" if there is none.
func Running(dir string) string {
	cluster, err := filepath.Abs(filepath.Join(dir, "cluster"))
	if err != nil {
		return ""
	}
	file, err := readPIDFile(cluster)
	if err != nil || !isPostmaster(file.pid, cluster) {
		return ""
	}
	return socketURL(file.socketDir, postgresPort, postgresName)
}
