// Package verify proves, or disproves, that the record is what was signed and that
// everything which is told from it agrees with it. It reads everything and believes
// nothing but the keys that it is given:
//
//   - the stream: every sequence, every schema, every leaf against the copy in
//     Postgres, and the tree that they make against every checkpoint ever signed,
//     those in Postgres and those in the archive;
//   - what the events say of one another: a delivery has an audience, an audience a
//     send, an alert a delivery ([trace]);
//   - Postgres: every projected table against a replay, the copy against its leaves;
//   - the archive: every segment against the same leaves;
//   - the content store: that what was sent and not erased can still be opened.
//
// With Since it takes a checkpoint's word for what came before it.
package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/content"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/archive"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/recorder"
	"postern/internal/recorder/position"
	"postern/schemas"
)

// A Verifier is used once.
type Verifier struct {
	Log  *eventlog.Log
	Pool *pgxpool.Pool // of a role that may create schemas
	// Archive may be nil, where there is none.
	Archive *archive.Archive
	// Content is where what was sent is looked for; nil: it is not.
	Content *content.Store
	Keys    *checkpoint.Verifiers
	// Since is a checkpoint before which nothing is looked at; nil: everything is.
	Since *checkpoint.Checkpoint
	// Progress, where it is set, is told the sequence reached and the last.
	Progress func(seq, last uint64)

	report  Report
	signed  []signed // by size; those that the walk has not come to
	judged  []judged // by size; those that it has
	tree    *merkle.Tree
	planted *merkle.Tree // as it was where the walk began
	copied  leaves
	trace   trace
	expected
	walked  uint64               // the last event that the stream was seen to have
	others  map[uint64]tlog.Hash // what it says where that is not what the copy says
	differs bool                 // there are such: no later root can be right
}

// A Fault is something that does not hold, and where.
type Fault struct {
	Where string `json:"where"`         // "event 17", "checkpoint of 40 events", "record.staff"
	Seq   uint64 `json:"seq,omitempty"` // of the event, where one is meant
	What  string `json:"what"`
}

func (f Fault) String() string { return f.Where + ": " + f.What }

// A Report says what was looked at and what was found.
type Report struct {
	OK          bool    `json:"ok"`
	From        uint64  `json:"from"`
	To          uint64  `json:"to"`
	Deliveries  uint64  `json:"deliveries"`
	Checkpoints int     `json:"checkpoints"` // different ones, all verified
	Segments    int     `json:"segments"`
	Unprojected uint64  `json:"unprojected"` // events of which nothing was made, as of a version that is not known
	Signed      uint64  `json:"signed"`      // events that the last checkpoint covers
	Seconds     float64 `json:"seconds"`
	Faults      []Fault `json:"faults"`
	Advice      string  `json:"advice,omitempty"` // what to run, where something does not hold

	Contents       int     `json:"contents"`                  // messages whose content was looked for: those that were not erased
	Missing        int     `json:"missing"`                   // of those, how many are not there whole
	MissingContent []Fault `json:"missing_content,omitempty"` // the first of them
}

// enough faults are as good as all: the first says where to look.
const enough = 20

func (v *Verifier) fault(where string, seq uint64, format string, args ...any) {
	if len(v.report.Faults) < enough {
		v.report.Faults = append(v.report.Faults, Fault{where, seq, fmt.Sprintf(format, args...)})
	}
}

func (v *Verifier) faultAt(seq uint64, format string, args ...any) {
	v.fault(fmt.Sprintf("event %d", seq), seq, format, args...)
}

// Run looks at everything. The error is for what kept it from looking; what it
// found is in the report.
func (v *Verifier) Run(ctx context.Context) (Report, error) {
	began := time.Now()
	// What is outside first: a checkpoint that is signed meanwhile covers more than
	// we are going to see.
	if err := v.readCheckpoints(ctx); err != nil {
		return v.report, err
	}
	segments, err := v.segments(ctx)
	if err != nil {
		return v.report, err
	}
	v.report.From = 1
	walk := v.everything
	if v.Since != nil {
		v.report.From = v.Since.Size + 1
		walk = v.since
	}
	if err := v.plant(ctx); err != nil {
		return v.report, err
	}
	switch err := walk(ctx); {
	case errors.Is(err, errBroken):
	case err != nil:
		return v.report, err
	default:
		v.endAt(v.report.To)
		if err := v.copies(ctx, segments); err != nil {
			return v.report, err
		}
		if err := v.relations(ctx); err != nil {
			return v.report, err
		}
	}
	if len(v.report.Faults) > 0 {
		if err := v.arbitrate(ctx, segments); err != nil {
			return v.report, err
		}
	}
	if err := v.contents(ctx); err != nil {
		return v.report, err
	}
	v.report.OK = len(v.report.Faults) == 0
	v.report.Seconds = time.Since(began).Seconds()
	if v.report.Faults == nil {
		v.report.Faults = []Fault{}
	}
	return v.report, nil
}

