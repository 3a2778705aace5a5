package eventlog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
)

// No user can remove an event from the record, whatever their other permissions.
func TestTheStreamRefusesToDeleteEvents(t *testing.T) {
	log := eventlogtest.Start(t)
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 3)...)
	stream, err := log.JetStream().Stream(t.Context(), eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func(context.Context) error{
		"delete":        func(ctx context.Context) error { return stream.DeleteMsg(ctx, 2) },
		"secure delete": func(ctx context.Context) error { return stream.SecureDeleteMsg(ctx, 2) },
		"purge":         func(ctx context.Context) error { return stream.Purge(ctx) },
		"purge some":    func(ctx context.Context) error { return stream.Purge(ctx, jetstream.WithPurgeSequence(2)) },
		"allow deletes": func(ctx context.Context) error {
			config := eventlog.StreamConfig(1)
			config.DenyDelete = false
			_, err := log.JetStream().UpdateStream(ctx, config)
			return err
		},
	} {
		if err := try(t.Context()); err == nil {
			t.Errorf("the stream accepts: %s", name)
		}
	}
	if s := eventlogtest.StateOf(t, log); s.First != 1 || s.Last != 3 || s.Msgs != 3 || s.Deleted != 0 {
		t.Errorf("of three events the stream has %+v", s)
	}
}

// An existing stream is used only if it protects the record.
func TestEnsureRefusesAnUnsafeStream(t *testing.T) {
	for name, spoil := range map[string]func(*jetstream.StreamConfig){
		"DenyDelete":         func(c *jetstream.StreamConfig) { c.DenyDelete = false },
		"DenyPurge":          func(c *jetstream.StreamConfig) { c.DenyPurge = false },
		"MaxAge":             func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"MaxMsgs":            func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"MaxBytes":           func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
		"Retention":          func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"Storage":            func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"NoAck":              func(c *jetstream.StreamConfig) { c.NoAck = true; c.AllowAtomicPublish = false },
		"Discard":            func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		"Subjects":           func(c *jetstream.StreamConfig) { c.Subjects = []string{"record.*.*"} },
		"Duplicates":         func(c *jetstream.StreamConfig) { c.Duplicates = time.Second },
		"AllowMsgTTL":        func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		"AllowAtomicPublish": func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"AllowRollup":        func(c *jetstream.StreamConfig) { c.AllowRollup, c.DenyPurge = true, false },
	} {
		t.Run(name, func(t *testing.T) {
			js := natstest.JetStream(t, natstest.Start(t))
			config := eventlog.StreamConfig(1)
			spoil(&config)
			if _, err := js.CreateStream(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			err := eventlog.EnsureStream(t.Context(), js, 1)
			if !errors.Is(err, eventlog.ErrUnsafeStream) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
			stream, err := js.Stream(t.Context(), eventlog.Stream)
			if err != nil {
				t.Fatal(err)
			}
			if err := eventlog.EnsureStream(t.Context(), js, 1); err == nil || stream.CachedInfo().Config.Description != config.Description {
				t.Error("the stream was changed")
			}
		})
	}
}

func TestEnsureTwiceChangesNothing(t *testing.T) {
	log := eventlogtest.Start(t)
	if err := log.Ensure(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if err := log.WaitReady(t.Context()); err != nil {
		t.Error(err)
	}
}

// In a cluster a stream of one replica becomes one of three.
func TestReplicasMayBeChanged(t *testing.T) {
	t.Parallel()
	servers := natstest.Cluster(t, 3)
	log := eventlogtest.On(t, servers[0])
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 5)...)
	if err := log.Ensure(eventlogtest.Within(t, time.Minute), 3); err != nil {
		t.Fatal(err)
	}
	stream, err := log.JetStream().Stream(t.Context(), eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().Config.Replicas; got != 3 {
		t.Errorf("%d replicas", got)
	}
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 5)...)
}

// Services start in any order: one without permission to make the stream waits for it.
func TestWaitReadyWaits(t *testing.T) {
	server := natstest.Start(t)
	early := eventlog.New(natstest.Connect(t, server, "early"), nil)
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := early.WaitReady(short); !errors.Is(err, context.Canceled) {
		t.Errorf("without a stream: %v", err)
	}
	ready := make(chan error, 1)
	go func() { ready <- early.WaitReady(eventlogtest.Within(t, time.Minute)) }()
	eventlogtest.On(t, server)
	if err := <-ready; err != nil {
		t.Error(err)
	}
}

// A repair begins with an empty stream in place of the damaged one.
func TestRecreate(t *testing.T) {
	log := eventlogtest.Start(t)
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 10)...)
	if err := log.Recreate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := eventlogtest.StateOf(t, log); s.Last != 0 || s.Msgs != 0 {
		t.Errorf("the new stream has %+v", s)
	}
	if err := log.WaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	if got := eventlogtest.Publish(t, log, eventlogtest.Released(t)); got != 1 {
		t.Errorf("its first event is %d", got)
	}
}
