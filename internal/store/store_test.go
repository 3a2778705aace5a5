package store_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"postern/internal/giveup"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// lines is a log whose lines a test can wait for.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

func (l lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// await returns when a line with text was logged.
func (l lines) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.After(giveup.After); ; {
		select {
		case line := <-l:
			if strings.Contains(line, text) {
				return
			}
		case <-deadline:
			t.Fatalf("nothing was logged with %q", text)
		}
	}
}

func TestARoleIsTakenOnAndCannotBeLeftByAccident(t *testing.T) {
	url := storetest.New(t)
	for _, role := range []store.Role{store.RoleAPI, store.RoleFanout, store.RoleNotify, store.RoleRecorder} {
		conn, err := storetest.Open(t, url, role).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		if _, err := conn.Exec(t.Context(), `RESET ALL`); err != nil {
			t.Fatal(err)
		}
		var user, name string
		err = conn.QueryRow(t.Context(), `SELECT current_user, current_setting('application_name')`).Scan(&user, &name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{string(role), string(role)}, []string{user, name}); diff != "" {
			t.Errorf("role and application name (-want +got):\n%s", diff)
		}
	}
}

// Only the recorder may write what the record says.
func TestOnlyTheRecorderWritesTheRecord(t *testing.T) {
	url := storetest.New(t)
	for _, role := range []store.Role{store.RoleAPI, store.RoleFanout, store.RoleNotify} {
		_, err := storetest.Open(t, url, role).Exec(t.Context(), `UPDATE record.position SET seq = 7`)
		if refused := new(pgconn.PgError); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: UPDATE of record.position: got %v, want permission denied", role, err)
		}
	}
	_, err := storetest.Open(t, url, store.RoleRecorder).Exec(t.Context(), `UPDATE record.position SET seq = 7`)
	if err != nil {
		t.Errorf("the recorder: %v", err)
	}
}

func TestOpenWaitsForADatabaseThatIsNotThereYet(t *testing.T) {
	admin := storetest.Pool(t, store.RoleAdmin)
	later, err := url.Parse(storetest.Cluster(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	later.Path = "/made_later"
	said := make(lines, 100)
	opened := make(chan error, 1)
	go func() {
		pool, err := store.Open(t.Context(), later.String(), store.RoleAdmin, 2, said.logger())
		if err == nil {
			pool.Close()
		}
		opened <- err
	}()

	said.await(t, "waiting for the database")
	if _, err := admin.Exec(t.Context(), `CREATE DATABASE made_later`); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestOpenGivesUpWhenToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	said := make(lines, 100)
	opened := make(chan error, 1)
	go func() {
		_, err := store.Open(ctx, "postgres:///none?host="+url.QueryEscape(t.TempDir()), store.RoleAdmin, 2, said.logger())
		opened <- err
	}()

	said.await(t, "waiting for the database")
	cancel()
	if err := <-opened; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}

// Waiting mends neither.
func TestOpenRefusesAtOnceWhatOnlyTheOperatorCanMend(t *testing.T) {
	stranger, err := url.Parse(storetest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	stranger.User = url.UserPassword("stranger", "geheim")
	for name, databaseURL := range map[string]string{
		"an unknown user": stranger.String(),
		"no URL":          "postgres://user:geheim@host:port/",
	} {
		_, err := store.Open(t.Context(), databaseURL, store.RoleAdmin, 2, nil)
		if err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: got %v, want an error without the password", name, err)
		}
	}
}

func TestManyMigrateAtOnce(t *testing.T) {
	url := storetest.Empty(t)
	var processes errgroup.Group
	for range 4 {
		processes.Go(func() error { return store.Migrate(t.Context(), url, nil) })
	}
	if err := processes.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := store.WaitMigrated(t.Context(), storetest.Open(t, url, store.RoleFanout), nil); err != nil {
		t.Error(err)
	}
}

// A login user that may not change the schema waits for one that may.
func TestTryMigrateWaitsWhereItMayNotMigrate(t *testing.T) {
	databaseURL := storetest.Empty(t)
	_, err := storetest.Open(t, databaseURL, store.RoleAdmin).Exec(t.Context(), `CREATE ROLE modest LOGIN`)
	if err != nil {
		t.Fatal(err)
	}
	modest, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	modest.User = url.User("modest")
	said := make(lines, 100)
	tried := make(chan error, 1)
	go func() { tried <- store.TryMigrate(t.Context(), modest.String(), said.logger()) }()

	said.await(t, "waiting for the schema")
	if err := store.TryMigrate(t.Context(), databaseURL, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-tried; err != nil {
		t.Error(err)
	}
}

// A database that goes away between two connections, as one that is restarted
// does, is waited for: a process starts before or after what it needs.
func TestTryMigrateOutlivesADatabaseThatGoesAway(t *testing.T) {
	databaseURL, err := url.Parse(storetest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(databaseURL.Query().Get("host"), ".s.PGSQL."+databaseURL.Query().Get("port"))
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	go func() {
		for n := 1; ; n++ {
			client, err := front.Accept()
			if err != nil {
				return
			}
			if n == 2 { // the first of Migrate, after that of Open
				_ = client.Close()
				continue
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		}
	}()
	behind := *databaseURL
	behind.Host, behind.RawQuery = front.Addr().String(), "sslmode=disable"
	said := make(lines, 100)
	if err := store.TryMigrate(t.Context(), behind.String(), said.logger()); err != nil {
		t.Fatal(err)
	}
	said.await(t, "migrating the schema")
	if err := store.WaitMigrated(t.Context(), storetest.Open(t, databaseURL.String(), store.RoleAdmin), nil); err != nil {
		t.Error(err)
	}
}

// A connection for lookups plans a statement once, and not for each argument.
func TestLookupsArePlannedOnce(t *testing.T) {
	pool, err := store.OpenLookups(t.Context(), storetest.New(t), store.RoleAPI, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	const query = `SELECT count(*) FROM app.portal_users WHERE portal_user_no = ANY($1)`
	for n := range 3 {
		if _, err := pool.Exec(t.Context(), query, make([]int32, n)); err != nil {
			t.Fatal(err)
		}
	}
	var once, again int
	if err := pool.QueryRow(t.Context(), `SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1`, query).Scan(&once, &again); err != nil {
		t.Fatal(err)
	}
	if once != 3 || again != 0 {
		t.Errorf("Postgres used a plan for all arguments %d times, and made one for the given arguments %d times", once, again)
	}
}
