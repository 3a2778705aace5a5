package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
	"postern/internal/events"
	"postern/internal/giveup"
)

// passwordOf returns the name of the variable with the password of a NATS user.
func passwordOf(process string) string {
	return "NATS_" + strings.ToUpper(strings.TrimSuffix(process, "-worker")) + "_PASSWORD"
}

// usersConf returns the expected text of nats-users.conf.
func usersConf() string {
	var b strings.Builder
	fmt.Fprintln(&b, "# Made from eventlog.PermissionsOf by `go generate ./deploy`: do not edit.")
	fmt.Fprintln(&b, "users: [")
	for _, process := range eventlog.Processes() {
		p := eventlog.PermissionsOf(process)
		fmt.Fprintf(&b, "  {\n    user: %q\n    password: $%s\n    permissions: {\n", process, passwordOf(process))
		for _, of := range []struct {
			what     string
			subjects []string
		}{{"publish", p.Publish}, {"subscribe", p.Subscribe}} {
			fmt.Fprintf(&b, "      %s: [\n", of.what)
			for _, subject := range of.subjects {
				fmt.Fprintf(&b, "        %q\n", subject)
			}
			fmt.Fprintln(&b, "      ]")
		}
		fmt.Fprintln(&b, "    }\n  }")
	}
	fmt.Fprintln(&b, "]")
	return b.String()
}

func TestNATSUsers(t *testing.T) {
	if *update {
		if err := os.WriteFile("nats-users.conf", []byte(usersConf()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, "nats-users.conf") != usersConf() {
		t.Error("nats-users.conf differs from the permissions in the code: run `go generate ./deploy`")
	}
}

// natsOptions returns the options that the server in the container reads.
func natsOptions(t *testing.T) *server.Options {
	t.Helper()
	env := filled(t)
	for _, process := range eventlog.Processes() {
		name := passwordOf(process)
		if env[name] == "" {
			t.Fatalf("env.example lacks %s", name)
		}
		t.Setenv(name, env[name])
	}
	certFile, keyFile := authority(t).Issue(t, "nats", "127.0.0.1")
	t.Setenv("NATS_CERT_FILE", certFile)
	t.Setenv("NATS_KEY_FILE", keyFile)
	opts, err := server.ProcessConfigFile("nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	return opts
}

func TestNATSConf(t *testing.T) {
	opts := natsOptions(t)
	if !opts.JetStream || !opts.SyncAlways || opts.StoreDir != "/data" {
		t.Errorf("JetStream %v in %s, synced always: %v", opts.JetStream, opts.StoreDir, opts.SyncAlways)
	}
	if opts.HTTPHost != "127.0.0.1" || opts.HTTPPort != 8222 || opts.Port != 4222 {
		t.Errorf("it listens at port %d, and for health checks at %s:%d", opts.Port, opts.HTTPHost, opts.HTTPPort)
	}
	if opts.TLSConfig == nil || opts.AllowNonTLS {
		t.Error("it accepts connections that are not encrypted")
	}
	for _, u := range opts.Users {
		want := eventlog.PermissionsOf(u.Username)
		if !slices.Equal(u.Permissions.Publish.Allow, want.Publish) || !slices.Equal(u.Permissions.Subscribe.Allow, want.Subscribe) {
			t.Errorf("the permissions of %s differ from those in the code", u.Username)
		}
	}
}

// A real server with these files lets each process do its work, and does not let it
// change the stream.
func TestWhatUsersMayDo(t *testing.T) {
	opts := natsOptions(t)
	opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
	opts.StoreDir, opts.NoSigs, opts.NoLog = t.TempDir(), true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(giveup.After) {
		t.Fatal("the server does not start")
	}
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	logs := map[string]*eventlog.Log{}
	conns := map[string]*nats.Conn{}
	for _, process := range eventlog.Processes() {
		conns[process], err = nats.Connect(s.ClientURL(), nats.UserInfo(process, os.Getenv(passwordOf(process))), nats.RootCAs(authority(t).File),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatalf("%s: %v", process, err)
		}
		defer conns[process].Close()
		logs[process] = eventlog.New(conns[process], nil)
	}
	if err := logs[events.Admin].Ensure(ctx, 1); err != nil {
		t.Fatal(err)
	}

	id := uuid.New()
	opened, err := events.New("/api", "portal_user:pu-1", time.Now(), events.DeliveryOpened{MessageID: id, PortalUserID: "pu-1", PortalUserNo: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := logs[events.API].Publish(ctx, opened); err != nil {
		t.Errorf("the api may not publish: %v", err)
	}
	for _, process := range []string{events.API, events.FanoutWorker, events.NotifyWorker, events.Recorder} {
		if err := logs[process].Ensure(ctx, 1); err != nil {
			t.Errorf("%s does not find the expected stream: %v", process, err)
		}
		checkPublishRights(t, process, conns[process])
	}
	state, err := logs[events.Admin].State(ctx)
	if err != nil || state.First != 1 || state.Deleted != 0 || state.Msgs != state.Last {
		t.Errorf("the stream is %+v: %v", state, err)
	}
}

// checkPublishRights tries to publish every type of event, and every subject that is
// forbidden to all processes.
func checkPublishRights(t *testing.T, process string, conn *nats.Conn) {
	t.Helper()
	for _, d := range events.Registry() {
		kind := d.Type
		subject := strings.Replace(kind.Filter(), "*", "7", 1)
		if got, want := mayPublish(t, conn, subject), eventlog.MayPublish(process, kind); got != want {
			t.Errorf("%s may publish %s: %v, want %v", process, kind, got, want)
		}
	}
	for _, subject := range eventlogtest.Forbidden() {
		if mayPublish(t, conn, subject) {
			t.Errorf("%s may publish to %s", process, subject)
		}
	}
}

// mayPublish tries to publish an empty message. The server sends a refusal before its
// answer to the flush.
func mayPublish(t *testing.T, conn *nats.Conn, subject string) bool {
	t.Helper()
	if err := errors.Join(conn.Publish(subject, nil), conn.Flush()); err != nil {
		t.Fatal(err)
	}
	err := conn.LastError()
	return !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), strconv.Quote(subject))
}
