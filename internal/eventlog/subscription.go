package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
)

// fetchWait is how long a request to JetStream stays open. It is let run out
// even when the subscription is to stop, so that no msg is lost on its way and
// waits for a redelivery.
const fetchWait = 250 * time.Millisecond

// A subscription is one Subscribe.
type subscription struct {
	*Subscriber
	stream   string
	consumer jetstream.ConsumerConfig
	out      chan *message.Message

	mu   sync.Mutex
	held map[uint64]bool // sequences of the msgs in hand

	slots    chan struct{}  // one taken for each msg in hand or asked for
	emitting sync.WaitGroup // those that wait for a receiver
	inHand   sync.WaitGroup
	abandon  chan struct{} // closed when CloseTimeout is over
	mayNot   bool          // whether making the consumer was refused
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
	timeout := time.AfterFunc(s.config.CloseTimeout, func() { close(s.abandon) })
	defer timeout.Stop()
	s.inHand.Wait()
}

// fetchAll fetches until ctx ends, over every loss.
func (s *subscription) fetchAll(ctx context.Context) {
	var said bool
	pause := newPause()
	for ctx.Err() == nil {
		consumer, err := s.find(ctx)
		for err == nil && ctx.Err() == nil {
			if err = s.fetch(ctx, consumer); err == nil {
				said, pause = false, newPause()
			}
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if !said {
			said = true
			s.log.log.Warn("waiting for a consumer of the record", "consumer", s.consumer.Durable, "reason", err.Error())
		}
		_ = pause.wait(ctx)
	}
}

// find gives the consumer, making it where it is missing and that is allowed.
func (s *subscription) find(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := s.log.attempt(ctx)
	defer cancel()
	consumer, err := s.log.js.Consumer(ctx, s.stream, s.consumer.Durable)
	if err == nil || s.mayNot || !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return consumer, err
	}
	err = ensureConsumer(ctx, s.log.js, s.stream, s.consumer)
	if err != nil {
		s.mayNot = errors.Is(err, ErrNotAllowed)
		return nil, err
	}
	return s.log.js.Consumer(ctx, s.stream, s.consumer.Durable)
}

// fetch asks for as many msgs as there are free slots, at least one.
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
		s.inHand.Go(func() {
			defer s.giveSlots(1)
			s.hand(ctx, msg, consumer.CachedInfo().Config.AckWait/beats)
		})
	}
	if err := batch.Error(); err != nil {
		return fmt.Errorf("waiting for events: %w", err)
	}
	if !s.log.nc.IsConnected() {
		return errors.New("waiting for events: NATS is away")
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

// hand sees one msg through: out to a receiver, and then to its end. Meanwhile it
// tells JetStream at each beat that the msg is in hand.
func (s *subscription) hand(ctx context.Context, msg jetstream.Msg, beat time.Duration) {
	m, err := received(msg)
	if err != nil {
		s.emitting.Done()
		s.log.log.Error("a msg of the record can't be handed out", "reason", err.Error())
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
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	emitted := s.emit(ctx, m, msg, ticker.C)
	s.emitting.Done()
	if !emitted {
		_ = msg.Nak()
		return
	}
	s.attend(m, msg, ticker.C)
}

// hold takes a msg in hand. It gives false where it is in hand already: JetStream did
// not hear of this process in time, because one of them stood still, and hands the msg
// out again. The handler that is at work goes on and answers for both: an answer to
// the earlier delivery counts.
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

func (s *subscription) emit(ctx context.Context, m *message.Message, msg jetstream.Msg, beat <-chan time.Time) bool {
	for ctx.Err() == nil {
		select {
		case s.out <- m:
			return true
		case <-beat:
			_ = msg.InProgress()
		case <-ctx.Done():
		}
	}
	return false
}

// attend tells JetStream what comes of a message. What is not told, because NATS
// is away, ends in a redelivery.
func (s *subscription) attend(m *message.Message, msg jetstream.Msg, beat <-chan time.Time) {
	for {
		select {
		case <-m.Acked():
			_ = msg.Ack()
			return
		case <-m.Nacked():
			_ = msg.NakWithDelay(s.delay(m))
			return
		case <-beat:
			_ = msg.InProgress()
		case <-s.abandon:
			_ = msg.Nak()
			return
		}
	}
}

// delay is how long a refused message waits for its next try.
func (s *subscription) delay(m *message.Message) time.Duration {
	delay := s.config.FirstDelay
	for try := triesOf(m); try > 1 && delay < s.config.MostDelay; try-- {
		delay *= 2
	}
	return jitter(min(delay, s.config.MostDelay))
}

func triesOf(m *message.Message) int {
	tries, _ := strconv.Atoi(m.Metadata.Get(MetadataTries)) // 0 where it was not received
	return tries
}

func seqOf(m *message.Message) uint64 {
	seq, _ := strconv.ParseUint(m.Metadata.Get(MetadataSeq), 10, 64) // 0 where it was not received
	return seq
}
