package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"postern/internal/embedded/filelock"
)

// ErrNotDurable is the error if the server would acknowledge data before syncing it.
var ErrNotDurable = errors.New("the NATS server must sync every write before it acknowledges it (SyncAlways)")

// NATSConfig configures the embedded NATS server.
type NATSConfig struct {
	// StoreDir is the folder of JetStream. It is created if necessary and never
	// removed.
	StoreDir string
	// Listen is the host:port to listen on, with port 0 for any free port. If it is
	// "", only this process can connect.
	Listen string
	// MaxPayload is the maximum size of a msg in bytes; 0 means 8 MiB.
	MaxPayload int32
	// Users are the users that may sign in. Without any, every client may do everything.
	Users []User
	// Logger receives the server's log; nil discards it.
	Logger *slog.Logger
	// Free returns the free space of a folder's disk in bytes; nil means [FreeBytes].
	Free func(dir string) (int64, error)
	// Adjust, if not nil, may change the server's options before each start, for
	// options that this struct does not have.
	Adjust func(*server.Options)
}

// NATS is a NATS server with JetStream in this process.
type NATS struct {
	cfg  NATSConfig
	log  *slog.Logger
	lock *filelock.Lock

	short atomic.Bool // too little space is free on the disk

	mu     sync.RWMutex
	server *server.Server
	addr   string // the address on which it listens, "" for none
	closed bool
}

// StartNATS starts the server over cfg.StoreDir and returns when it accepts clients. It
// waits for the recovery of the streams without a time limit.
//
// Errors wrap [ErrInUse] if another process has the folder open: two servers over one
// folder would both acknowledge data, and one of them would lose it. They wrap
// [ErrNotDurable] if the server would not sync every write.
func StartNATS(ctx context.Context, cfg NATSConfig) (*NATS, error) {
	if err := checkUsers(cfg.Users); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the folder of NATS: %w", err)
	}
	lock, err := filelock.Take(cfg.StoreDir)
	if err != nil {
		return nil, err
	}
	n := &NATS{cfg: cfg, log: cfg.Logger, lock: lock, addr: cfg.Listen}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.cfg.Free == nil {
		n.cfg.Free = FreeBytes
	}
	if err := n.start(ctx); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return n, nil
}

// start runs a new server and waits until it accepts clients. The caller holds n.mu, or
// does not share n yet.
func (n *NATS) start(ctx context.Context) error {
	opts, err := n.options()
	if err != nil {
		return err
	}
	if !opts.SyncAlways {
		return ErrNotDurable
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("preparing the NATS server: %w", err)
	}
	log := &serverLog{log: n.log, fatal: make(chan string, 1)}
	srv.SetLoggerV2(log, false, false, false)
	go srv.Start()
	if err := awaitServing(ctx, srv, log.fatal); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return err
	}
	n.server = srv
	if addr := srv.Addr(); addr != nil {
		n.addr = addr.String() // the same port again after a Restart
	}
	return nil
}

// awaitServing waits until clients can connect and JetStream is ready. If the server
// fails, it returns the reason that the server logged.
func awaitServing(ctx context.Context, srv *server.Server, fatal <-chan string) error {
	for !srv.ReadyForConnections(50 * time.Millisecond) {
		select {
		case reason := <-fatal:
			return fmt.Errorf("starting the NATS server: %s", reason)
		case <-ctx.Done():
			return fmt.Errorf("waiting for the NATS server: %w", ctx.Err())
		default:
		}
	}
	if cfg := srv.JetStreamConfig(); cfg == nil || !cfg.SyncAlways {
		return ErrNotDurable
	}
	return nil
}

// ClientURL returns the URL, including credentials, with which the user connects from
// another process, or "" if only this process can connect. It is a secret.
func (n *NATS) ClientURL(user string) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.addr == "" {
		return ""
	}
	u := url.URL{Scheme: "nats", Host: n.addr}
	if account, ok := n.user(user); ok {
		u.User = url.UserPassword(account.Name, account.Password)
	}
	return u.String()
}

// Connect signs the user in from within this process. The connection reconnects after a
// [NATS.Restart]. Without Users, user is only the name of the connection. The caller must
// close the connection.
func (n *NATS) Connect(user string, opts ...nats.Option) (*nats.Conn, error) {
	with := []nats.Option{nats.InProcessServer(n), nats.Name(user), nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond)}
	if account, ok := n.user(user); ok {
		with = append(with, nats.UserInfo(account.Name, account.Password))
	} else if len(n.cfg.Users) > 0 {
		return nil, fmt.Errorf("connecting to NATS: there is no user %q", user)
	}
	conn, err := nats.Connect("", append(with, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS as %s: %w", user, err)
	}
	return conn, nil
}

// InProcessConn implements [nats.InProcessConnProvider]. It also works after a restart.
func (n *NATS) InProcessConn() (net.Conn, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return nil, nats.ErrConnectionClosed
	}
	return n.server.InProcessConn()
}

// Server returns the running server, for its statistics.
func (n *NATS) Server() *server.Server {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.server
}

// Restart stops the server and starts it over the same folder, on the same address. It is
// needed after a full disk, because the server stays blocked after space is free again.
// Clients reconnect on their own. If Restart fails, no server runs, and Restart may be
// called again.
func (n *NATS) Restart(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errors.New("restarting NATS: it was stopped")
	}
	n.stop()
	return n.start(ctx)
}

// Shutdown stops the server, waits until everything is written and closed, and releases
// the folder. A second call does nothing.
func (n *NATS) Shutdown() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	n.stop()
	return n.lock.Release()
}

func (n *NATS) stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// options returns the server's options, from the config and the free space on the disk.
func (n *NATS) options() (*server.Options, error) {
	maxStore, err := n.storeLimit()
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName:             "postern",
		DontListen:             n.addr == "",
		NoSigs:                 true, // the caller handles signals
		JetStream:              true,
		StoreDir:               n.cfg.StoreDir,
		SyncAlways:             true,
		JetStreamMaxStore:      maxStore,
		JetStreamMaxMemory:     64 << 20, // only for short-lived data of clients; streams are in files
		DisableJetStreamBanner: true,
		MaxPayload:             n.cfg.MaxPayload,
		Users:                  serverUsers(n.cfg.Users),
	}
	if opts.MaxPayload == 0 {
		opts.MaxPayload = 8 << 20
	}
	if n.addr != "" {
		host, port, err := net.SplitHostPort(n.addr)
		if err != nil {
			return nil, fmt.Errorf("reading the address for NATS to listen at: %w", err)
		}
		if opts.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("reading the port for NATS to listen at: %w", err)
		}
		if opts.Host = host; opts.Port == 0 {
			opts.Port = server.RANDOM_PORT
		}
	}
	if n.cfg.Adjust != nil {
		n.cfg.Adjust(opts)
	}
	return opts, nil
}
