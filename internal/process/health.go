package process

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"postern/internal/health"
	"postern/internal/inbound"
)

// The parts of the state that /readyz checks in each role. Workers continue while the record is
// damaged.
var (
	readyWorker   = []health.Part{health.PartPostgres, health.PartNATS}
	readyRecorder = append([]health.Part{health.PartRecord, health.PartRecorder}, readyWorker...)
)

// serveHealth answers /healthz, /readyz and /metrics if the role has an address of its own.
func (b *base) serveHealth(parts ...health.Part) func(context.Context) error {
	return func(ctx context.Context) error {
		if b.ListenAddr == "" {
			<-ctx.Done()
			return nil
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
		mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answerReady(w, b.health.Ready(r.Context(), parts...)) })
		mux.Handle("GET /metrics", b.telemetry.Handler())
		server := inbound.NewServer(mux, nil, b.logger)
		server.Addr = b.ListenAddr
		return serve(ctx, server, nil)
	}
}

// answerReady answers 200, or 503 with one fault a line.
func answerReady(w http.ResponseWriter, faults []health.Fault) {
	if len(faults) == 0 {
		_, _ = fmt.Fprintln(w, "ready")
		return
	}
	reasons := make([]string, len(faults))
	for i, f := range faults {
		reasons[i] = f.String()
	}
	http.Error(w, strings.Join(reasons, "\n"), http.StatusServiceUnavailable)
}
