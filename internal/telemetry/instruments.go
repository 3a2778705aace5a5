package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/events"
)

// instruments are what is counted where it happens; what merely stands somewhere
// is read when it is asked for, see [Standing].
type instruments struct {
	published    *prometheus.CounterVec
	publishTook  prometheus.Histogram
	publishBatch prometheus.Histogram
	handled      *prometheus.HistogramVec
	alerts       *prometheus.CounterVec
	sendGrid     *prometheus.HistogramVec
	runEvents    prometheus.Histogram
	runTook      prometheus.Histogram
	requests     *prometheus.HistogramVec
	active       prometheus.Gauge
}

var (
	fromMilliseconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	upToThousands    = []float64{1, 2, 4, 8, 16, 64, 256, 1024, 4096}
)

func newInstruments() instruments {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postern", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "postern", Name: name, Help: help, Buckets: buckets}
	}
	i := instruments{
		published: counter("events_published_total",
			"Events that this process put on the record, by type, and whether they were acknowledged or not.", "type", "outcome"),
		publishTook: prometheus.NewHistogram(histogram("publish_duration_seconds",
			"How long the record took to acknowledge what was published at once.", fromMilliseconds)),
		publishBatch: prometheus.NewHistogram(histogram("publish_batch_events",
			"How many events were published at once.", upToThousands)),
		handled: prometheus.NewHistogramVec(histogram("event_handling_duration_seconds",
			"How long handlers had an event, by consumer, and whether they were done with it.", fromMilliseconds), []string{"consumer", "outcome"}),
		alerts: counter("alerts_total",
			"Alerts that came to an end: accepted, failed, skipped or unknown.", "outcome"),
		sendGrid: prometheus.NewHistogramVec(histogram("sendgrid_request_duration_seconds",
			"How long SendGrid took to answer, by what the answer meant and its HTTP status, 0 where none came.", fromMilliseconds), []string{"answer", "status"}),
		runEvents: prometheus.NewHistogram(histogram("recorder_run_events",
			"How many events the recorder wrote in one transaction.", upToThousands)),
		runTook: prometheus.NewHistogram(histogram("recorder_run_duration_seconds",
			"How long such a transaction took.", fromMilliseconds)),
		requests: prometheus.NewHistogramVec(histogram("http_request_duration_seconds",
			"How long requests took, by route and status.", fromMilliseconds), []string{"route", "status"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "postern", Name: "http_requests_active", Help: "Requests under way."}),
	}
	// A counter that begins at one is no increase to Prometheus.
	for _, state := range []events.AlertState{events.AlertAccepted, events.AlertFailed, events.AlertSkipped, events.AlertUnknown} {
		i.alerts.WithLabelValues(string(state))
	}
	return i
}

func (i instruments) all() []prometheus.Collector {
	return []prometheus.Collector{i.published, i.publishTook, i.publishBatch, i.handled, i.alerts, i.sendGrid,
		i.runEvents, i.runTook, i.requests, i.active}
}
