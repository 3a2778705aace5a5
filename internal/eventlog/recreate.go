package eventlog

import (
	"context"
	"errors"
	"fmt"
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
	if err := createStream(ctx, l.js, withHarmless(StreamConfig(have.Replicas), have)); err != nil {
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
