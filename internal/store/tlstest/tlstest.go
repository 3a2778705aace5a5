// Package tlstest runs a PostgreSQL that is reached over TCP, with a certificate, for tests.
package tlstest

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"postern/internal/embedded/porttest"
	"postern/internal/embedded/postgres"
	"postern/internal/giveup"
)

// Server is a PostgreSQL that ends with the test.
type Server struct {
	testing.TB
	// Address is where it listens: host:port.
	Address string

	cluster string
	server  *postgres.Server
}

// Start starts a server, still without a certificate. Over TCP, it lets in whom the text of a
// pg_hba.conf does, which must let in everyone over the unix socket. clientsFile has the authority
// of clients' certificates.
func Start(t testing.TB, hba, clientsFile string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "tlstest-") // its path fits in the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{TB: t, Address: porttest.Address(t), cluster: filepath.Join(dir, "cluster")}
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	s.server, err = postgres.Start(t.Context(), postgres.Config{Dir: dir, BinDir: os.Getenv("PG_BIN"), Unsafe: true,
		Settings: map[string]string{"shared_buffers": "32MB", "listen_addresses": host, "port": port}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), giveup.After)
		defer cancel()
		_ = s.server.Stop(ctx)
	})
	s.copy(clientsFile, "clients.pem")
	s.put("pg_hba.conf", []byte(hba))
	s.Exec(`ALTER SYSTEM SET ssl_ca_file = 'clients.pem'`)
	return s
}

// URL is the DATABASE_URL of the superuser, over the unix socket.
func (s *Server) URL() string { return s.server.URL() }

// Certify makes the server use a certificate from now on.
func (s *Server) Certify(certFile, keyFile string) {
	s.Helper()
	s.copy(certFile, "server.crt")
	s.copy(keyFile, "server.key")
	s.Exec(`ALTER SYSTEM SET ssl = on`)
}

// Uncertify makes the server answer unencrypted from now on.
func (s *Server) Uncertify() {
	s.Helper()
	s.Exec(`ALTER SYSTEM SET ssl = off`)
}

// Exec executes statements as the superuser. Then the server reads its files again.
func (s *Server) Exec(statements ...string) {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), s.server.URL())
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(s.Context())) }()
	for _, statement := range append(statements, `SELECT pg_reload_conf()`) {
		if _, err := conn.Exec(s.Context(), statement); err != nil {
			s.Fatalf("%s: %v", statement, err)
		}
	}
}

func (s *Server) copy(from, name string) {
	s.Helper()
	data, err := os.ReadFile(from) // #nosec G304 -- made by the test
	if err != nil {
		s.Fatal(err)
	}
	s.put(name, data)
}

// put writes a file of the cluster, for the user who runs the server.
func (s *Server) put(name string, data []byte) {
	s.Helper()
	path := filepath.Join(s.cluster, name)
	info, err := os.Stat(s.cluster)
	if err != nil {
		s.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.Chown(path, int(owner.Uid), int(owner.Gid))); err != nil { // #nosec G703 -- in a folder of the test
		s.Fatal(err)
	}
}
