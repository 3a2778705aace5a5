package embedded_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
)

// A disk runs low on space and has enough again later. In between the server refuses
// events with a clear error. Acknowledged events can always be read, and no one has to
// restart the server.
func TestADiskThatGetsFull(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	var free atomic.Int64
	free.Store(4096 * mib)
	n := natstest.Start(t, func(c *embedded.NATSConfig) {
		c.Free = func(string) (int64, error) { return free.Load(), nil }
	})
	fill(t, n, 1)
	js := natstest.JetStream(t, n)
	ticks := make(chan time.Time)
	ctx, stop := context.WithCancel(t.Context())
	kept := make(chan error, 1)
	go func() { kept <- n.WatchSpace(ctx, ticks) }()
	for _, step := range []struct {
		what  string
		free  int64
		short bool
	}{
		{"plenty", 4096, false},
		{"less, but enough", 330, false},
		{"short", 300, true},
		{"full", 0, true},
		{"more, but not enough", 330, true},
		{"enough again", 1024, false},
		{"short again", 200, true},
		{"and enough", 4096, false},
	} {
		free.Store(step.free * mib)
		ticks <- time.Time{}
		ticks <- time.Time{} // accepted only after the first tick was handled
		if short := n.CheckSpace() != nil; short != step.short {
			t.Errorf("%s: Space returns %v", step.what, n.CheckSpace())
		}
		ack, err := publishSoon(t, js)
		var refused *jetstream.APIError
		switch {
		case !step.short && err != nil:
			t.Errorf("%s: %v", step.what, err)
		case step.short && !errors.As(err, &refused):
			t.Errorf("%s: got %v, %v, want a refusal", step.what, ack, err)
		}
		checkFilled(t, n)
	}
	stop()
	if err := <-kept; err != nil {
		t.Error(err)
	}
}

// publishSoon publishes once the connection is back after a restart.
func publishSoon(t *testing.T, js jetstream.JetStream) (*jetstream.PubAck, error) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		ack, err := js.Publish(ctx, "kept.more", make([]byte, 1000))
		cancel()
		var api *jetstream.APIError
		if err == nil || errors.As(err, &api) || t.Context().Err() != nil {
			return ack, err
		}
	}
}
