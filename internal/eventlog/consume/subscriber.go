package consume

import (
	"context"
	"errors"
	"sync"
	"time"

	"postern/internal/eventlog"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
)

// SubscriberConfig configures a [Subscriber].
type SubscriberConfig struct {
	// Consumer gives the stream and the durable consumer of a topic. If it is nil,
	// a topic is the name of one of the record's consumers.
	Consumer func(topic string) (stream string, c jetstream.ConsumerConfig)
	// Slots is the largest number of messages of a topic in progress at once; 0
	// means 1.
	Slots int
	// ShutdownTimeout is the time that messages in progress have when the
	// subscriber stops; then they are returned to JetStream. 0 means 20 seconds.
	ShutdownTimeout time.Duration
	// FirstDelay is the delay before the first retry of a nacked message. It
	// doubles with each retry, up to MostDelay. 0 means 250 ms and 2 s.
	FirstDelay, MostDelay time.Duration
}

// Subscriber is Watermill's subscriber to JetStream.
//
// While a message is in progress, however long it takes, the subscriber reports
// that to JetStream, so that it is not redelivered. A nacked message is retried
// after a delay that grows with each try. A subscriber may start before its stream,
// its consumer or NATS is available, and it continues after an outage of any of
// them. It creates a missing consumer if it has the permission, and otherwise waits
// for it.
type Subscriber struct {
	log    *eventlog.Log
	config SubscriberConfig

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	running sync.WaitGroup
}

// NewSubscriber makes a Subscriber. The caller closes it, before the log.
func NewSubscriber(l *eventlog.Log, c SubscriberConfig) *Subscriber {
	if c.Consumer == nil {
		c.Consumer = recordConsumer
	}
	if c.Slots == 0 {
		c.Slots = 1
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = 20 * time.Second
	}
	if c.FirstDelay == 0 {
		c.FirstDelay = 250 * time.Millisecond
	}
	if c.MostDelay == 0 {
		c.MostDelay = 2 * time.Second
	}
	return &Subscriber{log: l, config: c, closing: make(chan struct{})}
}

func recordConsumer(topic string) (string, jetstream.ConsumerConfig) {
	for _, c := range eventlog.ConsumerConfigs() {
		if c.Durable == topic {
			return eventlog.Stream, c
		}
	}
	return eventlog.Stream, jetstream.ConsumerConfig{}
}

// Subscribe implements [message.Subscriber]. The channel closes when ctx ends or
// the subscriber is closed. Messages in progress keep their contexts until the
// shutdown timeout has passed.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	stream, config := s.config.Consumer(topic)
	if config.Durable == "" {
		return nil, errors.New("subscribing: there is no consumer " + topic)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("subscribing: the subscriber is closed")
	}
	sub := &subscription{
		Subscriber: s, stream: stream, consumer: config,
		out:     make(chan *message.Message),
		held:    map[uint64]bool{},
		slots:   make(chan struct{}, s.config.Slots),
		abandon: make(chan struct{}),
	}
	s.running.Go(func() { sub.run(ctx) })
	return sub.out, nil
}

// SubscribeInitialize implements [message.SubscribeInitializer]: it creates the
// consumer.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	stream, config := s.config.Consumer(topic)
	return eventlog.EnsureConsumer(context.Background(), s.log.JetStream(), stream, config)
}

// Close stops all subscriptions and returns once every message is acknowledged or
// returned to JetStream. Closing twice is no error.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}
