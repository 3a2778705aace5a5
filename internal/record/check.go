package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/ledger"
	"postern/internal/position"
)

// checkLast is how many events before the position the quick check reads again.
const checkLast = 256

// A Fault is a run of events of which the stream does not say what the copy says.
type Fault struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	What  string `json:"what"`
}

func (f Fault) String() string {
	if f.First == f.Last {
		return fmt.Sprintf("event %d %s", f.First, f.What)
	}
	return fmt.Sprintf("events %d to %d %s", f.First, f.Last, f.What)
}

// A CheckReport is what came of holding the stream against the copy in Postgres.
type CheckReport struct {
	State    eventlog.State `json:"stream"`
	Position uint64         `json:"position"`
	Compared uint64         `json:"compared"` // events read from both
	Faults   []Fault        `json:"faults"`
}

// OK tells whether the stream is whole.
func (r CheckReport) OK() bool { return len(r.Faults) == 0 }

func (r CheckReport) String() string {
	if r.OK() {
		return fmt.Sprintf("the stream is whole: %d events, %d recorded, %d compared with the copy", r.State.Msgs, r.Position, r.Compared)
	}
	all := make([]string, len(r.Faults))
	for i, f := range r.Faults {
		all[i] = f.String()
	}
	return "the stream is damaged: " + strings.Join(all, "; ")
}

func (r *CheckReport) fault(first, last uint64, what string) {
	if n := len(r.Faults); n > 0 && r.Faults[n-1].What == what && r.Faults[n-1].Last+1 == first {
		r.Faults[n-1].Last = last
		return
	}
	r.Faults = append(r.Faults, Fault{first, last, what})
}

// What can be wrong with an event in the stream.
const (
	faultMissing = "missing from the stream"
	faultChanged = "not what the copy says"
)

// Check holds the stream's own account of itself, and the events just before the
// recorder's position, against the copy. It reads a few hundred events, however
// long the record is.
func Check(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool) (CheckReport, error) {
	reached, err := position.Read(ctx, pool)
	if err != nil {
		return CheckReport{}, err
	}
	return check(ctx, log, pool, reached, reached-min(reached, checkLast)+1)
}

// CheckAll is Check over every event of the record.
func CheckAll(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool) (CheckReport, error) {
	reached, err := position.Read(ctx, pool)
	if err != nil {
		return CheckReport{}, err
	}
	return check(ctx, log, pool, reached, 1)
}

func check(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool, reached, from uint64) (CheckReport, error) {
	report := CheckReport{Position: reached}
	var err error
	if report.State, err = log.State(ctx); err != nil {
		return report, fmt.Errorf("asking for the stream's state: %w", err)
	}
	s := report.State
	if s.Last > 0 && s.First > 1 {
		report.fault(1, s.First-1, faultMissing)
	}
	if s.Last < reached {
		report.fault(s.Last+1, reached, faultMissing)
	}
	holes, err := compareRange(ctx, log, pool, &report, max(from, s.First, 1), min(reached, s.Last))
	if err != nil {
		return report, err
	}
	// The stream's own count also tells of holes outside of what was read.
	if s.Last > 0 && s.Msgs != s.Last && report.OK() && !holes {
		report.fault(s.First, s.Last, fmt.Sprintf("hold %d holes", s.Last-s.Msgs))
	}
	return report, nil
}

// compareRange reads a range from both sides and compares leaf by leaf. It gives
// true where it found a hole.
func compareRange(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool, report *CheckReport, from, to uint64) (holes bool, err error) {
	for next := from; next <= to; {
		rows, err := pool.Query(ctx, `SELECT seq, leaf FROM record.events WHERE seq BETWEEN $1 AND $2 ORDER BY seq LIMIT 10000`, next, to)
		if err != nil {
			return holes, fmt.Errorf("reading the copy: %w", err)
		}
		type copied struct {
			Seq  int64
			Leaf []byte
		}
		part, err := pgx.CollectRows(rows, pgx.RowToStructByPos[copied])
		if err != nil {
			return holes, fmt.Errorf("reading the copy: %w", err)
		}
		if len(part) == 0 {
			return holes, nil
		}
		leaves := make(map[uint64][]byte, len(part))
		last := uint64(part[len(part)-1].Seq) // #nosec G115 -- a sequence
		for _, c := range part {
			leaves[uint64(c.Seq)] = c.Leaf // #nosec G115 -- a sequence
		}
		err = eachStored(ctx, log, next, last, func(s *ledger.Stored) {
			leaf := ledger.Leaf(s)
			if !bytes.Equal(leaves[s.Seq], leaf[:]) {
				report.fault(s.Seq, s.Seq, faultChanged)
			}
			report.Compared++
		}, func(first, last uint64) {
			holes = true
			report.fault(first, last, faultMissing)
		})
		if err != nil {
			return holes, err
		}
		next = last + 1
	}
	return holes, nil
}

// silence is how long a range that should be there may bring nothing before it is
// asked for anew: a reader that begins at a hole is told so, one that comes to a
// hole at the end merely waits.
const silence = 2 * time.Second

// eachStored reads a range of the stream in order, over holes.
func eachStored(ctx context.Context, log *eventlog.Log, from, to uint64, each func(*ledger.Stored), hole func(first, last uint64)) error {
	for next := from; next <= to; {
		reading, stop := context.WithCancel(ctx)
		watchdog := time.AfterFunc(silence, stop)
		err := log.Read(reading, next, maxRunEvents, maxRunBytes, func(stored []eventlog.Stored) error {
			watchdog.Reset(silence)
			for _, s := range stored {
				if s.Seq > to {
					return errReached
				}
				each(&ledger.Stored{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: s.Data})
				if next = s.Seq + 1; next > to {
					return errReached
				}
			}
			return nil
		})
		watchdog.Stop()
		silent := reading.Err() != nil && ctx.Err() == nil
		stop()
		var gap eventlog.ErrGap
		switch {
		case errors.Is(err, errReached):
			return nil
		case errors.As(err, &gap):
			hole(gap.Want, min(gap.Got-1, to))
			next = gap.Got
		case silent: // again, from the next on
		case err != nil:
			return fmt.Errorf("reading the stream: %w", err)
		}
	}
	return nil
}

// mustBeWhole checks the stream, writes down what it found for the others to
// see, and gives an error where the stream is damaged.
func (r *Recorder) mustBeWhole(ctx context.Context) error {
	report, err := Check(ctx, r.Log, r.Pool)
	if err != nil {
		return err
	}
	_, err = r.Pool.Exec(ctx, `
		INSERT INTO app.record_check (ok, detail) VALUES ($1, $2)
		ON CONFLICT (singleton) DO UPDATE SET ok = excluded.ok, detail = excluded.detail, checked_at = now()`,
		report.OK(), report.String())
	if err != nil {
		return fmt.Errorf("writing down the state of the stream: %w", err)
	}
	if !report.OK() {
		return fmt.Errorf("%s. No message is accepted until `postern repair` has restored it from the copy", report)
	}
	return nil
}

func (r *Recorder) keepChecking(ctx context.Context) error {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := r.mustBeWhole(ctx); err != nil {
				return err
			}
		}
	}
}
