package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"postern/internal/health"
	"postern/internal/problem"
	"postern/internal/problem/document"
)

// health registers the health, readiness and metrics of the process.
func (a *API) health() {
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"status": "ok"})
	})
	a.mux.HandleFunc("GET /readyz", a.ready)
	a.mux.Handle("GET /metrics", a.cfg.Telemetry.Handler())
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // if this fails, the client is gone
}

// readyParts are the parts needed to send and read messages.
var readyParts = []health.Part{health.PartPostgres, health.PartNATS, health.PartMigration, health.PartRecord, health.PartRecorder}

// ready answers 200 if messages can be sent and read, or 503 with every reason
// why not.
func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	var faults []problem.Fault
	var reasons []string
	for _, f := range a.cfg.Health.Ready(r.Context(), readyParts...) {
		faults = append(faults, problem.Fault{Location: string(f.Part), Message: f.Reason})
		reasons = append(reasons, f.String())
	}
	if len(faults) == 0 {
		writeJSON(w, map[string]string{"status": "ready"})
		return
	}
	document.Write(w, document.From(problem.NotReady.Problem(strings.Join(reasons, "; "), faults...)))
}
