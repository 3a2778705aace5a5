// Command bench measures a blast from end to end and compares it with a raw COPY.
//
// In one run, on one machine, it measures (a) a raw COPY of the deliveries as rows of one
// delivery each (message, portal user, chunk, patients) into an empty table with two
// indexes, the better of one COPY and of batches of 10,000; (b) the time from POST
// /v1/messages until the last delivery can be read; (c) the time until the last alert was
// accepted by a stand-in for SendGrid that parses and keeps every request. The important
// figures are (b) and (c) divided by (a). The first blast follows the import of all its
// recipients at once. Of three further ones it takes the medians. During a last one it also
// sends small messages and reads inboxes. With -beside it measures only that one.
//
// With -pages it fills a clinic instead, with a million portal users, a hundred thousand
// messages and 650,000 events in the record. It requests every list and search page and
// every page of the record over HTTP. It fails if a page takes more than 100 ms at the
// median or if a query reads a large table from end to end.
//
// With -onto it sends the same blasts before and after it has written the tables of so many
// earlier deliveries by SQL, as copies of one blast (see history), and then measures pages of
// inboxes of some hundred messages and of the recipients who have not opened a message.
//
// With -record it measures the cost of the record and the speed of its proofs.
//
// With -webhook it sends SendGrid's reports on every alert of a blast, in signed batches
// in a random order, first at full speed and then at ten thousand a second.
//
// # Size
//
// The measurements are one program, one file each, because they share the clinic that
// they start.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"postern/internal/notify/sendgridfake"
)

// Figures are the results of a blast, as written to bench.json. Names ending in S are
// seconds, in MS milliseconds.
type Figures struct {
	Recipients        int                `json:"recipients"`
	ImportS           float64            `json:"import_s"`
	CopyS             float64            `json:"copy_s"`
	DeliverFreshS     float64            `json:"deliver_fresh_s"` // right after the import
	DeliverS          float64            `json:"deliver_s"`
	AlertS            float64            `json:"alert_s"`
	DeliverFreshRatio float64            `json:"deliver_fresh_ratio"`
	DeliverRatio      float64            `json:"deliver_ratio"`
	AlertRatio        float64            `json:"alert_ratio"`
	PreviewS          float64            `json:"preview_s"`                // of all portal users
	SmallP99MS        float64            `json:"small_p99_ms"`             // a message to one, during a blast: from the POST until it can be read
	InboxP99MS        float64            `json:"inbox_p99_ms"`             // a page of an inbox, 200 a second in all, during a blast
	BytesFirst        float64            `json:"bytes_per_delivery_first"` // with the rosters, which the import has made
	BytesPerDelivery  float64            `json:"bytes_per_delivery"`       // of a further blast: the stream, Postgres and the content store
	StandinCPUS       float64            `json:"standin_cpu_s"`            // processor time of the stand-in, and of this program, during a blast
	SystemCPUS        float64            `json:"system_cpu_s"`             // processor time of postern and Postgres, during a blast
	PeakRSSMiB        map[string]float64 `json:"peak_rss_mib"`
	Events            int64              `json:"events"`
	RecordBytes       int64              `json:"record_bytes"`
	Cores             int                `json:"cores"`
}

func main() {
	n := flag.Int("n", 100_000, "recipients")
	binary := flag.String("postern", "bin/postern", "the binary to measure")
	out := flag.String("out", "bench.json", "the file for the figures")
	keep := flag.Bool("keep", false, "keep the data folder")
	beside := flag.Bool("beside", false, "measure only small messages and inboxes beside a blast")
	record := flag.Bool("record", false, "measure the record instead: append, verify, receipt, rebuild")
	onto := flag.Int("onto", 0, "measure blasts and pages after so many earlier deliveries instead, at least as many as recipients")
	webhook := flag.Bool("webhook", false, "measure SendGrid's event webhook instead")
	pages := flag.Bool("pages", false, "measure the pages of a large clinic instead")
	users := flag.Int("users", 1_000_000, "portal users of that clinic")
	messages := flag.Int("messages", 100_000, "messages of that clinic")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	measure := func(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake) error {
		return measureBlast(ctx, s, dir, fake, *n, *out)
	}
	if *beside {
		measure = func(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake) error {
			return measureOnlyBeside(ctx, s, dir, fake, *n)
		}
	}
	if *pages {
		measure = func(ctx context.Context, s *system, _ string, _ *sendgridfake.Fake) error {
			return measurePages(ctx, s, *users, *messages)
		}
	}
	if *record {
		measure = func(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake) error {
			return measureRecord(ctx, s, dir, fake, *n)
		}
	}
	if *onto > 0 {
		measure = func(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake) error {
			return measureOnto(ctx, s, dir, fake, *n, *onto)
		}
	}
	if *webhook {
		measure = func(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake) error {
			return measureWebhook(ctx, s, dir, fake, *n)
		}
	}
	if err := run(ctx, *binary, *keep, measure); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run starts a system, measures it and stops it.
func run(ctx context.Context, binary string, keep bool, measure func(context.Context, *system, string, *sendgridfake.Fake) error) (err error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o711); err != nil { // #nosec G302 -- Postgres's own user passes through
		return err
	}
	if keep {
		fmt.Println("the data folder is", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	fake := sendgridfake.New(sendgridfake.Config{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	serving, stopFake := context.WithCancel(ctx)
	defer stopFake()
	go func() { _ = fake.Serve(serving, listener) }()

	key, err := sendgridfake.GenerateKey()
	if err != nil {
		return err
	}
	s := &system{binary: binary, data: filepath.Join(dir, "data"), sendgrid: "http://" + listener.Addr().String(),
		hook: sendgridfake.Webhook{PrivateKey: key}}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	return measure(ctx, s, dir, fake)
}

// stopwatch returns a function that returns the seconds since the call of stopwatch.
func stopwatch() func() float64 {
	begin := time.Now()
	return func() float64 { return time.Since(begin).Seconds() }
}
