package eventlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
)

func replicasOf(t *testing.T, log *eventlog.Log) int {
	t.Helper()
	n, err := log.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func configOf(t *testing.T, log *eventlog.Log) jetstream.StreamConfig {
	t.Helper()
	stream, err := log.JetStream().Stream(t.Context(), eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

// Ensure raises the number of replicas. Only LowerReplicas lowers it.
func TestEnsureNeverLowersReplicas(t *testing.T) {
	t.Parallel()
	log := eventlogtest.On(t, natstest.Cluster(t, 3)[0])
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 5)...)
	ensure := func(n int) func() error {
		return func() error { return log.Ensure(eventlogtest.Within(t, time.Minute), n) }
	}
	lower := func(n int) func() error {
		return func() error { return log.LowerReplicas(eventlogtest.Within(t, time.Minute), n) }
	}
	for _, step := range []struct {
		name string
		do   func() error
		fail error
		want int
	}{
		{"lowered to what it has", lower(1), nil, 1},
		{"raised", ensure(3), nil, 3},
		{"as it is", ensure(3), nil, 3},
		{"asked for fewer", ensure(1), eventlog.ErrMoreReplicas, 3},
		{"lowered to more", lower(5), nil, 3},
		{"lowered", lower(1), nil, 1},
		{"asked for what it has", ensure(1), nil, 1},
	} {
		if err := step.do(); !errors.Is(err, step.fail) {
			t.Errorf("%s: %v", step.name, err)
		}
		if got := replicasOf(t, log); got != step.want {
			t.Errorf("%s: it has %d replicas, want %d", step.name, got, step.want)
		}
		if err := log.WaitReady(eventlogtest.Within(t, time.Minute)); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	eventlogtest.Publish(t, log, eventlogtest.ManyReleased(t, 5)...)
}

// An operator's settings of the stream, other than those that the record needs, stay
// through a start and through a repair. A consumer's stay through a start.
func TestAnOperatorsSettingsStay(t *testing.T) {
	t.Parallel()
	log := eventlogtest.Unchecked(t, natstest.Start(t))
	js := log.JetStream()
	set := configOf(t, log)
	set.Description, set.Compression, set.Metadata = "Ours.", jetstream.S2Compression, map[string]string{"clinic": "north"}
	if _, err := js.UpdateStream(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	consumer := eventlog.ConsumerConfigs()[0]
	consumer.Description, consumer.AckWait = "Ours.", consumer.AckWait+time.Second
	if _, err := js.UpdateConsumer(t.Context(), eventlog.Stream, consumer); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if got := configOf(t, log); got.Description != "Ours." || got.Compression != jetstream.S2Compression || got.Metadata["clinic"] != "north" {
			t.Errorf("%s the stream is %+v", when, got)
		}
	}
	if err := log.Ensure(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	check("after a start")
	info, err := js.Consumer(t.Context(), eventlog.Stream, consumer.Durable)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.CachedInfo().Config; got.Description != "Ours." || got.AckWait != eventlog.ConsumerConfigs()[0].AckWait {
		t.Errorf("after a start the consumer is %+v", got)
	}
	if err := log.Recreate(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after a repair")
}
