package consume_test

import (
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/embedded"
	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/eventlog/consume"
	"postern/internal/events"
)

// Watermill's own suite for publishers and subscribers. Many messages are in progress
// at once, in no order. A new subscriber of a group continues where the group is; it
// does not start at the beginning as with Kafka's offsets.
func TestWatermillSuite(t *testing.T) {
	t.Parallel()
	s := suite{server: natstest.Start(t), slots: 32}
	tests.TestPubSub(t, tests.Features{ConsumerGroups: true, Persistent: true}, s.pubSub, s.grouped)
}

// The same suite with one message in progress at a time, which keeps the order.
func TestWatermillSuiteInOrder(t *testing.T) {
	t.Parallel()
	s := suite{server: natstest.Start(t), slots: 1, pending: 1}
	tests.TestPubSub(t, tests.Features{ConsumerGroups: true, Persistent: true, GuaranteedOrder: true, ForceShort: true}, s.pubSub, s.grouped)
}

// suite gives each topic a stream of its own, because JetStream deduplicates by
// stream and the suite sends the same ids to many topics.
type suite struct {
	server  *embedded.NATS
	slots   int
	pending int
}

func (s suite) pubSub(t *testing.T) (message.Publisher, message.Subscriber) {
	return s.grouped(t, "all")
}

func (s suite) grouped(t *testing.T, group string) (message.Publisher, message.Subscriber) {
	log := eventlog.New(natstest.Connect(t, s.server, "suite"), nil)
	consumer := func(topic string) (string, jetstream.ConsumerConfig) {
		return topic, jetstream.ConsumerConfig{
			Durable: group, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 3 * time.Second, MaxAckPending: s.pending}
	}
	sub := consume.NewSubscriber(log, consume.SubscriberConfig{
		Consumer: consumer, Slots: s.slots, ShutdownTimeout: time.Second, FirstDelay: time.Millisecond, MostDelay: 10 * time.Millisecond})
	t.Cleanup(func() { _ = sub.Close() }) // the suite leaves some open
	return publisher{log.JetStream()}, initializer{sub, t, log.JetStream()}
}

// publisher publishes the suite's messages. Postern itself publishes with Log.Publish.
type publisher struct{ js jetstream.JetStream }

func (p publisher) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		out := nats.NewMsg("suite." + topic)
		out.Data = m.Payload
		for name, value := range m.Metadata {
			out.Header[name] = []string{value}
		}
		out.Header.Set(events.HeaderMsgID, m.UUID)
		if _, err := p.js.PublishMsg(m.Context(), out); err != nil {
			return err
		}
	}
	return nil
}

func (publisher) Close() error { return nil }

type initializer struct {
	*consume.Subscriber
	t  *testing.T
	js jetstream.JetStream
}

func (i initializer) SubscribeInitialize(topic string) error {
	_, err := i.js.CreateStream(i.t.Context(), jetstream.StreamConfig{Name: topic, Subjects: []string{"suite." + topic}, AllowAtomicPublish: true})
	if err != nil {
		return err
	}
	return i.Subscriber.SubscribeInitialize(topic)
}
