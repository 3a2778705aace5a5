package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/events"
)

// instruments are the metrics that are updated when something happens. Metrics of a state are
// read at each scrape; see [Telemetry.Watch].
type instruments struct {
	published    *prometheus.CounterVec
	publishTook  prometheus.Histogram
	publishBatch prometheus.Histogram
	handled      *prometheus.HistogramVec
	alerts       *prometheus.CounterVec
	signIns      *prometheus.CounterVec
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
			"Events that this process published to the record, by type and whether they were acknowledged.", "type", "outcome"),
		publishTook: prometheus.NewHistogram(histogram("publish_duration_seconds",
			"How long the record took to acknowledge a batch of events.", fromMilliseconds)),
		publishBatch: prometheus.NewHistogram(histogram("publish_batch_events",
			"Number of events in a published batch.", upToThousands)),
		handled: prometheus.NewHistogramVec(histogram("event_handling_duration_seconds",
			"How long handlers took for an event, by consumer and whether they succeeded.", fromMilliseconds), []string{"consumer", "outcome"}),
		alerts: counter("alerts_total",
			"Alerts with an outcome: accepted, failed, skipped or unknown.", "outcome"),
		signIns: counter("signin_failures_total",
			"Sign-ins that were refused, of staff or portal users, by reason.", "realm", "reason"),
		sendGrid: prometheus.NewHistogramVec(histogram("sendgrid_request_duration_seconds",
			"How long SendGrid took to answer, by the meaning of the answer and its HTTP status, 0 without an answer.", fromMilliseconds), []string{"answer", "status"}),
		runEvents: prometheus.NewHistogram(histogram("recorder_run_events",
			"Number of events that the recorder wrote in one transaction.", upToThousands)),
		runTook: prometheus.NewHistogram(histogram("recorder_run_duration_seconds",
			"How long a transaction of the recorder took.", fromMilliseconds)),
		requests: prometheus.NewHistogramVec(histogram("http_request_duration_seconds",
			"How long requests took, by route and status.", fromMilliseconds), []string{"route", "status"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "postern", Name: "http_requests_active", Help: "Requests in progress."}),
	}
	// Prometheus does not see an increase if a counter first appears with the value 1.
	for _, state := range []events.AlertState{events.AlertAccepted, events.AlertFailed, events.AlertSkipped, events.AlertUnknown} {
		i.alerts.WithLabelValues(string(state))
	}
	for _, realm := range []string{"staff", "portal_user"} {
		for _, reason := range []string{"wrong_password", "no_account"} {
			i.signIns.WithLabelValues(realm, reason)
		}
	}
	return i
}

func (i instruments) all() []prometheus.Collector {
	return []prometheus.Collector{i.published, i.publishTook, i.publishBatch, i.handled, i.alerts, i.signIns, i.sendGrid,
		i.runEvents, i.runTook, i.requests, i.active}
}
