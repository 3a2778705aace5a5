package notify

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// retryLease is how long a row that is due belongs to the worker that took it, counted
	// from its last renewal. Then another worker takes the row: a crash delays the chunk
	// by that much, and loses nothing.
	retryLease = 2 * time.Second
	// leaseRenewals is how often in a retryLease a worker renews it.
	leaseRenewals = 4
)

// renewing keeps the lease of a row until stop is called. extend moves the end of the
// lease if it is still the one that this worker set last: a row that was put off
// meanwhile, or that another worker took, stays as it is.
func (w *Worker) renewing(ctx context.Context, ends time.Time, extend func(ctx context.Context, from, to time.Time) (pgconn.CommandTag, error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(retryLease / leaseRenewals)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			next := w.Now().Add(retryLease)
			tag, err := extend(ctx, ends, next)
			switch {
			case err != nil: // tried again at the next tick
			case tag.RowsAffected() == 0:
				return
			default:
				ends = next
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
