package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/health"
)

// scrapeTimeout is the most that a scrape waits for the state.
const scrapeTimeout = 3 * time.Second

// scraped are the parts of the state that are in /metrics.
var scraped = []health.Part{health.PartRecord, health.PartRecorder, health.PartParked, health.PartWaiting, health.PartPauses,
	health.PartReplication, health.PartPromotion, health.PartContent, health.PartEmergencies}

// Watch adds the state of the system to /metrics. Each scrape reads it.
func (t *Telemetry) Watch(read func(context.Context, ...health.Part) (health.State, error)) {
	t.registry.MustRegister(states{read})
}

// WatchDisk adds the free space on the record's disk to /metrics, in bytes, -1 if unknown.
func (t *Telemetry) WatchDisk(free func() float64) {
	t.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: "disk_free_bytes",
		Help: "Free space on the disk of the record in bytes; -1 if unknown."}, free))
}

// WatchArchive adds to /metrics how far the archive is behind.
func (t *Telemetry) WatchArchive(behind func() time.Duration) {
	t.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: "archive_behind_seconds",
		Help: "Seconds since the archive last had all signed events; 0 without an archive."},
		func() float64 { return behind().Seconds() }))
}

// WatchCertificate adds to /metrics how long the certificate of TLS is still valid.
func (t *Telemetry) WatchCertificate(expires func() time.Time) {
	t.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: "tls_certificate_expiry_seconds",
		Help: "Seconds until the certificate of this process expires; negative after that, and if there is none."},
		func() float64 {
			at := expires()
			if at.IsZero() {
				return -1
			}
			return time.Until(at).Seconds()
		}))
}

// states is a [prometheus.Collector].
type states struct {
	read func(context.Context, ...health.Part) (health.State, error)
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("postern_"+name, help, labels, nil)
}

var (
	storesReachable = describe("stores_reachable", "1 if NATS and Postgres answered all queries of this scrape, else 0.")
	streamLast      = describe("stream_last_sequence", "Sequence of the last event of the record.")
	streamBytes     = describe("stream_bytes", "Size of the record in bytes.")
	recorderAt      = describe("recorder_position", "Sequence of the last event that the tables show.")
	lagEvents       = describe("recorder_lag_events", "Events on the record that the tables do not show yet.")
	lagSeconds      = describe("recorder_lag_seconds", "Age in seconds of the first event that the tables do not show yet.")
	recordWhole     = describe("record_whole", "1 if the stream equalled its copy when the recorder last compared them, else 0.")
	eventsParked    = describe("events_parked", "Open parked events of a consumer: its handler failed, and they were neither handled later nor discarded.", "consumer")
	retriesWaiting  = describe("alert_retries_waiting", "Chunks whose alerts wait for a retry or for the end of a pause.")
	pauses          = describe("alerting_pauses", "Pauses of alerting in force: of all messages, or of one.")
	contentMissing  = describe("content_missing", "Messages whose content this process found missing although it was not erased.")
	keysUncopied    = describe("content_keys_uncopied", "Content keys without a copy in the content store; -1 if Postgres can't be read.")
	asynchronous    = describe("postgres_asynchronous_replicas", "Replicas of Postgres for which its commits do not wait; -1 if it can't be read.")
	openings        = describe("emergency_access_opened_total", "How often emergency access to content or disclosures was opened, since the record began.")
	unreviewed      = describe("emergency_access_unreviewed", "Emergency access that no one has reviewed yet.")
	unsettled       = describe("postgres_promotion_unsettled",
		"1 if Postgres was promoted or restored, and alerts wait until its possible losses are named; -1 if it can't be read.")
)

// Describe implements [prometheus.Collector].
func (s states) Describe(all chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{storesReachable, streamLast, streamBytes, recorderAt, lagEvents, lagSeconds, recordWhole, eventsParked,
		retriesWaiting, pauses, contentMissing, keysUncopied, asynchronous, unsettled, openings, unreviewed} {
		all <- d
	}
}

// Collect implements [prometheus.Collector]. It leaves out the metrics of parts that can't be
// read, except three that are then -1.
func (s states) Collect(all chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	st, err := s.read(ctx, scraped...)
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	read := func(part health.Part) bool { return st.Unread[part] == nil }
	known := func(part health.Part, value float64) float64 {
		if !read(part) {
			return -1
		}
		return value
	}
	gauge(storesReachable, number(err == nil))
	if read(health.PartRecorder) {
		gauge(streamLast, float64(st.Stream.Last))
		gauge(streamBytes, float64(st.Stream.Bytes))
		gauge(recorderAt, float64(st.Recorder.Position))
		gauge(lagEvents, float64(st.Recorder.Events))
		gauge(lagSeconds, st.Recorder.Age.Seconds())
	}
	if read(health.PartRecord) {
		gauge(recordWhole, number(st.Record.Whole))
	}
	if read(health.PartWaiting) {
		gauge(retriesWaiting, float64(st.Retries))
	}
	if read(health.PartPauses) {
		gauge(pauses, float64(len(st.Pauses)))
	}
	for consumer, n := range st.ParkedOf {
		gauge(eventsParked, float64(n), consumer)
	}
	if read(health.PartEmergencies) {
		all <- prometheus.MustNewConstMetric(openings, prometheus.CounterValue, float64(st.Emergencies.Opened))
		gauge(unreviewed, float64(st.Emergencies.Unreviewed))
	}
	gauge(contentMissing, float64(st.Content.Missing))
	gauge(keysUncopied, known(health.PartContent, float64(st.Content.Uncopied)))
	gauge(asynchronous, known(health.PartReplication, float64(st.Replication.Asynchronous())))
	gauge(unsettled, known(health.PartPromotion, number(st.Unsettled)))
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
