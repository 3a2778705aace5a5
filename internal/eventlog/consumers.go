package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/events"
)

// The durable consumers. Each worker has two lanes over the same events, one for
// messages to groups and one for the rest, so that a large blast keeps no small
// message waiting.
const (
	FanoutBulk   = "fanout-bulk"
	FanoutDirect = "fanout-direct"
	NotifyBulk   = "notify-bulk"
	NotifyDirect = "notify-direct"
)

const (
	// ackWait is how long an event is a handler's after it was last heard of: then
	// the handler is taken for dead, and another gets the event. A handler that is
	// late by more, on a machine that stood still, loses nothing: see
	// [subscription.hold].
	ackWait = 2 * time.Second
	// beats is how often in an ackWait a process says that it is still at work.
	beats = 4
	// maxAckPending is how many events may be with handlers at once, over all
	// replicas of a worker, those that wait for a delayed retry included.
	maxAckPending = 2000
)

// ConsumerConfigs are the durable consumers that the record needs.
func ConsumerConfigs() []jetstream.ConsumerConfig {
	fanout, notify := events.ConsumedBy(FanoutWorker), events.ConsumedBy(NotifyWorker)
	return []jetstream.ConsumerConfig{
		consumerConfig(FanoutBulk, false, fanout),
		consumerConfig(FanoutDirect, false, fanout),
		consumerConfig(NotifyBulk, true, notify),
		consumerConfig(NotifyDirect, true, notify),
	}
}

func consumerConfig(name string, headersOnly bool, types []events.Type) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{
		Durable:       name,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1, // giving up is ours: see Park
		MaxAckPending: maxAckPending,
		HeadersOnly:   headersOnly,
	}
	if len(types) == 1 {
		c.FilterSubject = types[0].Filter()
		return c
	}
	for _, t := range types {
		c.FilterSubjects = append(c.FilterSubjects, t.Filter())
	}
	return c
}

// Ensure makes the stream and its durable consumers, or verifies what is there.
// Errors are those of [EnsureStream]; with [ErrMoreReplicas] all that can be used is there.
func Ensure(ctx context.Context, nc *nats.Conn, replicas int) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("speaking to JetStream: %w", err)
	}
	more := EnsureStream(ctx, js, replicas)
	if more != nil && !errors.Is(more, ErrMoreReplicas) {
		return more
	}
	for _, c := range ConsumerConfigs() {
		if err := ensureConsumer(ctx, js, Stream, c); err != nil {
			return err
		}
	}
	return more
}

// ensureConsumer leaves alone what is as it should be, so that a process that
// may not make consumers doesn't try. Of one that is changed it keeps what is not ours,
// such as its own number of replicas.
func ensureConsumer(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	consumer, err := js.Consumer(ctx, stream, want.Durable)
	if err == nil && sameConsumer(consumer.CachedInfo().Config, want) {
		return nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("looking for the consumer %s: %w", want.Durable, err)
	}
	if err == nil {
		want = ours(consumer.CachedInfo().Config, want)
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, stream, want); err != nil {
		return fmt.Errorf("making the consumer %s: %w", want.Durable, refused(js, err, "CONSUMER."))
	}
	return nil
}

// ours is a consumer with the settings that the record needs.
func ours(have, want jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	have.AckPolicy, have.AckWait, have.MaxDeliver = want.AckPolicy, want.AckWait, want.MaxDeliver
	have.MaxAckPending, have.HeadersOnly = want.MaxAckPending, want.HeadersOnly
	have.FilterSubject, have.FilterSubjects = want.FilterSubject, want.FilterSubjects
	return have
}

func sameConsumer(have, want jetstream.ConsumerConfig) bool {
	return have.AckPolicy == want.AckPolicy && have.AckWait == want.AckWait && have.MaxDeliver == want.MaxDeliver &&
		have.MaxAckPending == want.MaxAckPending && have.HeadersOnly == want.HeadersOnly &&
		have.FilterSubject == want.FilterSubject && slices.Equal(have.FilterSubjects, want.FilterSubjects)
}

// Ensure is [Ensure] over the log's own connection.
func (l *Log) Ensure(ctx context.Context, replicas int) error {
	return Ensure(ctx, l.nc, replicas)
}

// LowerReplicas is [LowerReplicas] over the log's own connection.
func (l *Log) LowerReplicas(ctx context.Context, replicas int) error {
	return LowerReplicas(ctx, l.js, replicas)
}

// WaitReady returns once the stream and its durable consumers are there, however
// long that takes, or when ctx ends. It logs once what it waits for.
func (l *Log) WaitReady(ctx context.Context) error {
	var said bool
	for pause := newPause(); ; {
		err := l.ready(ctx)
		if err == nil {
			return nil
		}
		if !said && ctx.Err() == nil {
			said = true
			l.log.Info("waiting for the record: `postern up` or `postern migrate` makes it", "reason", err.Error())
		}
		if pause.wait(ctx) != nil {
			return fmt.Errorf("waiting for the record: %w", errors.Join(ctx.Err(), err))
		}
	}
}

func (l *Log) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	if _, err := l.js.Stream(ctx, Stream); err != nil {
		return fmt.Errorf("the stream %s: %w", Stream, err)
	}
	for _, c := range ConsumerConfigs() {
		have, err := l.js.Consumer(ctx, Stream, c.Durable)
		if err != nil {
			return fmt.Errorf("the consumer %s: %w", c.Durable, err)
		}
		if !sameConsumer(have.CachedInfo().Config, c) {
			l.log.Warn("a consumer of the record is of an earlier version: run `postern migrate`",
				"consumer", c.Durable, "ack_wait", have.CachedInfo().Config.AckWait, "wanted", c.AckWait)
		}
	}
	return nil
}
