// Package verify checks that the record matches the signed checkpoints, and that all data
// derived from it agrees with it. It reads everything and trusts only the keys that it is
// given. It compares:
//
//   - the stream: every sequence and schema, every leaf with the copy in Postgres, and the
//     tree of the leaves with every checkpoint ever signed, in Postgres and in the archive;
//   - the events with one another: a delivery needs an audience, an audience a sent message,
//     an alert a delivery ([trace]), and the members of a group are those whom the rule gives on
//     the cited state of the directory; the roots of its rosters are recomputed if Content is given
//     (package audiences);
//   - if Content is given, the people whom each event hides are those of the root of its entries (package entries);
//   - Postgres: every projected table with a replay, and the copy with its leaves;
//   - the archive: every segment with the same leaves;
//   - the content store: the content of messages that were sent and not erased must exist.
//
// With Since it trusts a checkpoint for all events before it.
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
	"postern/internal/proof/entrykey"
	"postern/internal/proof/merkle"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/proof/verify/audiences"
	"postern/internal/proof/verify/entries"
	"postern/internal/recorder/position"
	"postern/internal/recorder/rebuild"
	"postern/schemas"
)

// A Verifier can be used for one Run.
type Verifier struct {
	Log  *eventlog.Log
	Pool *pgxpool.Pool // of a role that may create schemas
	// Archive is nil if there is none.
	Archive *archive.Archive
	// Content is searched for the content of messages; if nil, that is not checked.
	Content *content.Store
	Keys    *checkpoint.Verifiers
	// Since is a checkpoint; events before it are not checked. If nil, all are.
	Since *checkpoint.Checkpoint
	// Progress, if set, is called with the sequence reached and the last one.
	Progress func(seq, last uint64)

	report    Report
	signed    []signed             // by size; not reached by the walk yet
	compared  []comparedCheckpoint // by size; already compared with the stream
	tree      *merkle.Tree
	startTree *merkle.Tree // the tree at the start of the walk
	copied    leaves
	trace     trace
	audiences *audiences.Check
	entries   entries.Check
	// misdirected is the number of reported faults of audiences.
	misdirected int
	expected
	walked  uint64               // the last event read from the stream
	others  map[uint64]tlog.Hash // the stream's leaves of events that differ from the copy
	differs bool                 // an event differs, so no later root can be right
}

// A Fault is a difference that was found, and its place.
type Fault struct {
	Where string `json:"where"`         // "event 17", "checkpoint of 40 events", "record.staff"
	Seq   uint64 `json:"seq,omitempty"` // of the event, if the fault is in one
	What  string `json:"what"`
}

func (f Fault) String() string { return f.Where + ": " + f.What }

// A Report is the result of a verification.
type Report struct {
	OK          bool    `json:"ok"`
	From        uint64  `json:"from"`
	To          uint64  `json:"to"`
	Deliveries  uint64  `json:"deliveries"`
	Checkpoints int     `json:"checkpoints"` // distinct ones, all verified
	Segments    int     `json:"segments"`
	Unprojected uint64  `json:"unprojected"` // events that were not projected, for example of an unknown version
	Signed      uint64  `json:"signed"`      // events that the last checkpoint covers
	Seconds     float64 `json:"seconds"`
	Faults      []Fault `json:"faults"`
	Advice      string  `json:"advice,omitempty"` // what to run if there are faults

	Contents       int     `json:"contents"`                  // messages that were not erased, whose content was looked for
	Missing        int     `json:"missing"`                   // the number of those whose content is incomplete
	MissingContent []Fault `json:"missing_content,omitempty"` // the first of them

	Rosters        int     `json:"rosters"`                   // on which audiences were evaluated
	RostersMissing int     `json:"rosters_missing"`           // rosters and states of the directory that are missing or were changed
	MissingRosters []Fault `json:"missing_rosters,omitempty"` // the first of them
	// AudiencesInPart counts the audiences of groups that cite no state of the directory. Only their
	// blocks with recipients were evaluated.
	AudiencesInPart int `json:"audiences_in_part"`
}

// maxFaults is the maximum number of reported faults. The first ones show where to look.
const maxFaults = 20

func (v *Verifier) fault(where string, seq uint64, format string, args ...any) {
	if len(v.report.Faults) < maxFaults {
		v.report.Faults = append(v.report.Faults, Fault{where, seq, fmt.Sprintf(format, args...)})
	}
}

func (v *Verifier) faultAt(seq uint64, format string, args ...any) {
	v.fault(fmt.Sprintf("event %d", seq), seq, format, args...)
}

// misdirects reports a fault of an audience.
func (v *Verifier) misdirects(seq uint64, what string) {
	before := len(v.report.Faults)
	v.faultAt(seq, "%s", what)
	v.misdirected += len(v.report.Faults) - before
}

func (v *Verifier) missesRoster(seq uint64, what string) {
	v.report.RostersMissing++
	if len(v.report.MissingRosters) < maxFaults {
		v.report.MissingRosters = append(v.report.MissingRosters, Fault{fmt.Sprintf("event %d", seq), seq, what})
	}
}

