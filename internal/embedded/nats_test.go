package embedded_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded"
	"postern/internal/embedded/filelock"
	"postern/internal/embedded/natstest"
	"postern/internal/giveup"
)

// fill creates a stream with one msg.
func fill(t *testing.T, n *embedded.NATS, replicas int) {
	t.Helper()
	js := natstest.JetStream(t, n)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept.>"}, Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "kept.one", []byte("42")); err != nil {
		t.Fatal(err)
	}
}

func checkFilled(t *testing.T, n *embedded.NATS) {
	t.Helper()
	js := natstest.JetStream(t, n)
	stream, err := js.Stream(t.Context(), "KEPT")
	// A cluster that has lost a server may still be electing a leader, and drops requests until then.
	for deadline := time.Now().Add(time.Minute); errors.Is(err, context.DeadlineExceeded) && time.Now().Before(deadline); {
		stream, err = js.Stream(t.Context(), "KEPT")
	}
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(t.Context(), 1)
	if err != nil || string(msg.Data) != "42" {
		t.Fatalf("the acknowledged msg: got %v, %v", msg, err)
	}
}

func TestNATSKeepsAcknowledgedMsgsAfterARestart(t *testing.T) {
	dir := t.TempDir()
	first := natstest.Start(t, natstest.Over(dir))
	fill(t, first, 1)
	if err := first.Shutdown(); err != nil {
		t.Fatal(err)
	}
	checkFilled(t, natstest.Start(t, natstest.Over(dir)))
}

// The process is killed right after the acknowledgement.
func TestNATSKeepsAcknowledgedMsgsAfterAKill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFiller$") // #nosec G204 -- ourselves
	cmd.Env = append(os.Environ(), "FILL="+dir)
	out, err := cmd.CombinedOutput()
	if ended := new(exec.ExitError); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process that kills itself: %v\n%s", err, out)
	}
	checkFilled(t, natstest.Start(t, natstest.Over(dir)))
}

// TestFiller is the process that the test above starts. In a normal test run it does nothing.
func TestFiller(t *testing.T) {
	dir := os.Getenv("FILL")
	if dir == "" {
		return
	}
	fill(t, natstest.Start(t, natstest.Over(dir)), 1)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func TestASecondServerOverAFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := natstest.Start(t, natstest.Over(dir))
	_, err := embedded.StartNATS(t.Context(), embedded.NATSConfig{StoreDir: dir})
	if !errors.Is(err, filelock.ErrInUse) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("got %v, want an error that the folder is in use, and what to do", err)
	}
	fill(t, first, 1) // the first still works

	if err := first.Shutdown(); err != nil {
		t.Fatal(err)
	}
	checkFilled(t, natstest.Start(t, natstest.Over(dir)))
}

func TestAServerThatWouldNotSyncIsRefused(t *testing.T) {
	_, err := embedded.StartNATS(t.Context(), embedded.NATSConfig{
		StoreDir: t.TempDir(),
		Adjust:   func(opts *server.Options) { opts.SyncAlways = false },
	})
	if !errors.Is(err, embedded.ErrNotDurable) {
		t.Errorf("got %v, want %v", err, embedded.ErrNotDurable)
	}
}

// The error has the server's own reason, and the folder is unlocked again.
func TestAServerThatCannotStartReturnsTheReason(t *testing.T) {
	taken, err := url.Parse(natstest.Start(t, natstest.Listening()).ClientURL(""))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err = embedded.StartNATS(t.Context(), embedded.NATSConfig{StoreDir: dir, Listen: taken.Host})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("an address in use: got %v", err)
	}
	natstest.Start(t, natstest.Over(dir))
}

func TestConnectionsComeBackAfterARestart(t *testing.T) {
	n := natstest.Start(t, natstest.Listening())
	fill(t, n, 1)
	back := make(chan struct{}, 2)
	onBack := nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} })
	within := natstest.Connect(t, n, "within", onBack)
	outside, err := nats.Connect(n.ClientURL(""), onBack, nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()

	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case <-back:
		case <-time.After(giveup.After):
			t.Fatal("timed out waiting for the connections' return")
		}
	}
	for _, conn := range []*nats.Conn{within, outside} {
		if _, err := conn.Request("$JS.API.STREAM.INFO.KEPT", nil, 10*time.Second); err != nil {
			t.Error(err)
		}
	}
}

func TestAUserMayDoNoMoreThanIsAllowed(t *testing.T) {
	n := natstest.Start(t, natstest.Listening(), natstest.Users(
		embedded.User{Name: "admin", Password: "a", Publish: []string{">"}, Subscribe: []string{">"}},
		embedded.User{Name: "writer", Password: "b", Publish: []string{"record.>"}, Subscribe: []string{"_INBOX.>"}},
		embedded.User{Name: "denied", Password: "c"},
	))
	refused := make(chan error, 10)
	onError := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
	admin := natstest.Connect(t, n, "admin")
	all, err := admin.SubscribeSync("record.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Flush(); err != nil {
		t.Fatal(err)
	}

	writer := natstest.Connect(t, n, "writer", onError)
	if err := writer.Publish("record.sent", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := all.NextMsg(10 * time.Second); err != nil {
		t.Errorf("publishing to an allowed subject: %v", err)
	}

	denied := natstest.Connect(t, n, "denied", onError)
	for name, try := range map[string]func() error{
		"publishing to an unlisted subject":  func() error { return writer.Publish("$JS.API.STREAM.DELETE.RECORD", nil) },
		"subscribing to an unlisted subject": func() error { _, err := writer.SubscribeSync("record.>"); return err },
		"publishing with an empty list":      func() error { return denied.Publish("record.sent", nil) },
		"subscribing with an empty list":     func() error { _, err := denied.SubscribeSync("record.>"); return err },
	} {
		if err := try(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: got %v", name, err)
			}
		case <-time.After(giveup.After):
			t.Errorf("%s was not refused", name)
		}
	}

	if _, err := nats.Connect("nats://writer:wrong@" + mustHost(t, n)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a wrong password: got %v", err)
	}
	if _, err := nats.Connect("nats://" + mustHost(t, n)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("no password: got %v", err)
	}
	if _, err := n.Connect("stranger"); err == nil {
		t.Error("an unknown user could sign in")
	}
}

func mustHost(t *testing.T, n *embedded.NATS) string {
	t.Helper()
	u, err := url.Parse(n.ClientURL("writer"))
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestThreeServersKeepTheMsgsThatOneLoses(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	fill(t, servers[0], 3)
	if err := servers[0].Shutdown(); err != nil {
		t.Fatal(err)
	}
	natstest.AwaitLeader(t, servers[1:])
	checkFilled(t, servers[1])
}

func TestFreeBytes(t *testing.T) {
	if free, err := embedded.FreeBytes(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("got %d, %v", free, err)
	}
	if _, err := embedded.FreeBytes(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing folder has free space")
	}
}
