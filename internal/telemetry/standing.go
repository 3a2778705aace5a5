package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/health"
)

// scrapeTimeout bounds what a scrape waits for.
const scrapeTimeout = 3 * time.Second

// scraped are the parts of the state that /metrics gives.
var scraped = []health.Part{health.PartRecord, health.PartRecorder, health.PartParked, health.PartWaiting, health.PartPauses,
	health.PartReplication, health.PartPromotion, health.PartContent}

// Watch makes /metrics give the state of the system, which each scrape reads.
func (t *Telemetry) Watch(read func(context.Context, ...health.Part) (health.State, error)) {
	t.registry.MustRegister(states{read})
}

// WatchDisk has /metrics tell how many bytes are free on the disk of the record, -1
// where nobody knows.
func (t *Telemetry) WatchDisk(free func() float64) {
	t.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: "disk_free_bytes",
		Help: "How much may still be written to the disk of the record; -1 where nobody knows."}, free))
}

// WatchArchive has /metrics tell how far the archive is behind.
func (t *Telemetry) WatchArchive(behind func() time.Duration) {
	t.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: "archive_behind_seconds",
		Help: "How long ago the archive was last seen to hold all that was signed; 0 where nobody carries anything there."},
		func() float64 { return behind().Seconds() }))
}

// states is a [prometheus.Collector].
type states struct {
	read func(context.Context, ...health.Part) (health.State, error)
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("postern_"+name, help, labels, nil)
}

var (
	storesReachable = describe("stores_reachable", "1 where NATS and Postgres answered for all that this process says of them, else 0.")
	streamLast      = describe("stream_last_sequence", "The last event of the record.")
	streamBytes     = describe("stream_bytes", "How large the record is.")
	recorderAt      = describe("recorder_position", "The last event that the tables show.")
	lagEvents       = describe("recorder_lag_events", "Events on the record that the tables do not show yet.")
	lagSeconds      = describe("recorder_lag_seconds", "How long the first of them has been on the record.")
	recordWhole     = describe("record_whole", "1 where the stream agreed with its copy when the recorder last compared them, else 0.")
	eventsParked    = describe("events_parked", "Events that no handler of a consumer could handle and that are open: neither handled since nor discarded.", "consumer")
	retriesWaiting  = describe("alert_retries_waiting", "Chunks whose alerts wait to be tried again.")
	pauses          = describe("alerting_pauses", "Pauses of alerting that are in force: of all messages, or of one.")
	contentMissing  = describe("content_missing", "Messages whose content this process found missing although it was not erased.")
	keysUncopied    = describe("content_keys_uncopied", "Content keys of which the content store has no copy yet; -1 where Postgres can't be asked.")
	asynchronous    = describe("postgres_asynchronous_replicas", "Replicas of Postgres, where its commits wait for none; -1 where it can't be asked.")
	unsettled       = describe("postgres_promotion_unsettled",
		"1 where Postgres was promoted or restored and alerts wait until what that may have lost is named; -1 where it can't be asked.")
)

// Describe implements [prometheus.Collector].
func (s states) Describe(all chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{storesReachable, streamLast, streamBytes, recorderAt, lagEvents, lagSeconds, recordWhole, eventsParked,
		retriesWaiting, pauses, contentMissing, keysUncopied, asynchronous, unsettled} {
		all <- d
	}
}

// Collect implements [prometheus.Collector]. It leaves out the metrics of parts that can't be
// read, but for three that are then -1.
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
