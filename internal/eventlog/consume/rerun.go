package consume

import (
	"context"
	"errors"
	"fmt"

	"postern/internal/eventlog"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"
)

// Rerun runs a lane's handler for a stored event once more, outside the lane's
// consumer. It serves the retry of a parked event. A panic is returned as an error;
// [Describe] gives the parts of the error to store with the parked event.
func Rerun(ctx context.Context, log *eventlog.Log, lane Lane, seq uint64) error {
	stored, err := log.Get(ctx, seq)
	if err != nil {
		return err
	}
	m := message.NewMessage(uuid.NewString(), stored.Data)
	for name, values := range stored.Header {
		if len(values) > 0 {
			m.Metadata.Set(name, values[0])
		}
	}
	m.Metadata.Set(metadataSeq, fmt.Sprint(seq))
	m.SetContext(ctx)
	_, err = middleware.Recoverer(func(m *message.Message) ([]*message.Message, error) {
		return nil, lane.handle(m)
	})(m)
	return err
}

// Describe gives a handler's error in one line, and the stack trace of a panic; ""
// for other errors.
func Describe(err error) (reason, stack string) {
	var panicked middleware.RecoveredPanicError
	if errors.As(err, &panicked) {
		stack = panicked.Stacktrace
	}
	return reasonOf(err), stack
}