// Run verifies everything. It returns an error if it could not read something; the faults
// that it found are in the report.
func (v *Verifier) Run(ctx context.Context) (Report, error) {
	began := time.Now()
	// Read the checkpoints first: one that is signed later covers more events than this
	// run reads.
	if err := v.readCheckpoints(ctx); err != nil {
		return v.report, err
	}
	segments, err := v.segments(ctx)
	if err != nil {
		return v.report, err
	}
	v.report.From = 1
	walk := v.verifyAll
	if v.Since != nil {
		v.report.From = v.Since.Size + 1
		walk = v.verifySince
	}
	if err := v.loadTree(ctx); err != nil {
		return v.report, err
	}
	switch err := walk(ctx); {
	case errors.Is(err, errBroken):
	case err != nil:
		return v.report, err
	default:
		if err := v.audiences.Evaluate(ctx); err != nil {
			return v.report, err
		}
		v.report.Rosters, v.report.AudiencesInPart = v.audiences.Rosters(), v.audiences.InPart()
		v.checkEnd(v.report.To)
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

// errBroken ends a walk over a stream that lacks events, because all later events would
// get wrong numbers.
var errBroken = errors.New("the stream is broken")

// broken converts the errors of reading a damaged stream to a fault.
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

// loadTree loads the tree and the trace at the start of the walk.
func (v *Verifier) loadTree(ctx context.Context) error {
	v.copied = leaves{pool: v.Pool, next: v.report.From}
	v.trace = trace{}
	v.entries = entries.Check{Pool: v.Pool, Fault: v.faultAt}
	if v.Content != nil {
		v.entries.Keys = entrykey.Opens(v.Pool, v.Content)
	}
	v.audiences = audiences.New(audiences.Config{Pool: v.Pool, Content: v.Content, Fault: v.misdirects, Missing: v.missesRoster})
	v.tree, v.startTree, v.others = &merkle.Tree{}, &merkle.Tree{}, map[uint64]tlog.Hash{}
	if v.Since == nil {
		return nil
	}
	hashes := merklestore.Hashes(ctx, v.Pool, "record.hashes")
	tree, err := merkle.TreeAt(int64(v.Since.Size), hashes) // #nosec G115 -- parsed as 63 bits
	if err != nil {
		return fmt.Errorf("continuing from event %d: %w", v.Since.Size, err)
	}
	if tree.Root() != v.Since.Root {
		return fmt.Errorf("the record in Postgres does not match the checkpoint of %d events: run `postern verify` without --since", v.Since.Size)
	}
	v.tree, v.startTree = tree, tree.Clone()
	return v.trace.load(ctx, v.Pool, v.Since, hashes)
}

// verifyAll replays the record into tables beside the real ones, and checks every event
// during the replay.
func (v *Verifier) verifyAll(ctx context.Context) error {
	if err := v.mustReach(ctx); err != nil {
		return err
	}
	audit := &rebuild.Rebuild{Log: v.Log, Pool: v.Pool, Progress: v.Progress}
	reached, differ, err := audit.Audit(ctx, func(e rebuild.Replayed) error { return v.checkEvent(ctx, e) })
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

// verifySince walks the stream from a checkpoint on, and compares the deliveries in it.
// It trusts the state of the tables before that.
func (v *Verifier) verifySince(ctx context.Context) error {
	if err := v.mustReach(ctx); err != nil {
		return err
	}
	audit := &rebuild.Rebuild{Log: v.Log, Pool: v.Pool, Progress: v.Progress}
	reached, differ, err := audit.AuditSince(ctx, v.Since.Size, func(e rebuild.Replayed) error { return v.checkEvent(ctx, e) })
	if err != nil {
		return v.broken(err)
	}
	v.report.To = reached
	for _, d := range differ {
		v.fault(fmt.Sprintf("%s (event %d)", d.Table, d.Seq), d.Seq, "%s", d.What)
	}
	return nil
}

// mustReach finds a stream that ends before the last event in Postgres. A reader would wait
// for the missing events.
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
	v.checkEnd(recorded)
	return errBroken
}

// checkEvent checks an event. It is called for all events, in order.
func (v *Verifier) checkEvent(ctx context.Context, e rebuild.Replayed) error {
	leaf, err := v.copied.leaf(ctx, e.Seq)
	if err != nil {
		return err
	}
	v.walked = e.Seq
	if !bytes.Equal(leaf, e.Leaf[:]) {
		v.faultAt(e.Seq, "the stream does not say what the copy in Postgres says")
		v.differs = true
		if len(v.others) < maxFaults {
			v.others[e.Seq] = tlog.Hash(e.Leaf)
		}
	}
	v.tree.Append(tlog.Hash(e.Leaf))
	v.compareCheckpoints(e.Seq)
	v.report.Deliveries += uint64(e.Recipients) // #nosec G115 -- a count
	if e.Bad != nil {
		v.report.Unprojected++
		return nil
	}
	if e.Event.Type != events.TypeDeliveriesCreated { // its canonical form, already read, is stricter than its schema
		if err := schemas.Validate(e.Event); err != nil {
			v.faultAt(e.Seq, "%v", err)
		}
	}
	if e.Subject != e.Event.Subject() {
		v.faultAt(e.Seq, "is stored under the subject %s instead of %s", e.Subject, e.Event.Subject())
	}
	if err := v.trace.add(e); err != nil {
		v.faultAt(e.Seq, "%v", err)
		return nil
	}
	if err := v.entries.Event(ctx, e.Seq, e.Event); err != nil {
		return err
	}
	if m := v.trace[e.Event.MessageID]; m != nil {
		return v.audiences.Event(ctx, e.Seq, e.Event, m.to)
	}
	return nil
}
