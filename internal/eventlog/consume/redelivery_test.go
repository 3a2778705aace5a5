package consume_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/eventlog/eventlogtest"
)

// The events of a dead worker are redelivered within two seconds, also if an earlier
// version made the consumers.
func TestADeadWorkersEventsAreRedeliveredSoon(t *testing.T) {
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

// An event that JetStream redelivers during its handling, because it got no report of
// progress in time, is not handled a second time: the answer of the running handler
// counts for both deliveries.
func TestARedeliveryDuringHandlingIsNotHandledTwice(t *testing.T) {
	server := natstest.Start(t)
	log := eventlogtest.On(t, server)
	other := natstest.Connect(t, server, "other")
	acks, err := other.SubscribeSync("$JS.ACK.>")
	if err != nil {
		t.Fatal(err)
	}
	sub := consume.NewSubscriber(log, consume.SubscriberConfig{Slots: 4, Consumer: func(string) (string, jetstream.ConsumerConfig) {
		return eventlog.Stream, jetstream.ConsumerConfig{Durable: "late", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second}
	}})
	defer func() { _ = sub.Close() }()
	messages, err := sub.Subscribe(t.Context(), "any")
	if err != nil {
		t.Fatal(err)
	}
	eventlogtest.Publish(t, log, eventlogtest.Released(t))
	m := <-messages
	first, err := acks.NextMsgWithContext(eventlogtest.Within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Publish(first.Subject, []byte("-NAK")); err != nil { // as if ackWait had passed
		t.Fatal(err)
	}
	for ack := first; ack.Subject == first.Subject; {
		if ack, err = acks.NextMsgWithContext(eventlogtest.Within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if data := string(ack.Data); data != "+WPI" && data != "-NAK" {
			t.Fatalf("JetStream was sent %q", data)
		}
	}
	select {
	case <-messages:
		t.Error("it is handled twice at once")
	default:
	}
	m.Ack()
	eventlogtest.Settled(t, log, "late")
}
