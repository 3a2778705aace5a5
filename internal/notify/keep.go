package notify

import (
	"context"
	"time"

	"postern/internal/store"
)

// keep stores facts that only this process knows, such as SendGrid's answer to its
// request. While Postgres is unavailable it retries until it succeeds, or until
// keepAfterStop after ctx has ended. It gives up at once only where Postgres refuses the
// statement. keep may call write again after a commit whose acknowledgement was lost, so
// write must be idempotent.
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
			w.Logger.Warn("SendGrid's answer can't be stored yet: Postgres is unavailable", "error", err)
		}
		if sleep(living, backoff(try, firstBackoff, keepBackoff)) != nil {
			return err
		}
	}
}
