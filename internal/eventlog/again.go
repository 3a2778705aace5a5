package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"
)

// Again hands an event that stands on the record to the handler of a lane once more,
// outside of the lane's consumer, as for one that was parked. A panic is an error.
// Where the error is to be parked, [Describe] says what to write down of it.
func (l *Log) Again(ctx context.Context, lane Lane, seq uint64) error {
	stored, err := l.Get(ctx, seq)
	if err != nil {
		return err
	}
	m := message.NewMessage(uuid.NewString(), stored.Data)
	for name, values := range stored.Header {
		if len(values) > 0 {
			m.Metadata.Set(name, values[0])
		}
	}
	m.Metadata.Set(MetadataSeq, fmt.Sprint(seq))
	m.SetContext(ctx)
	_, err = middleware.Recoverer(func(m *message.Message) ([]*message.Message, error) {
		return nil, lane.handle(m)
	})(m)
	return err
}

// Describe gives an error of a handler in a line, and where it panicked; "" where it
// did not.
func Describe(err error) (reason, stack string) {
	var panicked middleware.RecoveredPanicError
	if errors.As(err, &panicked) {
		stack = panicked.Stacktrace
	}
	return reasonOf(err), stack
}
