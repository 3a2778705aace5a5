package eventlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
)

// SubscriberConfig says what a [Subscriber] reads and how.
type SubscriberConfig struct {
	// Consumer gives the stream and the durable consumer of a topic. Nil: a topic
	// is one of the record's own consumers, by name.
	Consumer func(topic string) (stream string, c jetstream.ConsumerConfig)
	// Slots is how many messages of a topic may be in hand at once; 0 is 1.
	Slots int
	// CloseTimeout is how long what is in hand may take once the subscriber is to
	// stop; then it is handed back. 0 is 20 seconds.
	CloseTimeout time.Duration
	// FirstDelay is before the first repeat of a refused message, and doubles
	// with each; 0 is 250 ms. MostDelay is the longest; 0 is 2 s.
	FirstDelay, MostDelay time.Duration
}

// Subscriber is Watermill's subscriber to JetStream.
//
// While a message is in hand JetStream is told so in time, however long it
// takes. A refused one comes again after a delay that grows with each try. A
// subscriber may be started before its stream, its consumer, or NATS itself is
// there, and goes on by itself after any of them was gone. It makes a missing
// consumer where it may, else waits for it.
type Subscriber struct {
	log    *Log
	config SubscriberConfig

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	running sync.WaitGroup
}

// NewSubscriber makes a Subscriber. Its caller closes it, before the log.
func NewSubscriber(l *Log, c SubscriberConfig) *Subscriber {
	if c.Consumer == nil {
		c.Consumer = recordConsumer
	}
	if c.Slots == 0 {
		c.Slots = 1
	}
	if c.CloseTimeout == 0 {
		c.CloseTimeout = 20 * time.Second
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
	for _, c := range ConsumerConfigs() {
		if c.Durable == topic {
			return Stream, c
		}
	}
	return Stream, jetstream.ConsumerConfig{}
}

// Subscribe implements [message.Subscriber]. The channel closes once ctx ends or
// the subscriber is closed. Messages in hand then still have their contexts, for
// as long as CloseTimeout says.
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

// SubscribeInitialize implements [message.SubscribeInitializer]: it makes the
// consumer.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	stream, config := s.config.Consumer(topic)
	return ensureConsumer(context.Background(), s.log.js, stream, config)
}

// Close stops all subscriptions and returns once every message is acknowledged
// or handed back. Closing twice is no error.
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
