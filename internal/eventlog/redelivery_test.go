package eventlog_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/eventlogtest"
)

// What a dead worker had in hand is another's within two seconds, also where an
// earlier version has made the consumers.
func TestADeadWorkersEventsAreSoonAnothers(t *testing.T) {
	log := eventlogtest.Start(t)
	for _, c := range eventlog.ConsumerConfigs() {
		if c.AckWait > 2*time.Second {
			t.Errorf("%s waits %s for a dead worker", c.Durable, c.AckWait)
		}
		c.AckWait = 30 * time.Second
		if _, err := log.JetStream().UpdateConsumer(t.Context(), eventlog.Stream, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Ensure(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, want := range eventlog.ConsumerConfigs() {
		c, err := log.JetStream().Consumer(t.Context(), eventlog.Stream, want.Durable)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.CachedInfo().Config.AckWait; got != want.AckWait {
			t.Errorf("%s waits %s after the update, want %s", want.Durable, got, want.AckWait)
		}
	}
}

// An event that JetStream hands out again while it is in hand, because it did not
// hear of the handler in time, is not handled a second time: the handler that is at
// work answers for both.
func TestARedeliveryDoesNotOvertakeItsHandler(t *testing.T) {
	server := natstest.Start(t)
	log := eventlogtest.On(t, server)
	other := natstest.Connect(t, server, "other")
	heard, err := other.SubscribeSync("$JS.ACK.>")
	if err != nil {
		t.Fatal(err)
	}
	sub := eventlog.NewSubscriber(log, eventlog.SubscriberConfig{Slots: 4, Consumer: func(string) (string, jetstream.ConsumerConfig) {
		return eventlog.Stream, jetstream.ConsumerConfig{Durable: "late", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second}
	}})
	defer func() { _ = sub.Close() }()
	messages, err := sub.Subscribe(t.Context(), "any")
	if err != nil {
		t.Fatal(err)
	}
	publish(t, log, released(t))
	m := <-messages
	first, err := heard.NextMsgWithContext(within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Publish(first.Subject, []byte("-NAK")); err != nil { // as if its time were up
		t.Fatal(err)
	}
	for told := first; told.Subject == first.Subject; {
		if told, err = heard.NextMsgWithContext(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if data := string(told.Data); data != "+WPI" && data != "-NAK" {
			t.Fatalf("JetStream was told %q", data)
		}
	}
	select {
	case <-messages:
		t.Error("it is handled twice at once")
	default:
	}
	m.Ack()
	settled(t, log, "late")
}
