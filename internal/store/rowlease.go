package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// RenewRow renews the lease of a row of work, four times in lasts, until stop is called or ctx
// ends. renew must UPDATE the row only if it still has the caller's lease: if it changes no
// row, the lease is lost, and RenewRow stops. After an error, the next renewal tries again.
// stop returns after the last renewal has ended.
//
// A process that crashes or hangs does not renew: the lease ends, and another process takes
// the row. So the work must be idempotent.
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
