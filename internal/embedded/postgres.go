package embedded

import (
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
)

// Both the superuser and the database of the private PostgreSQL have this name.
const postgresName = "postern"

// stopBound is how long a fast shutdown, which ends in a checkpoint, may take
// before it becomes an immediate one, which costs a recovery at the next start.
const stopBound = 30 * time.Second

// PostgresConfig says where the private PostgreSQL lives.
type PostgresConfig struct {
	// Dir is the folder that holds the cluster, its log and its socket. It is
	// created if need be and never removed.
	Dir string
	// BinDir is the folder with initdb and postgres, or "" to look for it: in
	// PATH, where Linux distributions install it, where Homebrew does.
	BinDir string
	// Logger gets what the supervisor does; nil is silence. The server's own
	// log is the file postgres.log in Dir.
	Logger *slog.Logger
	// Unsafe turns fsync off. For tests: what was committed survives kill -9,
	// but a power cut destroys the cluster.
	Unsafe bool
	// Settings are added to, or replace, the server's settings.
	Settings map[string]string
}

// Postgres is a private PostgreSQL server on a unix socket that only this
// user can reach.
type Postgres struct {
	cfg     PostgresConfig
	log     *slog.Logger
	lock    *folderLock
	install installation
	owner   owner
	cluster string // the PostgreSQL data folder, inside cfg.Dir

	mu     sync.Mutex // held through starts and stops
	server *postmaster
	socket string // the folder of the unix socket
	done   chan struct{}
	closed bool
}

// StartPostgres starts the server over cfg.Dir, or takes over the one that a
// killed predecessor left running there, and returns when it answers. The first
// time it creates the cluster and the database.
//
// Errors wrap [ErrInUse] when another process supervises the folder,
// [ErrNoPostgres] when none is installed, [ErrOtherVersion] when the folder was
// made by a major version that is not installed.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the folder of PostgreSQL: %w", err)
	}
	cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the folder of PostgreSQL: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	p := &Postgres{cfg: cfg, log: cfg.Logger, lock: lock, cluster: filepath.Join(dir, "cluster")}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if err := p.open(ctx); err != nil {
		// The caller's context may be what failed; what was started must go all the same.
		return nil, errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	return p, nil
}

func (p *Postgres) open(ctx context.Context) error {
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

// start brings the server up, p.mu held.
func (p *Postgres) start(ctx context.Context) error {
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
			p.log.Error("PostgreSQL ended by itself", "pid", server.pid, "log", p.logPath())
			close(done)
		}
	}()
	return nil
}

// createDatabase is done at every start, because a crash may have come between
// the cluster and its database.
func (p *Postgres) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, socketURL(p.socket, "postgres"))
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

// URL is the DATABASE_URL of the server. It may change at [Postgres.Restart].
func (p *Postgres) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return socketURL(p.socket, postgresName)
}

// PID is the process id of the postmaster.
func (p *Postgres) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return 0
	}
	return p.server.pid
}

// Done is closed when the server has ended without [Postgres.Stop] or
// [Postgres.Restart]. Each start has a channel of its own.
func (p *Postgres) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Restart starts the server again, after it ended by itself or to have it anew.
// Connections to the old one are broken.
func (p *Postgres) Restart(ctx context.Context) error {
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

// Stop ends the server in good order: connections are cut, what was committed
// is checkpointed. When ctx ends first, or after half a minute, it is ended at
// once, which loses nothing but makes the next start recover. Stopping twice is
// no error.
func (p *Postgres) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	err := p.stop(ctx)
	return errors.Join(err, p.removeSocketDir(), p.lock.release())
}

// stop ends the running server, if any, p.mu held.
func (p *Postgres) stop(ctx context.Context) error {
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

func (p *Postgres) logPath() string { return filepath.Join(p.cfg.Dir, "postgres.log") }

// socketURL is the libpq URL of a database on the unix socket in dir.
func socketURL(dir, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(postgresName),
		Path:     "/" + database,
		RawQuery: url.Values{"host": {dir}, "port": {postgresPort}, "sslmode": {"disable"}}.Encode(),
	}
	return u.String()
}

// RunningPostgres returns the DATABASE_URL of the server that runs over dir
// under another process's care, or "" when none does.
func RunningPostgres(dir string) string {
	cluster, err := filepath.Abs(filepath.Join(dir, "cluster"))
	if err != nil {
		return ""
	}
	file, err := readPIDFile(cluster)
	if err != nil || !isPostmaster(file.pid, cluster) {
		return ""
	}
	return socketURL(file.socketDir, postgresName)
}
