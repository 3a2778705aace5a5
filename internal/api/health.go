package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"postern/internal/health"
	"postern/internal/problem"
	"postern/internal/problem/document"
)

// health registers the health, readiness and metrics of the process. Metrics are for the inside.
func (a *API) health() {
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"status": "ok"})
	})
	a.mux.HandleFunc("GET /readyz", a.ready)
	if a.cfg.HideMetrics {
		return
	}
	metrics := a.cfg.Telemetry.Handler()
	a.mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if !a.inside(r) {
			document.Write(w, document.From(problem.NotFound.Problem("There is nothing at this address: /docs lists all operations.")))
			return
		}
		metrics.ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // if this fails, the client is gone
}

// ReadyParts are the parts of the state that are needed to send and read messages.
var ReadyParts = []health.Part{health.PartPostgres, health.PartNATS, health.PartMigration, health.PartRecord, health.PartRecorder}

// readiness is the answer of /readyz if the process is ready.
type readiness struct {
	Status   string   `json:"status"`
	Warnings []string `json:"warnings,omitempty"`
}

// ready answers 200 if messages can be sent and read, else 503. On the inside it gives every reason
// why not, and what an operator should correct in any case.
func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	found := a.cfg.Health.Ready(r.Context(), ReadyParts...)
	if !a.inside(r) {
		if len(found) > 0 {
			document.Write(w, document.From(problem.NotReady.Problem("")))
			return
		}
		writeJSON(w, readiness{Status: "ready"})
		return
	}
	var faults []problem.Fault
	var reasons []string
	for _, f := range found {
		faults = append(faults, problem.Fault{Location: string(f.Part), Message: f.Reason})
		reasons = append(reasons, f.String())
	}
	if len(faults) > 0 {
		document.Write(w, document.From(problem.NotReady.Problem(strings.Join(reasons, "; "), faults...)))
		return
	}
	answer := readiness{Status: "ready"}
	for _, f := range a.cfg.Health.Warnings() {
		answer.Warnings = append(answer.Warnings, f.String())
	}
	writeJSON(w, answer)
}

func (a *API) inside(r *http.Request) bool { return a.cfg.Inside == nil || a.cfg.Inside(r) }