// errBroken ends a walk over a stream that lacks events: what comes after it would
// stand under wrong numbers.
var errBroken = errors.New("the stream is broken")

// broken makes a fault of the errors with which reading a damaged stream ends.
func (v *Verifier) broken(err error) error {
	var gap eventlog.ErrGap
	var cut eventlog.ErrTruncated
	switch {
	case errors.As(err, &gap):
		v.faultAt(gap.Want, "is missing from the stream; the next one there is %d", gap.Got)
	case errors.As(err, &cut):
		v.faultAt(cut.Last+1, "is missing from the stream, which ends before it")
	default:
		return err
	}
	return errBroken
}

// plant starts the tree and the trace where the walk begins.
func (v *Verifier) plant(ctx context.Context) error {
	v.copied = leaves{pool: v.Pool, next: v.report.From}
	v.trace = trace{}
	v.tree, v.planted, v.others = &merkle.Tree{}, &merkle.Tree{}, map[uint64]tlog.Hash{}
	if v.Since == nil {
		return nil
	}
	hashes := merklestore.Hashes(ctx, v.Pool, "record.hashes")
	tree, err := merkle.TreeAt(int64(v.Since.Size), hashes) // #nosec G115 -- parsed as 63 bits
	if err != nil {
		return fmt.Errorf("going on from event %d: %w", v.Since.Size, err)
	}
	if tree.Root() != v.Since.Root {
		return fmt.Errorf("the record that Postgres has is not the one that the checkpoint of %d events is of: run `postern verify` without --since", v.Since.Size)
	}
	v.tree, v.planted = tree, tree.Clone()
	return v.trace.load(ctx, v.Pool, v.Since, hashes)
}

// everything replays the record beside the real tables, and looks at every event
// on the way.
func (v *Verifier) everything(ctx context.Context) error {
	if err := v.mustReach(ctx); err != nil {
		return err
	}
	audit := &recorder.Rebuild{Log: v.Log, Pool: v.Pool, Progress: v.Progress}
	reached, differ, err := audit.Audit(ctx, func(e recorder.Replayed) error { return v.look(ctx, e) })
	if err != nil {
		return v.broken(err)
	}
	v.report.To = reached
	for _, d := range differ {
		where := d.Table
		if d.Seq > 0 {
			where = fmt.Sprintf("%s (event %d)", d.Table, d.Seq)
		}
		v.fault(where, d.Seq, "%s", d.What)
	}
	return nil
}

// since walks the stream from a checkpoint on, and compares the deliveries that it
// makes. Tables that were right then are taken as they are.
func (v *Verifier) since(ctx context.Context) error {
	if err := v.mustReach(ctx); err != nil {
		return err
	}
	audit := &recorder.Rebuild{Log: v.Log, Pool: v.Pool, Progress: v.Progress}
	reached, differ, err := audit.AuditSince(ctx, v.Since.Size, func(e recorder.Replayed) error { return v.look(ctx, e) })
	if err != nil {
		return v.broken(err)
	}
	v.report.To = reached
	for _, d := range differ {
		v.fault(fmt.Sprintf("%s (event %d)", d.Table, d.Seq), d.Seq, "%s", d.What)
	}
	return nil
}

// mustReach finds a stream that ends before what Postgres has: a reader would wait
// for what is missing.
func (v *Verifier) mustReach(ctx context.Context) error {
	state, err := v.Log.State(ctx)
	if err != nil {
		return err
	}
	recorded, err := position.Read(ctx, v.Pool)
	if err != nil || state.Last >= recorded {
		return err
	}
	v.faultAt(state.Last+1, "is missing from the stream, which ends before it; Postgres has %d events", recorded)
	v.endAt(recorded)
	return errBroken
}

// look is what is done with every event, in order.
func (v *Verifier) look(ctx context.Context, e recorder.Replayed) error {
	leaf, err := v.copied.leaf(ctx, e.Seq)
	if err != nil {
		return err
	}
	v.walked = e.Seq
	if !bytes.Equal(leaf, e.Leaf[:]) {
		v.faultAt(e.Seq, "the stream does not say what the copy in Postgres says")
		v.differs = true
		if len(v.others) < enough {
			v.others[e.Seq] = tlog.Hash(e.Leaf)
		}
	}
	v.tree.Append(tlog.Hash(e.Leaf))
	v.passCheckpoints(e.Seq)
	v.report.Deliveries += uint64(e.Recipients) // #nosec G115 -- a count
	if e.Bad != nil {
		v.report.Unprojected++
		return nil
	}
	if e.Event.Type != events.TypeDeliveriesCreated { // whose canonical form is stricter than its schema, and was read
		if err := schemas.Validate(e.Event); err != nil {
			v.faultAt(e.Seq, "%v", err)
		}
	}
	if e.Subject != e.Event.Subject() {
		v.faultAt(e.Seq, "stands under %s and should under %s", e.Subject, e.Event.Subject())
	}
	if err := v.trace.add(e); err != nil {
		v.faultAt(e.Seq, "%v", err)
	}
	return nil
}
