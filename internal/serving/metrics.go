package serving

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"

	"postern/internal/health"
)

// Operators answers at the operators' own address, METRICS_ADDR.
type Operators struct {
	// Metrics answers /metrics.
	Metrics http.Handler
	// Ready returns the reasons for which the process is not ready, and what an operator should
	// correct although it is.
	Ready func(*http.Request) (faults, warnings []health.Fault)
}

// Handler answers /healthz, /readyz with every reason, and /metrics. Requests from this machine
// get Go's profiles too, below /debug/pprof/: they take processor time, and show what the program
// works on. The command line is not among them, because it may have secrets.
func (o Operators) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", Alive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { o.answer(w, r) })
	mux.Handle("GET /metrics", o.Metrics)
	for pattern, profile := range map[string]http.HandlerFunc{
		"GET /debug/pprof/": pprof.Index, "GET /debug/pprof/cmdline": http.NotFound,
		"GET /debug/pprof/profile": pprof.Profile, "GET /debug/pprof/symbol": pprof.Symbol, "GET /debug/pprof/trace": pprof.Trace,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !Inside(r) {
				http.Error(w, "profiles are for requests from this machine alone", http.StatusForbidden)
				return
			}
			profile(w, r)
		})
	}
	return mux
}

// HandleHealth answers /healthz and /readyz at an address that others reach too, and /metrics if
// it is reached from this machine alone.
func (o Operators) HandleHealth(loopback bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", Alive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if Inside(r) {
			o.answer(w, r)
			return
		}
		if faults, _ := o.Ready(r); len(faults) > 0 {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ready")
	})
	if loopback {
		mux.Handle("GET /metrics", Insiders(o.Metrics))
	}
	return mux
}

// Insiders answers requests from the inside alone; see [Inside].
func Insiders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Inside(r) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Alive answers that the process runs.
func Alive(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") }

// answer answers 200, or 503 with one fault a line. Warnings follow either.
func (o Operators) answer(w http.ResponseWriter, r *http.Request) {
	faults, warnings := o.Ready(r)
	lines, status := []string{"ready"}, http.StatusOK
	if len(faults) > 0 {
		lines, status = nil, http.StatusServiceUnavailable
	}
	for _, f := range faults {
		lines = append(lines, f.String())
	}
	for _, f := range warnings {
		lines = append(lines, "warning: "+f.String())
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, strings.Join(lines, "\n"))
}
