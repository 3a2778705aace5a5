// Package damage compares the stream with its copy in Postgres, and repairs the stream from
// the copy. What the tables hold beside the copy is for package rebuild.
package damage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/position"
)

// checkLast is how many events the quick check reads before the recorder's position,
// and at the end of the stream.
const checkLast = 256

// A Fault is a range of events where the stream differs from the copy.
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

// A Report is the result of comparing the stream with its copy in Postgres.
type Report struct {
	State    eventlog.State `json:"stream"`
	Position uint64         `json:"position"`
	Compared uint64         `json:"compared"` // events read from both
	Faults   []Fault        `json:"faults"`
}

// OK reports whether no fault was found.
func (r Report) OK() bool { return len(r.Faults) == 0 }

func (r Report) String() string {
	if r.OK() {
		return fmt.Sprintf("the stream is whole: %d events, %d recorded, %d compared with the copy", r.State.Msgs, r.Position, r.Compared)
	}
	all := make([]string, len(r.Faults))
	for i, f := range r.Faults {
		all[i] = f.String()
	}
	return "the stream is damaged: " + strings.Join(all, "; ")
}

func (r *Report) fault(first, last uint64, what string) {
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

// Check compares the stream's state, and the events just before the recorder's position,
// with the copy. It also reads the last events of the stream, which may not be copied yet.
// It reads a few hundred events, however long the record is.
func Check(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool) (Report, error) {
	reached, err := position.Read(ctx, pool)
	if err != nil {
		return Report{}, err
	}
	return check(ctx, log, pool, reached, checkLast)
}

// CheckAll is Check over every event of the stream.
func CheckAll(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool) (Report, error) {
	reached, err := position.Read(ctx, pool)
	if err != nil {
		return Report{}, err
	}
	return check(ctx, log, pool, reached, math.MaxUint64)
}

// check reads at most so many events on either side of the position.
func check(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool, reached, most uint64) (Report, error) {
	report := Report{Position: reached}
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
	holes, err := compareRange(ctx, log, pool, &report, max(reached-min(reached, most)+1, s.First), min(reached, s.Last))
	if err != nil {
		return report, err
	}
	// Events without a copy can't be compared, but a missing one is found.
	err = EachStored(ctx, log, max(reached+1, s.Last-min(s.Last, most)+1, s.First), s.Last, func(*merkle.Stored) {}, func(first, last uint64) {
		holes = true
		report.fault(first, last, faultMissing)
	})
	if err != nil {
		return report, err
	}
	// The stream's own count also reveals holes outside the range that was read.
	if s.Last > 0 && s.Msgs != s.Last && report.OK() && !holes {
		report.fault(s.First, s.Last, fmt.Sprintf("hold %d holes", s.Last-s.Msgs))
	}
	return report, nil
}

// compareRange reads a range from both sides and compares leaf by leaf. It returns true
// where it found a hole.
func compareRange(ctx context.Context, log *eventlog.Log, pool *pgxpool.Pool, report *Report, from, to uint64) (holes bool, err error) {
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
		err = EachStored(ctx, log, next, last, func(s *merkle.Stored) {
			leaf := merkle.Leaf(s)
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

// The largest run of events that is read at once.
const (
	runEvents = 4096
	runBytes  = 4 << 20
)

var errReached = errors.New("reached the end")

// readTimeout is how long a read of an existing range may return nothing before the next
// event is requested by its sequence.
const readTimeout = 2 * time.Second

// EachStored reads a range of the stream in order and calls each for every event, and hole
// for every range that the stream lacks. It always ends, however
// the stream is damaged: an event that the reader does not deliver is requested by its
// sequence, and is a hole where the stream does not have it.
func EachStored(ctx context.Context, log *eventlog.Log, from, to uint64, each func(*merkle.Stored), hole func(first, last uint64)) error {
	for next := from; next <= to; {
		reading, stop := context.WithCancel(ctx)
		watchdog := time.AfterFunc(readTimeout, stop)
		err := log.Read(reading, next, runEvents, runBytes, func(stored []eventlog.Stored) error {
			watchdog.Reset(readTimeout)
			for _, s := range stored {
				if s.Seq > to {
					return errReached
				}
				each(&merkle.Stored{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: s.Data})
				if next = s.Seq + 1; next > to {
					return errReached
				}
			}
			return nil
		})
		watchdog.Stop()
		timedOut := reading.Err() != nil && ctx.Err() == nil
		stop()
		var gap eventlog.ErrGap
		switch {
		case errors.Is(err, errReached):
			return nil
		case errors.As(err, &gap):
			hole(gap.Want, min(gap.Got-1, to))
			next = gap.Got
		case timedOut:
			s, err := log.Get(ctx, next)
			switch {
			case err == nil:
				each(&merkle.Stored{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: s.Data})
			case errors.Is(err, eventlog.ErrNotFound):
				hole(next, next)
			default:
				return err
			}
			next++
		case err != nil:
			return fmt.Errorf("reading the stream: %w", err)
		}
	}
	return nil
}
