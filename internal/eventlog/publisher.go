package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"postern/internal/events"
)

// Publisher is Watermill's publisher onto JetStream. Several messages at once
// are an atomic batch; see [Log.Publish] for what an error leaves.
type Publisher struct {
	put    func(ctx context.Context, topic string, ms []*message.Message) error
	closed atomic.Bool
}

// NewPublisher publishes events onto the record. The topic is their type, and
// each message is one that [MessageOf] made.
func NewPublisher(l *Log) *Publisher {
	return &Publisher{put: func(ctx context.Context, topic string, ms []*message.Message) error {
		evs := make([]events.Event, len(ms))
		for i, m := range ms {
			e, err := eventIn(m)
			if err != nil {
				return err
			}
			if topic != string(e.Type) {
				return fmt.Errorf("%w: %s in the topic %s", ErrInvalid, e.Type, topic)
			}
			evs[i] = e
		}
		_, err := l.Publish(ctx, evs...)
		return err
	}}
}

// NewSubjectPublisher publishes anything: to the subject that a topic stands
// for, deduplicated by the messages' UUIDs.
func NewSubjectPublisher(l *Log, subject func(topic string) string) *Publisher {
	return &Publisher{put: func(ctx context.Context, topic string, ms []*message.Message) error {
		out := make([]outgoing, len(ms))
		for i, m := range ms {
			out[i] = sent(subject(topic), m)
		}
		_, err := l.publish(ctx, out)
		return err
	}}
}

// Publish implements [message.Publisher]. It returns once all are acknowledged.
// The first message's context counts for all.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return errors.New("publishing: the publisher is closed")
	}
	if len(messages) == 0 {
		return nil
	}
	return p.put(messages[0].Context(), topic, messages)
}

// Close refuses further messages. None is waiting: Publish waits for its own.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}
