package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/notify/sendgridfake"
	"postern/internal/proof/receipt"
)

// measureRecord sends one blast and measures the record: how fast events are appended with
// tree and index, how fast everything is verified and rebuilt, how long a receipt takes,
// and the exports.
func measureRecord(ctx context.Context, s *system, dir string, fake *sendgridfake.Fake, n int) error {
	fmt.Printf("importing %d portal users, sending to them …\n", n)
	if err := s.importDirectory(ctx, dir, n); err != nil {
		return err
	}
	f := Figures{Recipients: n}
	if err := s.blast(ctx, n, fake, &f); err != nil {
		return err
	}
	if err := s.measureCopy(ctx, &f); err != nil {
		return err
	}
	for _, measure := range []func(context.Context, Figures) error{s.measureVerify, s.measureRebuild, s.measureReceipts, s.measureAppend, s.measureExports} {
		if err := measure(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func figure(name, format string, args ...any) {
	fmt.Printf("%-34s %s\n", name, fmt.Sprintf(format, args...))
}

const smallEvents = 20_000

// measureAppend publishes small events, a thousand at once, and waits until they can be
// read. Each is a row, an index entry and about two hashes.
func (s *system) measureAppend(ctx context.Context, _ Figures) error {
	log, err := s.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	taken := stopwatch()
	var last uint64
	for range smallEvents / 1000 {
		var some []events.Event
		for range 1000 {
			e, err := events.New("/bench", "operator:bench", time.Now(), events.SignIn{Attempt: uuid.New(), Account: "staff", ID: "bench", Method: events.ByPassword})
			if err != nil {
				return err
			}
			some = append(some, e)
		}
		if last, err = log.Publish(ctx, some...); err != nil {
			return err
		}
	}
	if err := waitForPosition(ctx, conn, last); err != nil {
		return err
	}
	figure("events appended", "%.0f a second, with tree and index", smallEvents/taken())
	return nil
}

// measureVerify runs a complete verify.
func (s *system) measureVerify(ctx context.Context, f Figures) error {
	out, err := s.verb(ctx, "verify", "--json")
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var report struct {
		To         uint64
		Deliveries uint64
		Seconds    float64
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		return err
	}
	figure("verify", "%.0f deliveries a second (%d events in %.2f s)", float64(report.Deliveries)/report.Seconds, report.To, report.Seconds)
	return nil
}

// measureReceipts issues receipts over HTTP, once a checkpoint covers the delivery, and
// checks them with only the key.
func (s *system) measureReceipts(ctx context.Context, _ Figures) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var path string
	err = conn.QueryRow(ctx, `SELECT '/v1/messages/' || d.message_id || '/deliveries/' || u.portal_user_id || '/receipt'
		FROM (SELECT message_id, record.portal_users_of(block, members) AS portal_user_no FROM record.inbox ORDER BY block DESC LIMIT 1) d
		JOIN app.portal_users u USING (portal_user_no) ORDER BY d.portal_user_no DESC LIMIT 1`).Scan(&path)
	if err != nil {
		return err
	}
	key, err := s.raw(ctx, "/v1/record/key")
	if err != nil {
		return err
	}
	var issue, check []time.Duration
	size := 0
	for range 20 {
		began := time.Now()
		file, err := s.raw(ctx, path)
		if err != nil {
			return err
		}
		issue, began = append(issue, time.Since(began)), time.Now()
		if _, _, err := receipt.Verify(file, string(key)); err != nil {
			return err
		}
		check, size = append(check, time.Since(began)), len(file)
	}
	slices.Sort(issue)
	slices.Sort(check)
	figure("receipt", "issued in %.1f ms, checked in %.1f ms (%d kB)", ms(issue[len(issue)/2]), ms(check[len(check)/2]), size/1000)
	return nil
}

func (s *system) raw(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("GET %s: %s: %s", path, resp.Status, body))
	}
	return body, err
}

// measureRebuild rebuilds every table beside the real ones and compares them. Then it
// rebuilds again and replaces the real ones.
func (s *system) measureRebuild(ctx context.Context, f Figures) error {
	for _, v := range [][]string{{"rebuild", "--check"}, {"rebuild"}} {
		taken := stopwatch()
		if _, err := s.verb(ctx, v...); err != nil {
			return err
		}
		t := taken()
		figure(fmt.Sprint(v), "%.2f s for %d deliveries, %.2f times raw COPY", t, f.Recipients, t/f.CopyS)
	}
	return nil
}
