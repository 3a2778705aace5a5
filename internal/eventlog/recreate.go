package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"postern/internal/backoff"
)

// Recreate deletes the stream and makes an empty one in its place. It is the first
// half of a repair on a NATS server that this process does not run itself. Only the
// migration's user has the permission. From then on, the copy in Postgres is the
// only one: a crash here leaves no stream, or an empty one.
func (l *Log) Recreate(ctx context.Context) error {
	stream, err := l.js.Stream(ctx, Stream)
	if err != nil {
		return fmt.Errorf("finding the stream: %w", err)
	}
	have := stream.CachedInfo().Config
	if err := l.js.DeleteStream(ctx, Stream); err != nil {
		return fmt.Errorf("deleting the damaged stream: %w", err)
	}
	// Keep the operator's settings, such as placement, compression and description.
	if err := l.createAfterDeletion(ctx, withHarmless(StreamConfig(have.Replicas), have)); err != nil {
		return err
	}
	if err := l.Ensure(ctx, have.Replicas); err != nil {
		return err
	}
	// A stream made directly after the deletion of another with its name can start
	// with files that the old one left on disk. A repair needs an empty stream.
	state, err := l.State(ctx)
	if err != nil {
		return err
	}
	if state.Last != 0 {
		return errors.New("the new stream is not empty: restart the NATS servers and run the repair again")
	}
	return nil
}

// createAfterDeletion makes the stream. The server may still be deleting the files of the old
// one, and can't make a store in the meantime: then it tries again, for a minute at most.
func (l *Log) createAfterDeletion(ctx context.Context, want jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, recreateTimeout)
	defer cancel()
	for pause := backoff.NewPause(); ; {
		err := createStream(ctx, l.js, want)
		var refused *jetstream.APIError
		if !errors.As(err, &refused) || refused.ErrorCode != streamNotCreated || pause.Wait(ctx) != nil {
			return err
		}
	}
}

const (
	recreateTimeout = time.Minute
	// streamNotCreated is JSStreamCreateErrF of nats-server/server/errors.json.
	streamNotCreated jetstream.ErrorCode = 10049
)
