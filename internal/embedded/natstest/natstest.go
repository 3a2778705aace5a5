// Package natstest starts embedded NATS servers for tests, each over a new folder. A
// stream that is deleted and created again with the same name can contain old msgs.
package natstest

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded"
	"postern/internal/embedded/porttest"
	"postern/internal/giveup"
)

// Option changes the config of a server.
type Option func(*embedded.NATSConfig)

// Users sets the users that may sign in.
func Users(users ...embedded.User) Option {
	return func(cfg *embedded.NATSConfig) { cfg.Users = users }
}

// Listening makes the server listen on a free port of the loopback interface.
func Listening() Option {
	return func(cfg *embedded.NATSConfig) { cfg.Listen = "127.0.0.1:0" }
}

// Over runs the server over a given folder, for restarts.
func Over(dir string) Option {
	return func(cfg *embedded.NATSConfig) { cfg.StoreDir = dir }
}

// Start starts a server that ends with the test. By default it uses a new folder, and only
// this process can connect.
func Start(t testing.TB, opts ...Option) *embedded.NATS {
	t.Helper()
	cfg := embedded.NATSConfig{}
	for _, opt := range opts {
		opt(&cfg)
	}
	if cfg.StoreDir == "" {
		cfg.StoreDir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	n, err := embedded.StartNATS(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// Connect signs the user in. The connection ends with the test.
func Connect(t testing.TB, n *embedded.NATS, user string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := n.Connect(user, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// JetStream returns a JetStream client, for a server without users.
func JetStream(t testing.TB, n *embedded.NATS) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(Connect(t, n, "test"))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Cluster starts a cluster of size servers in this process, and returns when it has a
// leader. The servers end with the test; a test may shut down or restart them before.
func Cluster(t testing.TB, size int, opts ...Option) []*embedded.NATS {
	t.Helper()
	ports := porttest.Free(t, size) // each server must know all before any of them listens
	var routes []*url.URL
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	dir := t.TempDir()
	var servers []*embedded.NATS
	for i, port := range ports {
		servers = append(servers, Start(t, append(opts, Over(filepath.Join(dir, fmt.Sprint(i))), func(cfg *embedded.NATSConfig) {
			cfg.Listen = "127.0.0.1:0" // a server without a client port opens no routes
			cfg.Adjust = func(o *server.Options) {
				o.ServerName = fmt.Sprintf("postern-%d", i)
				o.Cluster = server.ClusterOpts{Name: "postern", Host: "127.0.0.1", Port: port}
				o.Routes = routes
			}
		})...))
	}
	AwaitLeader(t, servers)
	return servers
}

// AwaitLeader returns when one of the servers leads the cluster. It polls, because the
// server has no notification for that.
func AwaitLeader(t testing.TB, servers []*embedded.NATS) {
	t.Helper()
	deadline := time.After(giveup.After)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		for _, n := range servers {
			if n.Server().JetStreamIsLeader() && len(n.Server().JetStreamClusterPeers()) >= len(servers) {
				return
			}
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("natstest: the servers elected no leader")
		}
	}
}
