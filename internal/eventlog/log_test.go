package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
)

// signalingLog is a log that closes first at its first line.
type signalingLog struct {
	bytes.Buffer
	first chan struct{}
}

func (s *signalingLog) Write(p []byte) (int, error) {
	if s.Len() == 0 {
		defer close(s.first)
	}
	return s.Buffer.Write(p)
}

// A service that starts before NATS waits for it, and logs that once.
func TestConnectWaitsForTheServer(t *testing.T) {
	dir := t.TempDir()
	server := natstest.Start(t, natstest.Listening(), natstest.Over(dir))
	url := server.ClientURL("")
	if err := server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	logged := &signalingLog{first: make(chan struct{})}
	type connected struct {
		log *eventlog.Log
		err error
	}
	done := make(chan connected, 1)
	go func() {
		log, err := eventlog.Connect(eventlogtest.Within(t, time.Minute), eventlog.Config{URL: url, Name: "early", Logger: slog.New(slog.NewTextHandler(logged, nil))})
		done <- connected{log, err}
	}()
	<-logged.first
	back := natstest.Start(t, natstest.Over(dir), func(c *embedded.NATSConfig) { c.Listen = strings.TrimPrefix(url, "nats://") })
	c := <-done
	if c.err != nil {
		t.Fatal(c.err)
	}
	defer c.log.Close()
	if got := strings.Count(logged.String(), "waiting for NATS"); got != 1 {
		t.Errorf("logged %d times:\n%s", got, logged)
	}
	eventlogtest.On(t, back)
	eventlogtest.Publish(t, c.log, eventlogtest.Released(t))
	if !c.log.Connected() {
		t.Error("not connected")
	}
	c.log.Close()
	if c.log.Connected() {
		t.Error("still connected")
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	server := natstest.Start(t, natstest.Listening())
	url := server.ClientURL("")
	if err := server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	url = strings.Replace(url, "://", "://api:hunter2@", 1)
	_, err := eventlog.Connect(eventlogtest.Within(t, 50*time.Millisecond), eventlog.Config{URL: url})
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

// A URL that no retry fixes is refused at once. The error leaves out the password.
func TestConnectRefusesAWrongURL(t *testing.T) {
	for _, url := range []string{"", "nats://", "nats://api:hunter2@host:port", "nats://a,nats://%zz:hunter2@b", "://hunter2"} {
		_, err := eventlog.Connect(t.Context(), eventlog.Config{URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
