package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"postern/internal/notify/sendgridfake"
)

// furtherBlasts is the number of blasts whose medians are reported.
const furtherBlasts = 3

const toAll = `{"portal_user_ids":[],"groups":["all_portal_users"]}`

func measureBlast(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake, n int, out string) error {
	fmt.Printf("importing %d portal users …\n", n)
	f := Figures{Recipients: n, Cores: runtime.NumCPU()}
	taken := stopwatch()
	if err := s.importDirectory(ctx, dir, n); err != nil {
		return err
	}
	f.ImportS = taken()
	fmt.Println("sending, right after the import …")
	before, err := s.bytes(ctx)
	if err != nil {
		return err
	}
	rosters, err := s.rosterBytes(ctx)
	if err != nil {
		return err
	}
	fresh, err := s.send(ctx, n, fake)
	if err != nil {
		return err
	}
	f.DeliverFreshS = fresh.deliver
	after, err := s.bytes(ctx)
	if err != nil {
		return err
	}
	f.BytesFirst = float64(after-before+rosters) / float64(n)
	if err := s.sendFurther(ctx, n, fake, &f); err != nil {
		return err
	}
	fmt.Println("previewing …")
	if err := s.measurePreview(ctx, &f); err != nil {
		return err
	}
	fmt.Println("sending, with small messages and busy inboxes beside …")
	if err := s.measureBeside(ctx, n, fake, &f); err != nil {
		return err
	}
	if err := s.measureMemory(&f); err != nil {
		return err
	}
	fmt.Println("copying the same rows …")
	if err := s.measureCopy(ctx, &f); err != nil {
		return err
	}
	f.DeliverFreshRatio, f.DeliverRatio, f.AlertRatio = f.DeliverFreshS/f.CopyS, f.DeliverS/f.CopyS, f.AlertS/f.CopyS
	return f.report(out)
}

// blast sends one message to all n portal users, for the measurements of what follows a
// blast.
func (s *system) blast(ctx context.Context, n int, fake *sendgridfake.Fake, f *Figures) error {
	one, err := s.send(ctx, n, fake)
	f.DeliverS, f.AlertS = one.deliver, one.alert
	return errors.Join(err, s.measureMemory(f))
}

func (s *system) measureMemory(f *Figures) (err error) {
	rss, err := peakRSS(s.cmd.Process.Pid)
	f.PeakRSSMiB = map[string]float64{"postern": rss}
	if err != nil {
		return err
	}
	f.RecordBytes, err = sizeOf(filepath.Join(s.data, "nats"))
	return err
}

// sent are a blast's id and its figures: seconds from the POST until all is delivered, until the
// last alert is accepted, and the processor time of this program, in which the stand-in runs.
type sent struct {
	id                      string
	deliver, alert, standin float64
}

// send sends one message to all portal users, and returns when every alert is accepted and
// recorded.
func (s *system) send(ctx context.Context, n int, fake *sendgridfake.Fake) (one sent, err error) {
	want, cpu := fake.Count()+n, processorTime()
	taken := stopwatch()
	if one.id, err = s.sendTo(ctx, toAll); err != nil {
		return one, err
	}
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute)
	defer stop()
	alerted := make(chan float64, 1)
	failed := make(chan error, 1)
	go func() {
		if err := fake.WaitFor(ctx, want); err != nil {
			failed <- fmt.Errorf("%d of %d alerts were accepted: %w", fake.Count()-want+n, n, err)
			return
		}
		alerted <- taken()
	}()
	// Polling slows down the measured system. This interval is short enough for an error of a
	// few per cent.
	pause := max(5*time.Millisecond, time.Duration(n/100)*time.Microsecond)
	if err := s.await(ctx, one.id, pause, func(p progress) bool { return p.Delivered >= n }); err != nil {
		return one, err
	}
	one.deliver = taken()
	select {
	case one.alert = <-alerted:
	case err := <-failed:
		return one, err
	}
	one.standin = processorTime() - cpu
	return one, s.await(ctx, one.id, 100*time.Millisecond, func(p progress) bool { return p.Alerted >= n })
}

// sendTo sends a message and returns its id.
func (s *system) sendTo(ctx context.Context, recipients string) (id string, err error) {
	var m struct {
		ID string `json:"id"`
	}
	err = s.call(ctx, http.MethodPost, "/v1/messages", strings.NewReader(`{"subject":"The practice is closed on Monday","body":"We open again on Tuesday at eight.",
		"recipients":`+recipients+`,"staff_bcc":[],"attachment_ids":[],"undo_seconds":0}`), &m)
	return m.ID, err
}

type progress struct{ Delivered, Alerted int }

