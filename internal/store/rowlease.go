package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// RenewRow renews the lease of a row of work, four times in lasts, until stop is called or
// ctx ends. renew is an UPDATE of the row where it still has the caller's lease: where it
// changes nothing the lease is lost, and RenewRow gives up. An error is tried again at the
// next renewal. Stop returns once no renewal runs any more.
//
// A process that crashes or hangs renews nothing: the lease ends, and another takes the row.
// So the work must stand being done twice.
func RenewRow(ctx context.Context, lasts time.Duration, renew func(context.Context) (pgconn.CommandTag, error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(lasts / 4)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if tag, err := renew(ctx); err == nil && tag.RowsAffected() == 0 {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
