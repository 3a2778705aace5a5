package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/backoff"
	"postern/internal/events"
)

// The durable consumers. Each worker has two lanes over the same events: one for
// messages to groups and one for all others, so that small messages don't wait
// behind a large one.
const (
	FanoutBulk   = "fanout-bulk"
	FanoutDirect = "fanout-direct"
	NotifyBulk   = "notify-bulk"
	NotifyDirect = "notify-direct"
)

const (
	// ackWait is the time after which JetStream redelivers an event whose handler
	// sends no sign of progress. If the handler was only late, because its machine
	// stood still, package consume does not handle the event twice.
	ackWait = 2 * time.Second
	// maxAckPending is the largest number of unacknowledged events over all replicas
	// of a worker, including those that wait for a retry.
	maxAckPending = 2000
)

// ConsumerConfigs gives the configuration of every durable consumer of the record.
func ConsumerConfigs() []jetstream.ConsumerConfig {
	fanout, notify := events.ConsumedBy(events.FanoutWorker), events.ConsumedBy(events.NotifyWorker)
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
		MaxDeliver:    -1, // consume.Parking decides when to give up
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

// Ensure makes the stream and its durable consumers, or verifies the existing ones.
// Errors are those of [EnsureStream]; after [ErrMoreReplicas] the stream and its
// consumers can be used.
func Ensure(ctx context.Context, nc *nats.Conn, replicas int) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("opening JetStream: %w", err)
	}
	more := EnsureStream(ctx, js, replicas)
	if more != nil && !errors.Is(more, ErrMoreReplicas) {
		return more
	}
	for _, c := range ConsumerConfigs() {
		if err := EnsureConsumer(ctx, js, Stream, c); err != nil {
			return err
		}
	}
	return more
}

// EnsureConsumer makes or corrects a consumer. It does nothing if the consumer is
// already correct, so that a process without permission to make consumers doesn't
// try. It keeps settings that the record does not need, such as the consumer's own
// number of replicas.
func EnsureConsumer(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) error {
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
		want = withNeeded(consumer.CachedInfo().Config, want)
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, stream, want); err != nil {
		return fmt.Errorf("making the consumer %s: %w", want.Durable, refused(js, err, "CONSUMER."))
	}
	return nil
}

// withNeeded gives have with the settings of want that the record needs.
func withNeeded(have, want jetstream.ConsumerConfig) jetstream.ConsumerConfig {
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

// WaitReady waits until the stream and its durable consumers exist, or ctx ends. It
// logs once what it waits for.
func (l *Log) WaitReady(ctx context.Context) error {
	var logged bool
	for pause := backoff.NewPause(); ; {
		err := l.ready(ctx)
		if err == nil {
			return nil
		}
		if !logged && ctx.Err() == nil {
			logged = true
			l.log.Info("waiting for the record: `postern up` or `postern migrate` creates it", "reason", err.Error())
		}
		if pause.Wait(ctx) != nil {
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
			l.log.Warn("a consumer of the record has the settings of an earlier version: run `postern migrate`",
				"consumer", c.Durable, "ack_wait", have.CachedInfo().Config.AckWait, "wanted", c.AckWait)
		}
	}
	return nil
}
