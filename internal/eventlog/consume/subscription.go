package consume

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"postern/internal/backoff"
	"postern/internal/eventlog"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
)

// fetchWait is how long a request to JetStream stays open. A subscription that stops
// still waits for it to end: a message lost on its way would wait for a redelivery.
const fetchWait = 250 * time.Millisecond

// progressPerAckWait is how often in a consumer's AckWait a process reports that it is still
// working on an event.
const progressPerAckWait = 4

// A subscription is one call of Subscribe.
type subscription struct {
	*Subscriber
	stream   string
	consumer jetstream.ConsumerConfig
	out      chan *message.Message

	mu   sync.Mutex
	held map[uint64]bool // sequences of the messages in progress

	slots      chan struct{}  // one element for each message in progress or requested
	emitting   sync.WaitGroup // messages that wait for a receiver
	inProgress sync.WaitGroup
	abandon    chan struct{} // closed after the shutdown timeout
	notAllowed bool          // the server refused to create the consumer
}

func (s *subscription) run(ctx context.Context) {
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-s.closing:
			stop()
		case <-stopping.Done():
		}
	}()
	s.fetchAll(stopping)
	stop()
	s.emitting.Wait()
	close(s.out)
	timeout := time.AfterFunc(s.config.ShutdownTimeout, func() { close(s.abandon) })
	defer timeout.Stop()
	s.inProgress.Wait()
}

// fetchAll fetches until ctx ends, and retries after every error.
func (s *subscription) fetchAll(ctx context.Context) {
	var logged bool
	pause := backoff.NewPause()
	for ctx.Err() == nil {
		consumer, err := s.find(ctx)
		for err == nil && ctx.Err() == nil {
			if err = s.fetch(ctx, consumer); err == nil {
				logged, pause = false, backoff.NewPause()
			}
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if !logged {
			logged = true
			s.log.Logger().Warn("waiting for a consumer of the record", "consumer", s.consumer.Durable, "reason", err.Error())
		}
		_ = pause.Wait(ctx)
	}
}

// find gives the consumer. It creates a missing one if it has the permission.
func (s *subscription) find(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := s.log.Attempt(ctx)
	defer cancel()
	consumer, err := s.log.JetStream().Consumer(ctx, s.stream, s.consumer.Durable)
	if err == nil || s.notAllowed || !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return consumer, err
	}
	err = eventlog.EnsureConsumer(ctx, s.log.JetStream(), s.stream, s.consumer)
	if err != nil {
		s.notAllowed = errors.Is(err, eventlog.ErrNotAllowed)
		return nil, err
	}
	return s.log.JetStream().Consumer(ctx, s.stream, s.consumer.Durable)
}

// fetch waits for a free slot and requests one message for each free slot.
func (s *subscription) fetch(ctx context.Context, consumer jetstream.Consumer) error {
	free := s.takeSlots(ctx)
	defer func() { s.giveSlots(free) }()
	if ctx.Err() != nil {
		return nil
	}
	batch, err := consumer.Fetch(free, jetstream.FetchMaxWait(fetchWait))
	if err != nil {
		return fmt.Errorf("asking for events: %w", err)
	}
	for msg := range batch.Messages() {
		free--
		s.emitting.Add(1)
		s.inProgress.Go(func() {
			defer s.giveSlots(1)
			s.process(ctx, msg, consumer.CachedInfo().Config.AckWait/progressPerAckWait)
		})
	}
	if err := batch.Error(); err != nil {
		return fmt.Errorf("waiting for events: %w", err)
	}
	if !s.log.Connected() {
		return errors.New("waiting for events: NATS is disconnected")
	}
	return nil
}

func (s *subscription) takeSlots(ctx context.Context) (taken int) {
	select {
	case s.slots <- struct{}{}:
		taken++
	case <-ctx.Done():
		return 0
	}
	for taken < cap(s.slots) {
		select {
		case s.slots <- struct{}{}:
			taken++
		default:
			return taken
		}
	}
	return taken
}

func (s *subscription) giveSlots(n int) {
	for range n {
		<-s.slots
	}
}

// process gives one message to a receiver and waits for its ack or nack. In the
// meantime it reports at each interval to JetStream that the message is in progress.
func (s *subscription) process(ctx context.Context, msg jetstream.Msg, interval time.Duration) {
	m, err := received(msg)
	if err != nil {
		s.emitting.Done()
		s.log.Logger().Error("a message of the record can't be delivered", "reason", err.Error())
		return
	}
	seq := seqOf(m)
	if !s.hold(seq) {
		s.emitting.Done()
		_ = msg.InProgress()
		return
	}
	defer s.release(seq)
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	m.SetContext(working)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	emitted := s.emit(ctx, m, msg, ticker.C)
	s.emitting.Done()
	if !emitted {
		_ = msg.Nak()
		return
	}
	s.settle(m, msg, ticker.C)
}

// hold marks a message as in progress. It gives false if it is in progress already:
// JetStream got no report in time, because this process or the server stood still,
// and has redelivered the message. The running handler continues and its answer
// counts for both deliveries: JetStream accepts an answer to the earlier one.
func (s *subscription) hold(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[seq] {
		return false
	}
	s.held[seq] = true
	return true
}

func (s *subscription) release(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, seq)
}

// emit gives the message to a receiver. It gives false if ctx ends first.
func (s *subscription) emit(ctx context.Context, m *message.Message, msg jetstream.Msg, tick <-chan time.Time) bool {
	for ctx.Err() == nil {
		select {
		case s.out <- m:
			return true
		case <-tick:
			_ = msg.InProgress()
		case <-ctx.Done():
		}
	}
	return false
}

// settle passes the message's ack or nack on to JetStream. If NATS is disconnected,
// the answer is lost and JetStream redelivers the message.
func (s *subscription) settle(m *message.Message, msg jetstream.Msg, tick <-chan time.Time) {
	for {
		select {
		case <-m.Acked():
			_ = msg.Ack()
			return
		case <-m.Nacked():
			_ = msg.NakWithDelay(s.delay(m))
			return
		case <-tick:
			_ = msg.InProgress()
		case <-s.abandon:
			_ = msg.Nak()
			return
		}
	}
}

// delay is the time before the next try of a nacked message.
func (s *subscription) delay(m *message.Message) time.Duration {
	delay := s.config.FirstDelay
	for try := triesOf(m); try > 1 && delay < s.config.MostDelay; try-- {
		delay *= 2
	}
	return backoff.Jitter(min(delay, s.config.MostDelay))
}

func triesOf(m *message.Message) int {
	tries, _ := strconv.Atoi(m.Metadata.Get(metadataTries)) // 0 for a message that JetStream did not deliver
	return tries
}

func seqOf(m *message.Message) uint64 {
	seq, _ := strconv.ParseUint(m.Metadata.Get(metadataSeq), 10, 64) // 0 for a message that JetStream did not deliver
	return seq
}
