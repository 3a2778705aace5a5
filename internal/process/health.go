package process

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"

	"postern/internal/health"
	"postern/internal/inbound"
	"postern/internal/serving"
)

// The parts of the state that /readyz checks in each role. Workers continue while the record is
// damaged.
var (
	readyWorker   = []health.Part{health.PartPostgres, health.PartNATS}
	readyRecorder = append([]health.Part{health.PartRecord, health.PartRecorder}, readyWorker...)
)

// serveHealth answers /healthz, /readyz and /metrics at the addresses that the role has.
func (b *base) serveHealth(parts ...health.Part) func(context.Context) error {
	return func(ctx context.Context) error {
		certificates, err := certificatesOf(b.Config, b.process, b.telemetry, b.logger)
		if err != nil {
			return err
		}
		operators := serving.Operators{Metrics: b.telemetry.Handler(), Ready: func(r *http.Request) (faults, warnings []health.Fault) {
			return b.health.Ready(r.Context(), parts...), warningsOf(certificates)
		}}
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return b.serveOperators(operators)(ctx) })
		group.Go(func() error {
			if b.ListenAddr == "" {
				<-ctx.Done()
				return nil
			}
			server := inbound.NewServer(operators.HandleHealth(b.isLocal(ctx)), nil, b.logger)
			server.Addr = b.ListenAddr
			return serve(ctx, server, certificates, nil)
		})
		return group.Wait()
	}
}
