package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// measureExports downloads the whole record over HTTP in each format, after one recipient
// in five has opened the message. A CSV file has a row for each event, a FHIR file a
// resource for each delivery and each opening.
func (s *system) measureExports(ctx context.Context, _ Figures) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := s.publishOpens(ctx, conn); err != nil {
		return err
	}
	before, err := peakRSS(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	for _, form := range []string{"csv", "ndjson", "fhir.ndjson"} {
		taken := stopwatch()
		rows, size, err := s.download(ctx, "/v1/record."+form)
		if err != nil {
			return err
		}
		t := taken()
		figure("export as "+form, "%.0f rows a second (%d rows, %.0f MB in %.2f s)", float64(rows)/t, rows, float64(size)/1e6, t)
	}
	after, err := peakRSS(s.cmd.Process.Pid)
	figure("export, peak memory", "%.0f MiB before, %.0f MiB after", before, after)
	return err
}

// publishOpens publishes an opening for one delivery in five.
func (s *system) publishOpens(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT d.message_id, u.portal_user_id, d.portal_user_no
		FROM record.deliveries d JOIN app.portal_users u USING (portal_user_no) WHERE d.portal_user_no % 5 = 0`)
	if err != nil {
		return err
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[events.DeliveryOpened])
	if err != nil {
		return err
	}
	log, err := s.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	b := &batch{log: log}
	b.publish(ctx, time.Now().Add(-time.Second), len(all), func(i int) (string, events.Body) {
		return "portal_user:" + all[i].PortalUserID, all[i]
	})
	if b.flush(ctx); b.err != nil {
		return b.err
	}
	return waitForPosition(ctx, conn, b.last)
}

// download reads a response to its end and returns the number of its lines and bytes.
func (s *system) download(ctx context.Context, path string) (lines, size int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	for part := make([]byte, 64<<10); ; {
		n, err := resp.Body.Read(part)
		lines, size = lines+bytes.Count(part[:n], []byte("\n")), size+n
		if errors.Is(err, io.EOF) {
			return lines, size, nil
		}
		if err != nil {
			return lines, size, err
		}
	}
}
