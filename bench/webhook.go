package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/notify/sendgridfake"
)

const (
	postEvents = 500    // events in a post
	postAtOnce = 4      // concurrent posts
	wantRate   = 10_000 // events a second that the system must handle
	maxLag     = time.Second
)

// signedPost is a post with its signature, made in advance because signing is not
// measured.
type signedPost struct {
	header http.Header
	body   []byte
}

// feedResult is the result of a feed of posts.
type feedResult struct {
	events    int
	answered  float64 // seconds until the last answer
	projected float64 // seconds until all is projected
	answers   []time.Duration
}

// measureWebhook sends SendGrid's reports on every alert of a blast: the first half of the
// events at full speed, the other half at wantRate.
func measureWebhook(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake, n int) error {
	fmt.Printf("sending to %d portal users …\n", n)
	if err := s.importDirectory(ctx, dir, n); err != nil {
		return err
	}
	var f Figures
	if err := s.blast(ctx, n, fake, &f); err != nil {
		return err
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := s.waitForRecorder(ctx, conn); err != nil {
		return err
	}
	posts, err := s.posts(fake)
	if err != nil {
		return err
	}
	half := len(posts) / 2
	fmt.Printf("\n%d cores, posts of %d events in a random order, %d at once\n\n", runtime.NumCPU(), postEvents, postAtOnce)
	fmt.Println("| offered | events | answered | projected | events/s | p50 of the answer | p99 |\n|---|---|---|---|---|---|---|")
	fast, err := s.feed(ctx, conn, posts[:half], 0)
	if err != nil {
		return err
	}
	fast.print("all at once")
	paced, err := s.feed(ctx, conn, posts[half:], wantRate)
	if err != nil {
		return err
	}
	paced.print(fmt.Sprintf("%d/s", wantRate))
	if offered := float64(paced.events) / wantRate; paced.projected > offered+maxLag.Seconds() {
		return fmt.Errorf("too slow: %.1f s of events were projected after %.1f s", offered, paced.projected)
	}
	return s.checkWebhook(ctx, conn)
}

// posts returns all of SendGrid's reports on the blast, in batches in a random order: each
// alert is processed and delivered, except every fiftieth, which bounces.
func (s *system) posts(fake *sendgridfake.Fake) ([]signedPost, error) {
	s.hook.URL = s.url + "/webhooks/sendgrid"
	var all []sendgridfake.Event
	now := time.Now()
	for m := range fake.Accepted() {
		all = append(all, sendgridfake.Processed(m, now))
		if m.Position%50 == 0 {
			all = append(all, sendgridfake.Bounce(m, now, "5.1.1", "550 5.1.1 <"+m.To+">: no such mailbox"))
		} else {
			all = append(all, sendgridfake.Delivered(m, now))
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var posts []signedPost
	for batch := range slices.Chunk(all, postEvents) {
		body, err := sendgridfake.EncodeEvents(batch)
		if err != nil {
			return nil, err
		}
		header, err := s.hook.Sign(body)
		if err != nil {
			return nil, err
		}
		posts = append(posts, signedPost{header, body})
	}
	return posts, nil
}

// feed sends posts at rate events a second, or at full speed with 0, and waits until all
// events are projected.
func (s *system) feed(ctx context.Context, conn *pgx.Conn, posts []signedPost, rate int) (feedResult, error) {
	f := feedResult{events: len(posts) * postEvents}
	due := make(chan signedPost)
	var mu sync.Mutex
	var faults []error
	var posting sync.WaitGroup
	taken := stopwatch()
	for range postAtOnce {
		posting.Go(func() {
			for p := range due {
				begin := time.Now()
				err := s.post(ctx, p)
				mu.Lock()
				f.answers = append(f.answers, time.Since(begin))
				faults = append(faults, err)
				mu.Unlock()
			}
		})
	}
	begin := time.Now()
	for i, p := range posts {
		if rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(i*postEvents) * time.Second / time.Duration(rate))))
		}
		due <- p
	}
	close(due)
	posting.Wait()
	f.answered = taken()
	if err := errors.Join(faults...); err != nil {
		return f, err
	}
	err := s.waitForRecorder(ctx, conn)
	f.projected = taken()
	slices.Sort(f.answers)
	return f, err
}

func (s *system) post(ctx context.Context, p signedPost) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.hook.URL, bytes.NewReader(p.body))
	if err != nil {
		return err
	}
	r.Header = p.header
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("a post got the answer %s", res.Status)
	}
	return nil
}

func (f feedResult) print(offered string) {
	at := func(percent int) time.Duration { return f.answers[min(len(f.answers)*percent/100, len(f.answers)-1)] }
	fmt.Printf("| %s | %d | %.1f s | %.1f s | %.0f | %.0f ms | %.0f ms |\n", offered, f.events, f.answered, f.projected,
		float64(f.events)/(f.projected), ms(at(50)), ms(at(99)))
}

// checkWebhook prints the results in the tables.
func (s *system) checkWebhook(ctx context.Context, conn *pgx.Conn) error {
	var failed, rows, dead, bytes int64
	err := conn.QueryRow(ctx, `SELECT (SELECT sum(alert_failed) FROM record.messages), (SELECT count(*) FROM record.reports),
		(SELECT count(*) FROM record.dead_addresses), (SELECT sum(octet_length(stored)) FROM record.events WHERE type = 'alerts.reported')`).
		Scan(&failed, &rows, &dead, &bytes)
	if err != nil {
		return err
	}
	rss, err := peakRSS(s.cmd.Process.Pid)
	fmt.Printf("\n%d alerts failed; %d rows of reports, %d dead addresses, %.1f MB of events kept; peak memory %.0f MiB\n",
		failed, rows, dead, float64(bytes)/1e6, rss)
	return err
}
