package process_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/config"
	"postern/internal/content"
	"postern/internal/process"
	"postern/internal/proof/checkpoint"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/telemetry"
)

// A process refuses a key, a content store or a database that is not the one of the data
// beside it, says what to do, and starts once an operator has said what is lost.
func TestProcessesRefuseWhatDoesNotBelong(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.send()
	pool := storetest.Open(t, c.database, store.RoleAdmin)
	dir := t.TempDir()
	otherKey, signs, otherSigns := filepath.Join(dir, "content.key"), filepath.Join(dir, "checkpoint.key"), filepath.Join(dir, "other.key")
	if _, err := content.CreateKeyFile(otherKey); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{signs, otherSigns} {
		if _, err := checkpoint.CreateKeyFile(file, ""); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := checkpoint.ReadKeyFile(signs)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := checkpoint.Checkpoint{Size: 1, Root: tlog.Hash{}}.Sign(keys.Signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `INSERT INTO app.checkpoints (size, root, signed) VALUES (1, $1, $2)`, make([]byte, 32), signed); err != nil {
		t.Fatal(err)
	}
	empty := storetest.New(t)
	made := func(interval string) {
		t.Helper()
		if _, err := storetest.Open(t, empty, store.RoleAdmin).Exec(t.Context(), `UPDATE app.database SET made_at = now() + $1::interval`, interval); err != nil {
			t.Fatal(err)
		}
	}
	made("1 hour")
	lost := func(database, part string) {
		t.Helper()
		if _, err := storetest.Open(t, database, store.RoleAdmin).Exec(t.Context(), `INSERT INTO app.losses (part, accepted_by) VALUES ($1, 'operator:o')`, part); err != nil {
			t.Fatal(err)
		}
	}
	right := config.Config{DatabaseURL: c.database, RecordReplicas: 1, ContentURL: c.content, ContentKeyFile: c.key, CheckpointKeyFile: signs, PublicURL: "http://portal.example.test"}
	run := map[config.Process]func(context.Context, config.Config, *telemetry.Telemetry, *slog.Logger) error{
		config.API: process.API, config.Fanout: process.Fanout, config.Recorder: process.Recorder}
	check := func(what string, change func(*config.Config), says ...string) {
		t.Helper()
		settings := right
		change(&settings)
		settings.NATSURL = c.server.ClientURL(string(config.API))
		err := process.Fit(t.Context(), settings, telemetry.New(), slog.New(slog.DiscardHandler))
		if (err != nil) != (len(says) > 0) {
			t.Errorf("%s: %v", what, err)
		}
		for _, part := range says {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: it does not say %q: %v", what, part, err)
			}
		}
	}
	refuses := func(p config.Process, what string, change func(*config.Config)) {
		t.Helper()
		settings := right
		change(&settings)
		settings.NATSURL = c.server.ClientURL(string(p))
		if err := run[p](t.Context(), settings, telemetry.New(), slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s ran with %s", p, what)
		}
	}
	check("all as it was", func(*config.Config) {})

	more := right
	more.NATSURL, more.RecordReplicas = c.server.ClientURL(string(config.API)), 3
	var said bytes.Buffer
	if err := process.Fit(t.Context(), more, telemetry.New(), slog.New(slog.NewTextHandler(&said, nil))); err != nil || !strings.Contains(said.String(), "postern migrate") {
		t.Errorf("with fewer replicas than RECORD_REPLICAS it says %s, %v", &said, err)
	}

	key := func(s *config.Config) { s.ContentKeyFile = otherKey }
	check("another content key", key, otherKey, "postern recover --without content.key")
	refuses(config.API, "another content key", key)
	refuses(config.Fanout, "another content key", key)
	none := filepath.Join(dir, "none")
	check("no content key", func(s *config.Config) { s.ContentKeyFile = none }, none, "restore it")
	bucket := func(s *config.Config) { s.ContentURL = filepath.Join(dir, "empty") }
	check("an empty content store", bucket, filepath.Join(dir, "empty"), "postern recover --without content")
	refuses(config.API, "an empty content store", bucket)
	signer := func(s *config.Config) { s.CheckpointKeyFile = otherSigns }
	check("another checkpoint key", signer, otherSigns, "postern recover --without checkpoint.key")
	refuses(config.Recorder, "another checkpoint key", signer)
	check("no checkpoint key", func(s *config.Config) { s.CheckpointKeyFile = none }, none, "postern recover --without checkpoint.key")
	if _, err := os.Stat(none); err == nil {
		t.Error("a key was made")
	}
	database := func(s *config.Config) { s.DatabaseURL = empty }
	check("a new database", database, "the database is empty", "postern recover --without postgres")
	refuses(config.API, "a new database", database)
	refuses(config.Recorder, "a new database", database)

	lost(c.database, "content.key")
	check("another content key, and the first is lost", key)
	lost(c.database, "content")
	check("an empty content store, and the first is lost", bucket)
	lost(empty, "postgres")
	check("a new database, and the first is lost", database)
	verifiers, err := keys.Known()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.CreateSuccessor(otherSigns, verifiers); err != nil {
		t.Fatal(err)
	}
	check("another checkpoint key that knows the first", signer)
}

// A process that starts waits for Postgres at each statement: the start succeeds although all
// connections end once, before any of the messages that it sends to Postgres.
func TestAStartWaitsForPostgres(t *testing.T) {
	t.Parallel()
	c := open(t)
	c.send()
	signs := filepath.Join(t.TempDir(), "checkpoint.key")
	if _, err := checkpoint.CreateKeyFile(signs, ""); err != nil {
		t.Fatal(err)
	}
	front := newFront(t, c.database)
	for at := int64(1); ; at++ {
		front.endBefore(at)
		err := process.Fit(t.Context(), config.Config{DatabaseURL: front.url, NATSURL: c.server.ClientURL(string(config.API)), RecordReplicas: 1, ContentURL: c.content,
			ContentKeyFile: c.key, CheckpointKeyFile: signs, PublicURL: "http://portal.example.test"}, telemetry.New(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("without Postgres at message %d: %v", at, err)
		}
		if front.messages.Load() < at {
			break // the whole start has fewer messages
		}
	}
}

// front is a unix socket in front of Postgres.
type front struct {
	url      string
	messages atomic.Int64 // what was read from clients since endBefore
	end      atomic.Int64

	mu    sync.Mutex
	conns []net.Conn
}

func newFront(t *testing.T, databaseURL string) *front {
	t.Helper()
	at, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	query := at.Query()
	behind := filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port"))
	dir, err := os.MkdirTemp("", "front-") // not t.TempDir: the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	query.Set("host", dir)
	query.Set("port", "5432")
	at.RawQuery = query.Encode()
	f := &front{url: at.String()}
	t.Cleanup(func() { _ = listener.Close(); f.endAll() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", behind)
			if err != nil {
				_ = client.Close()
				continue
			}
			f.mu.Lock()
			f.conns = append(f.conns, client, server)
			f.mu.Unlock()
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
			go f.forward(client, server)
		}
	}()
	return f
}

func (f *front) forward(client, server net.Conn) {
	defer func() { _ = server.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if f.messages.Add(1) == f.end.Load() {
			f.endAll()
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// endBefore ends all connections once, before the message with this number.
func (f *front) endBefore(message int64) {
	f.messages.Store(0)
	f.end.Store(message)
}

func (f *front) endAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		_ = conn.Close()
	}
	f.conns = nil
}