// await polls a message until its progress is as wanted.
func (s *system) await(ctx context.Context, id string, pause time.Duration, is func(progress) bool) error {
	for {
		var m struct{ Progress progress }
		if err := s.call(ctx, http.MethodGet, "/v1/messages/"+id, nil, &m); err != nil {
			return err
		}
		if is(m.Progress) {
			return nil
		}
		time.Sleep(pause)
	}
}

// sendFurther sends further blasts and takes the medians of their figures.
func (s *system) sendFurther(ctx context.Context, n int, fake *sendgridfake.Fake, f *Figures) error {
	fmt.Println("sending again …")
	var deliver, alert, standin, cpu, bytes []float64
	for range furtherBlasts {
		before, err := s.bytes(ctx)
		if err != nil {
			return err
		}
		worked, err := s.processorTime()
		if err != nil {
			return err
		}
		one, err := s.send(ctx, n, fake)
		if err != nil {
			return err
		}
		working, err := s.processorTime()
		if err != nil {
			return err
		}
		after, err := s.bytes(ctx)
		if err != nil {
			return err
		}
		cpu = append(cpu, working-worked)
		fmt.Printf("  delivered in %.2f s, alerted in %.2f s, with %.2f s of processor time\n", one.deliver, one.alert, working-worked)
		deliver, alert, standin = append(deliver, one.deliver), append(alert, one.alert), append(standin, one.standin)
		bytes = append(bytes, float64(after-before)/float64(n))
	}
	f.DeliverS, f.AlertS, f.StandinCPUS, f.SystemCPUS, f.BytesPerDelivery = median(deliver), median(alert), median(standin), median(cpu), median(bytes)
	return nil
}

func median(some []float64) float64 {
	slices.Sort(some)
	return some[len(some)/2]
}

// bytes returns the size of everything that is kept: the stream, the tables and indexes of
// Postgres, and the content store.
func (s *system) bytes(ctx context.Context) (int64, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var total int64
	if err := conn.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&total); err != nil {
		return 0, err
	}
	for _, part := range []string{"nats", "content"} {
		n, err := sizeOf(filepath.Join(s.data, part))
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// rosterBytes returns the size of the rosters, in Postgres and in the content store. They are made
// after the import, and counted with the first message that cites them.
func (s *system) rosterBytes(ctx context.Context) (int64, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var total int64
	err = conn.QueryRow(ctx, `SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(ARRAY['app.rosters', 'app.roster_facts', 'app.roster_names', 'app.block_rosters']) t`).Scan(&total)
	if err != nil {
		return 0, err
	}
	n, err := sizeOf(filepath.Join(s.data, "content", "rosters"))
	return total + n, err
}

// measurePreview measures the preview of all portal users.
func (s *system) measurePreview(ctx context.Context, f *Figures) error {
	var times []float64
	for range 5 {
		var counts struct{ Count int }
		taken := stopwatch()
		if err := s.call(ctx, http.MethodPost, "/v1/recipients/preview", strings.NewReader(`{"recipients":`+toAll+`}`), &counts); err != nil {
			return err
		}
		times = append(times, taken())
		if counts.Count != f.Recipients {
			return fmt.Errorf("the preview counts %d of %d portal users", counts.Count, f.Recipients)
		}
	}
	f.PreviewS = median(times)
	return nil
}

// processorTime returns the processor time of this program in seconds.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func (f *Figures) report(out string) error {
	fmt.Printf(`
| recipients | raw COPY | import | delivered after it | ratio | delivered | ratio | alerted | ratio | preview | bytes a delivery | peak memory | events | record |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
| %d | %.2f s | %.1f s | %.2f s | %.2f | %.2f s | %.2f | %.2f s | %.2f | %.3f s | %.0f / %.0f | %.0f MiB | %d | %.1f MB |

Beside a blast, p99: a small message readable after %.0f ms, a page of an inbox in %.0f ms.
%d cores. Alerted: accepted by a stand-in for SendGrid on loopback that parses every request
(%.1f s of processor time of the bench and the stand-in). Bytes a delivery: of the first blast, of a further one.
`, f.Recipients, f.CopyS, f.ImportS, f.DeliverFreshS, f.DeliverFreshRatio, f.DeliverS, f.DeliverRatio, f.AlertS, f.AlertRatio, f.PreviewS,
		f.BytesFirst, f.BytesPerDelivery, f.PeakRSSMiB["postern"], f.Events, float64(f.RecordBytes)/1e6, f.SmallP99MS, f.InboxP99MS, f.Cores, f.StandinCPUS)
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(data, '\n'), 0o644) // #nosec G306 -- figures for all to read
}
