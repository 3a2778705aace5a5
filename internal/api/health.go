package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/problem"
	"postern/internal/problem/document"
)

// health registers what operators ask a process.
func (a *API) health() {
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"status": "ok"})
	})
	a.mux.HandleFunc("GET /readyz", a.ready)
	a.mux.Handle("GET /metrics", a.cfg.Telemetry.Handler())
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the asker is gone where this fails
}

// ready answers 200 if messages can be sent and read, or 503 with every reason
// why not.
func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	reasons := a.Reasons(ctx)
	if len(reasons) == 0 {
		writeJSON(w, map[string]string{"status": "ready"})
		return
	}
	said := make([]string, len(reasons))
	for i, f := range reasons {
		said[i] = f.Location + ": " + f.Message
	}
	document.Write(w, document.From(problem.NotReady.Problem(strings.Join(said, "; "), reasons...)))
}

// Reasons runs all checks at once and gives what they found, by name.
func (a *API) Reasons(ctx context.Context) []problem.Fault {
	var mu sync.Mutex
	var found []problem.Fault
	var all sync.WaitGroup
	for name, check := range a.cfg.Checks {
		all.Go(func() {
			if err := check(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				found = append(found, problem.Fault{Location: name, Message: err.Error()})
			}
		})
	}
	all.Wait()
	slices.SortFunc(found, func(x, y problem.Fault) int { return strings.Compare(x.Location, y.Location) })
	return found
}
