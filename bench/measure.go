package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

func (v *visit) post(ctx context.Context, client *http.Client, path, contentType, body string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, v.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 400 {
		return fmt.Errorf("POST %s got the answer %s", path, res.Status)
	}
	return nil
}

func (v *visit) enter(ctx context.Context, client *http.Client, path, email string) error {
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	if err != nil {
		return err
	}
	return v.post(ctx, client, path, "application/json", string(body))
}

// drafts saves some drafts and returns the id of the last.
func (v *visit) drafts(ctx context.Context) (id string, err error) {
	for i := range 120 {
		id = uuid.NewString()
		form := url.Values{"subject": {fmt.Sprintf("Draft %d", i)}, "message": {"Not finished."},
			"version": {"0"}, "page": {uuid.NewString()}, "do": {"save"}}
		if err := v.post(ctx, v.staff, "/messages/drafts/"+id, "application/x-www-form-urlencoded", form.Encode()); err != nil {
			return "", err
		}
	}
	return id, nil
}

// timing holds the durations of a page's responses, from the request to the last byte,
// sorted, and the size of the page.
type timing struct {
	times []time.Duration
	bytes int
}

func (t timing) median() time.Duration { return t.times[len(t.times)/2] }
func (t timing) p95() time.Duration    { return t.times[min(len(t.times)*95/100, len(t.times)-1)] }

// measure requests every page and prints its timing. The error names every page that is
// too slow, too large or reads a large table from end to end.
func (v *visit) measure(ctx context.Context) error {
	before, err := v.scans(ctx)
	if err != nil {
		return err
	}
	var faults []error
	fmt.Printf("\n%-36s %9s %9s %8s\n", "page", "median", "p95", "size")
	for _, p := range pages {
		t, err := v.repeat(ctx, p)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		note := ""
		if t.median() > maxMedian {
			note = "  too slow"
			faults = append(faults, fmt.Errorf("%s takes %v", p.name, t.median().Round(time.Millisecond)))
		}
		if t.bytes > maxBytes {
			note += "  too large"
			faults = append(faults, fmt.Errorf("%s has %d bytes", p.name, t.bytes))
		}
		fmt.Printf("%-36s %6.1f ms %6.1f ms %5d kB%s\n", p.name, ms(t.median()), ms(t.p95()), t.bytes/1000, note)
	}
	if err := v.export(ctx); err != nil {
		faults = append(faults, err)
	}
	after, err := v.scans(ctx)
	if err != nil {
		return err
	}
	// A page that reads a table from end to end does so in every round, or in every round
	// after the first five, when Postgres may plan the query again.
	if table := after.fullScanSince(before, rounds/2); table != "" {
		fmt.Printf("\n%d rows of %s were read in sequential scans; looking for the page …\n", after[table].read-before[table].read, table)
		faults = append(faults, v.findFullScans(ctx, after))
	}
	return errors.Join(faults...)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (v *visit) repeat(ctx context.Context, p pageRequest) (t timing, err error) {
	for i := range warmUp + rounds {
		begin := time.Now()
		if t.bytes, err = v.ask(ctx, p); err != nil {
			return t, err
		}
		if i >= warmUp {
			t.times = append(t.times, time.Since(begin))
		}
	}
	slices.Sort(t.times)
	return t, nil
}

// export downloads the recipients of the message to all portal users, and prints the
// duration and the peak memory before and after.
func (v *visit) export(ctx context.Context) error {
	before, err := peakRSS(v.cmd.Process.Pid)
	if err != nil {
		return err
	}
	taken := stopwatch()
	n, err := v.ask(ctx, pageRequest{name: "Recipients as a file", path: "/messages/{blast}/recipients.csv"})
	if err != nil {
		return err
	}
	seconds := taken()
	after, err := peakRSS(v.cmd.Process.Pid)
	fmt.Printf("\nRecipients as a file: %.0f MB in %.1f s; peak memory %.0f MiB before, %.0f MiB after\n", float64(n)/1e6, seconds, before, after)
	return err
}

// ask requests a page and returns its size in bytes.
func (v *visit) ask(ctx context.Context, p pageRequest) (int, error) {
	method := http.MethodGet
	if p.typed != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, v.url+v.names.Replace(p.path), strings.NewReader(p.typed))
	if err != nil {
		return 0, err
	}
	if p.typed != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	client := v.staff
	if p.portal {
		client = v.portal
	}
	if p.fragment {
		r.Header.Set("HX-Request", "true")
	}
	res, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s (%s) got the answer %s", p.name, p.path, res.Status)
	}
	return int(n), err
}

// scans holds, for each large table, the number of rows that Postgres has read in
// sequential scans, and the number of rows that the table has.
type scans map[string]struct{ read, rows int64 }

// fullScanSince returns the name of a table that was read from end to end at least so many
// times since before, or "". A search may start a sequential scan and end it early, when it
// has found enough rows; that does not count.
func (s scans) fullScanSince(before scans, times int64) string {
	for table, now := range s {
		if now.read-before[table].read >= times*now.rows*9/10 {
			return table
		}
	}
	return ""
}

func (v *visit) scans(ctx context.Context) (scans, error) {
	// An idle server process reports its statistics after ten seconds.
	select {
	case <-time.After(11 * time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	rows, err := v.conn.Query(ctx, `SELECT relname, seq_tup_read, n_live_tup FROM pg_stat_user_tables WHERE n_live_tup > 50000`)
	if err != nil {
		return nil, err
	}
	all := scans{}
	var table string
	var read, live int64
	_, err = pgx.ForEachRow(rows, []any{&table, &read, &live}, func() error {
		all[table] = struct{ read, rows int64 }{read, live}
		return nil
	})
	return all, err
}

// findFullScans returns an error that names the pages whose queries read large tables from
// end to end.
func (v *visit) findFullScans(ctx context.Context, before scans) error {
	var faults []error
	for _, p := range pages {
		if _, err := v.ask(ctx, p); err != nil {
			continue // measure has reported it
		}
		after, err := v.scans(ctx)
		if err != nil {
			return err
		}
		if table := after.fullScanSince(before, 1); table != "" {
			faults = append(faults, fmt.Errorf("%s reads %s from end to end", p.name, table))
		}
		before = after
	}
	return errors.Join(faults...)
}
