package eventlog

import (
	"context"
	"errors"
	"fmt"
)

// Recreate deletes the stream and makes an empty one in its place: the first
// half of a repair where NATS is not this process's own. Only the migration's
// user may. What the stream held is gone, but for the copy in Postgres.
func (l *Log) Recreate(ctx context.Context) error {
	stream, err := l.js.Stream(ctx, Stream)
	if err != nil {
		return fmt.Errorf("finding the stream: %w", err)
	}
	have := stream.CachedInfo().Config
	if err := l.js.DeleteStream(ctx, Stream); err != nil {
		return fmt.Errorf("deleting the damaged stream: %w", err)
	}
	// What an operator chose (where it is, how it is compressed, a description) stays.
	if err := createStream(ctx, l.js, keepingHarmless(StreamConfig(have.Replicas), have)); err != nil {
		return err
	}
	if err := l.Ensure(ctx, have.Replicas); err != nil {
		return err
	}
	// A stream made at once after another of its name can come up with what the
	// old one left on disk: then it is no place for a repair.
	state, err := l.State(ctx)
	if err != nil {
		return err
	}
	if state.Last != 0 {
		return errors.New("the new stream is not empty: restart the NATS servers and run the repair again")
	}
	return nil
}
