package notify

import (
	"context"
	"time"

	"postern/internal/store"
)

// keep writes down what only this process knows, such as SendGrid's answer to a request
// that it has made. While Postgres is away it tries again, for as long as the process
// lives: until it succeeds, or until keepAfterStop after ctx has ended. It gives up at
// once only where Postgres refuses the statement. Write is called again where an earlier
// call was committed and its acknowledgement lost, and must do no harm then.
func (w *Worker) keep(ctx context.Context, write func(context.Context) error) error {
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(keepAfterStop, end) })()
	for try := 1; ; try++ {
		one, cancel := context.WithTimeout(living, keepTimeout)
		err := write(one)
		cancel()
		if err == nil || store.Permanent(err) || living.Err() != nil {
			return err
		}
		if try == 1 {
			w.Logger.Warn("an answer of SendGrid waits for Postgres", "error", err)
		}
		if sleep(living, backoff(try, firstBackoff, keepBackoff)) != nil {
			return err
		}
	}
}
