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
		return fmt.Errorf("POST %s is answered with %s", path, res.Status)
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

// drafts saves some, and gives the id of one.
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

// took is how long the answers of a page took, from the request to their last byte,
// in order, and how large it is.
type took struct {
	times []time.Duration
	bytes int
}

func (t took) median() time.Duration { return t.times[len(t.times)/2] }
func (t took) p95() time.Duration    { return t.times[min(len(t.times)*95/100, len(t.times)-1)] }

// measure asks for every page, prints what it took, and says what is not as it
// should be.
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
		if t.median() > slow {
			note = "  too slow"
			faults = append(faults, fmt.Errorf("%s takes %v", p.name, t.median().Round(time.Millisecond)))
		}
		if t.bytes > heavy {
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
	// A page that reads one does so at every round, or at all after the first five, when
	// Postgres may plan a query anew.
	if table := after.wholeSince(before, rounds/2); table != "" {
		fmt.Printf("\n%d rows of %s were read from its beginning on; looking for the page …\n", after[table].read-before[table].read, table)
		faults = append(faults, v.blame(ctx, after))
	}
	return errors.Join(faults...)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (v *visit) repeat(ctx context.Context, p asked) (t took, err error) {
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

// export saves the recipients of the message to everybody, and says how long that
// takes and whether it is held in memory.
func (v *visit) export(ctx context.Context) error {
	before, err := peakRSS(v.cmd.Process.Pid)
	if err != nil {
		return err
	}
	taken := stopwatch()
	n, err := v.ask(ctx, asked{name: "Recipients as a file", path: "/messages/{blast}/recipients.csv"})
	if err != nil {
		return err
	}
	seconds := taken()
	after, err := peakRSS(v.cmd.Process.Pid)
	fmt.Printf("\nRecipients as a file: %.0f MB in %.1f s; peak memory %.0f MiB before, %.0f MiB after\n", float64(n)/1e6, seconds, before, after)
	return err
}

// ask asks for a page, and gives its size.
func (v *visit) ask(ctx context.Context, p asked) (int, error) {
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
		err = fmt.Errorf("%s (%s) is answered with %s", p.name, p.path, res.Status)
	}
	return int(n), err
}

// scans is how many rows of each large table Postgres has read from its beginning
// on, and how many it has.
type scans map[string]struct{ read, rows int64 }

// wholeSince names a table that has been read from end to end since, so many times or
// more. A search may well begin to, where it soon finds enough.
func (s scans) wholeSince(before scans, times int64) string {
	for table, now := range s {
		if now.read-before[table].read >= times*now.rows*9/10 {
			return table
		}
	}
	return ""
}

func (v *visit) scans(ctx context.Context) (scans, error) {
	// A server process that has nothing to do tells what it did after ten seconds.
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

// blame finds the pages whose queries read large tables from end to end.
func (v *visit) blame(ctx context.Context, before scans) error {
	var faults []error
	for _, p := range pages {
		if _, err := v.ask(ctx, p); err != nil {
			continue // said before
		}
		after, err := v.scans(ctx)
		if err != nil {
			return err
		}
		if table := after.wholeSince(before, 1); table != "" {
			faults = append(faults, fmt.Errorf("%s reads %s from end to end", p.name, table))
		}
		before = after
	}
	return errors.Join(faults...)
}
