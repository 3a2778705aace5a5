package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts requests by the pattern of their route, never by their address:
// ids stay out.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	active   prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "postern_http_request_duration_seconds",
			Help:    "How long requests took, by route and status.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "status"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postern_http_requests_active", Help: "Requests under way.",
		}),
	}
	m.registry.MustRegister(m.requests, m.active, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry is what /metrics gives. Others of the same process register theirs.
func (a *API) Registry() *prometheus.Registry { return a.metrics.registry }

func (a *API) measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, route := a.mux.Handler(r)
		if route == "" {
			route = "none"
		}
		begun := time.Now()
		a.metrics.active.Inc()
		answer := &answer{ResponseWriter: w}
		defer func() {
			a.metrics.active.Dec()
			a.metrics.requests.WithLabelValues(route, strconv.Itoa(answer.status)).Observe(time.Since(begun).Seconds())
		}()
		next.ServeHTTP(answer, r)
	})
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
