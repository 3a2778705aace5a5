package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Consumer is the progress of a durable consumer.
type Consumer struct {
	Name        string    `json:"name"`
	Pending     uint64    `json:"pending"`         // not delivered yet
	InFlight    int       `json:"in_flight"`       // being handled, or waiting for a retry
	Redelivered int       `json:"redelivered"`     // of those in flight, delivered more than once
	Oldest      time.Time `json:"oldest,omitzero"` // publication time of the oldest unacknowledged event; zero: none
	OldestSeq   uint64    `json:"oldest_seq,omitzero"`
}

// Consumers gives the progress of each durable consumer.
func (l *Log) Consumers(ctx context.Context) ([]Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	stream, err := l.js.Stream(ctx, Stream)
	if err != nil {
		return nil, fmt.Errorf("asking for the stream: %w", err)
	}
	var all []Consumer
	for _, config := range ConsumerConfigs() {
		consumer, err := stream.Consumer(ctx, config.Durable)
		if err != nil {
			return nil, fmt.Errorf("asking for the consumer %s: %w", config.Durable, err)
		}
		info := consumer.CachedInfo()
		c := Consumer{Name: config.Durable, Pending: info.NumPending, InFlight: info.NumAckPending, Redelivered: info.NumRedelivered}
		if c.Pending > 0 || c.InFlight > 0 {
			if err := c.findOldest(ctx, stream, config, info.AckFloor.Stream+1); err != nil {
				return nil, err
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// Acked gives the highest sequence up to which every named consumer has acknowledged
// all its events; 0 if one of the consumers does not exist. Errors wrap [ErrUnavailable].
func (l *Log) Acked(ctx context.Context, consumers ...string) (seq uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	for i, name := range consumers {
		consumer, err := l.js.Consumer(ctx, Stream, name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("asking for the consumer %s: %w: %w", name, ErrUnavailable, err)
		}
		if floor := consumer.CachedInfo().AckFloor.Stream; i == 0 || floor < seq {
			seq = floor
		}
	}
	return seq, nil
}

// findOldest looks for the consumer's first event from seq on. The consumer has
// acknowledged all its events before seq.
func (c *Consumer) findOldest(ctx context.Context, stream jetstream.Stream, config jetstream.ConsumerConfig, seq uint64) error {
	filters := config.FilterSubjects
	if config.FilterSubject != "" {
		filters = []string{config.FilterSubject}
	}
	for _, filter := range filters {
		m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("looking for the oldest event of %s: %w", c.Name, err)
		}
		if c.OldestSeq == 0 || m.Sequence < c.OldestSeq {
			c.Oldest, c.OldestSeq = m.Time.UTC(), m.Sequence
		}
	}
	return nil
}

// PublishedAt gives the time at which the stream stored the event at seq. Errors
// wrap [ErrNotFound] if there is none.
func (l *Log) PublishedAt(ctx context.Context, seq uint64) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	stream, err := l.js.Stream(ctx, Stream)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking when event %d was published: %w", seq, err)
	}
	m, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("asking when event %d was published: %w", seq, err)
	}
	return m.Time.UTC(), nil
}

// FreeSpace gives the bytes that JetStream may still store for this user under the
// server's limits; ok is false if the server sets no limit.
func (l *Log) FreeSpace(ctx context.Context) (bytes int64, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	account, err := l.js.AccountInfo(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("asking for the free storage: %w", err)
	}
	if account.Limits.MaxStore <= 0 {
		return 0, false, nil
	}
	return max(account.Limits.MaxStore-int64(account.Store), 0), true, nil // #nosec G115 -- bytes of a disk
}
