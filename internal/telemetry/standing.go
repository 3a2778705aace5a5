package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Standing is how the record and what waits beside it stand at a moment.
type Standing struct {
	Last     uint64        // event of the stream
	Bytes    uint64        // of the stream
	Position uint64        // of the recorder
	Behind   time.Duration // age of the first event that is not recorded yet, 0 where all are
	Whole    bool          // as the recorder last found when it held the stream against its copy
	Parked   map[string]int
	Waiting  int // chunks whose alerts are to be tried again
}

// scrapeTimeout bounds what a scrape may wait for.
const scrapeTimeout = 3 * time.Second

// Watch has /metrics tell how things stand, reading it at each scrape.
func (t *Telemetry) Watch(read func(context.Context) (Standing, error)) {
	t.registry.MustRegister(standings{read})
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

// WatchContent has /metrics tell of content that is missing, and of keys that are in
// Postgres alone, -1 where that can't be read.
func (t *Telemetry) WatchContent(missing, uncopied func() float64) {
	t.gauge("content_missing", "Messages whose content this process found missing although it was not erased.", missing)
	t.gauge("content_keys_uncopied", "Content keys of which the content store has no copy yet; -1 where Postgres can't be asked.", uncopied)
}

// WatchPostgres has /metrics tell what a failover of Postgres would lose, and may have
// lost, -1 where that can't be read.
func (t *Telemetry) WatchPostgres(asynchronous, unsettled func() float64) {
	t.gauge("postgres_asynchronous_replicas", "Replicas of Postgres, where its commits wait for none; -1 where it can't be asked.", asynchronous)
	t.gauge("postgres_promotion_unsettled",
		"1 where Postgres was promoted or restored and alerts wait until what that may have lost is named; -1 where it can't be asked.", unsettled)
}

func (t *Telemetry) gauge(name, help string, read func() float64) {
	t.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: name, Help: help}, read))
}

// standings is a [prometheus.Collector].
type standings struct {
	read func(context.Context) (Standing, error)
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("postern_"+name, help, labels, nil)
}

var (
	storesReachable = describe("stores_reachable", "1 where NATS and Postgres could be asked for what stands below, else 0.")
	streamLast      = describe("stream_last_sequence", "The last event of the record.")
	streamBytes     = describe("stream_bytes", "How large the record is.")
	recorderAt      = describe("recorder_position", "The last event that the tables show.")
	lagEvents       = describe("recorder_lag_events", "Events on the record that the tables do not show yet.")
	lagSeconds      = describe("recorder_lag_seconds", "How old the first of them is.")
	recordWhole     = describe("record_whole", "1 where the stream held against its copy, 0 where it is damaged.")
	parked          = describe("events_parked", "Events that no handler of a consumer could handle and that are open: neither handled since nor discarded.", "consumer")
	retriesWaiting  = describe("alert_retries_waiting", "Chunks whose alerts wait to be tried again.")
)

// Describe implements [prometheus.Collector].
func (s standings) Describe(all chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{storesReachable, streamLast, streamBytes, recorderAt, lagEvents, lagSeconds, recordWhole, parked, retriesWaiting} {
		all <- d
	}
}

// Collect implements [prometheus.Collector].
func (s standings) Collect(all chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		all <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	st, err := s.read(ctx)
	gauge(storesReachable, number(err == nil))
	if err != nil {
		return // what is not known is not told
	}
	gauge(streamLast, float64(st.Last))
	gauge(streamBytes, float64(st.Bytes))
	gauge(recorderAt, float64(st.Position))
	gauge(lagEvents, float64(st.Last-min(st.Last, st.Position)))
	gauge(lagSeconds, st.Behind.Seconds())
	gauge(recordWhole, number(st.Whole))
	gauge(retriesWaiting, float64(st.Waiting))
	for consumer, n := range st.Parked {
		gauge(parked, float64(n), consumer)
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
