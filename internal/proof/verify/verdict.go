package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/proof/archive"
	"postern/internal/proof/merkle"
)

// A replica is one of the three copies of every event: the stream, the copy in Postgres, or
// the archive. It is correct as far as the tree of its events has the signed roots.
type replica struct {
	name      string
	tree      *merkle.Tree // nil after the first missing event
	confirmed []bool       // for each checkpoint of v.compared
}

// comparedCheckpoint is a checkpoint that was compared with the stream.
type comparedCheckpoint struct {
	signed
	stream bool // the stream has its root
}

// leavesOfEvent holds the leaf of one event in each replica, nil if a replica lacks it.
type leavesOfEvent struct {
	seq                   uint64
	stream, copy, archive *tlog.Hash
}

// arbitrate is called for a record with faults. For each event that differs between the
// replicas it determines which of them matches the signed checkpoints. It also sets the
// advice what to run.
func (v *Verifier) arbitrate(ctx context.Context, segments []archive.Segment) error {
	for _, c := range v.signed { // those beyond the end of the stream
		v.compared = append(v.compared, comparedCheckpoint{c, false})
	}
	outside, err := v.leavesOutside(ctx, segments)
	if err != nil {
		return err
	}
	copied, archived := v.replica("the copy in Postgres"), v.replica("the archive")
	differing, err := v.compareCopies(ctx, copied, archived, outside)
	if err != nil {
		return err
	}
	stream := &replica{name: "the stream"}
	for _, j := range v.compared {
		stream.confirmed = append(stream.confirmed, j.stream)
	}
	for _, d := range differing {
		verdict, right := v.verdict(d, stream, copied, archived)
		v.conclude(d.seq, verdict, right)
	}
	v.report.Advice = v.advice(stream, copied, archived)
	return nil
}

func (v *Verifier) replica(name string) *replica {
	return &replica{name: name, tree: v.startTree.Clone(), confirmed: make([]bool, len(v.compared))}
}

// leavesOutside reads the leaves of the events in the archive's segments, except for segments
// that do not match their names.
func (v *Verifier) leavesOutside(ctx context.Context, segments []archive.Segment) (map[uint64]tlog.Hash, error) {
	outside := map[uint64]tlog.Hash{}
	for _, s := range segments {
		if s.Last < v.report.From {
			continue
		}
		err := v.Archive.ReadSegment(ctx, s, func(seq uint64, stored []byte) error {
			e, err := merkle.Unpack(seq, stored)
			if err == nil {
				outside[seq] = merkle.Leaf(&e)
			}
			return nil // an event that can't be read counts as missing
		})
		if err != nil && !errors.Is(err, archive.ErrChanged) {
			return nil, err
		}
	}
	return outside, nil
}

// compareCopies reads all events of the copy and the archive in order, and returns the events
// that differ between the three replicas.
func (v *Verifier) compareCopies(ctx context.Context, copied, archived *replica, outside map[uint64]tlog.Hash) (differing []leavesOfEvent, err error) {
	rows, err := v.Pool.Query(ctx, `SELECT wanted.seq, e.leaf, e.stored
		FROM generate_series($1::bigint, greatest($2, (SELECT max(seq) FROM record.events))) AS wanted (seq)
		LEFT JOIN record.events e USING (seq) ORDER BY wanted.seq`, v.report.From, v.lastSigned())
	if err != nil {
		return nil, fmt.Errorf("reading the copy: %w", err)
	}
	var seq int64
	var leaf, stored []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &leaf, &stored}, func() error {
		d := leavesOfEvent{seq: uint64(seq)} // #nosec G115 -- a sequence
		if e, err := merkle.Unpack(d.seq, stored); err == nil {
			hash := tlog.Hash(merkle.Leaf(&e))
			d.copy = &hash
		}
		if hash, ok := outside[d.seq]; ok {
			d.archive = &hash
		}
		if d.seq <= v.walked {
			if hash, ok := v.others[d.seq]; ok {
				d.stream = &hash
			} else if len(leaf) == tlog.HashSize {
				hash := tlog.Hash(leaf) // the stream was found to have this leaf
				d.stream = &hash
			}
		}
		copied.append(v.compared, d.seq, d.copy)
		archived.append(v.compared, d.seq, d.archive)
		if len(differing) < maxFaults && (!same(d.stream, d.copy) || d.archive != nil && !same(d.archive, d.copy)) {
			differing = append(differing, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the copy: %w", err)
	}
	return differing, nil
}

func same(a, b *tlog.Hash) bool { return a == b || a != nil && b != nil && *a == *b }

// lastSigned is the size of the largest checkpoint.
func (v *Verifier) lastSigned() uint64 {
	last := v.report.To
	for _, j := range v.compared {
		last = max(last, j.Size)
	}
	return last
}

// append appends the replica's leaf of the next event.
func (w *replica) append(all []comparedCheckpoint, seq uint64, leaf *tlog.Hash) {
	if w.tree == nil || leaf == nil {
		w.tree = nil
		return
	}
	w.tree.Append(*leaf)
	for i, j := range all {
		if j.Size == seq {
			w.confirmed[i] = w.tree.Root() == j.Root
		}
	}
}

// verdict says which of the three replicas has the signed version of an event. archive
// reports whether the archive has it.
func (v *Verifier) verdict(d leavesOfEvent, stream, copied, archived *replica) (text string, archive bool) {
	replicas := []struct {
		*replica
		leaf *tlog.Hash
	}{{stream, d.stream}, {copied, d.copy}, {archived, d.archive}}
	for i, j := range v.compared {
		for _, truth := range replicas {
			if j.Size < d.seq || truth.leaf == nil || !truth.confirmed[i] {
				continue
			}
			var right, wrong []string
			for _, w := range replicas {
				switch {
				case same(w.leaf, truth.leaf):
					right = append(right, w.name)
				case w.leaf != nil:
					wrong = append(wrong, w.name)
				}
			}
			text = fmt.Sprintf("the checkpoint of %d events confirms %s", j.Size, strings.Join(right, " and "))
			if len(wrong) > 0 {
				text += ", and not " + strings.Join(wrong, " and ")
			}
			return text, same(d.archive, truth.leaf)
		}
	}
	switch {
	case d.archive == nil:
		text = "no checkpoint confirms any of them"
	case same(d.archive, d.stream):
		text = "no checkpoint confirms any of them; the archive agrees with the stream"
	case same(d.archive, d.copy):
		text = "no checkpoint confirms any of them; the archive agrees with the copy"
	default:
		text = "no checkpoint confirms any of them, and the archive differs from both"
	}
	return text, false
}

const segmentsWhere = "the archive's segments/"

// conclude adds a verdict to the faults of an event. If the event has no fault, the stream
// and the copy were changed in the same way, and the correct archive was reported instead:
// then it replaces that fault.
func (v *Verifier) conclude(seq uint64, verdict string, archive bool) {
	reported := false
	v.report.Faults = slices.DeleteFunc(v.report.Faults, func(f Fault) bool {
		return archive && f.Seq == seq && strings.HasPrefix(f.Where, segmentsWhere)
	})
	for i := range v.report.Faults {
		f := &v.report.Faults[i]
		if f.Seq == seq && (strings.HasPrefix(f.Where, "event ") || strings.HasPrefix(f.Where, "record.events") || strings.HasPrefix(f.Where, segmentsWhere)) {
			f.What += ": " + verdict
			reported = true
		}
	}
	if !reported && seq <= v.report.To {
		v.report.Faults = slices.Insert(v.report.Faults, 0, Fault{fmt.Sprintf("event %d", seq), seq, "the archive differs from the stream and the copy: " + verdict})
	}
}

// advice says what to run. It recommends `postern repair` only if the whole copy matches the
// signed checkpoints and the stream does not, because a repair replaces the stream by the
// copy.
func (v *Verifier) advice(stream, copied, archived *replica) string {
	if len(v.compared) == 0 {
		return "no checkpoint of these events was signed with the given keys: check that they are the keys of this record. If they are, it can't be determined which store is right: keep copies of both stores before you change anything"
	}
	s, c, a := stream.allConfirmed(), copied.allConfirmed(), archived.lastConfirmed(v.compared)
	if end := v.report.To; end > 0 && v.compared[len(v.compared)-1].Size > end && stream.confirmedUpTo(end, v.compared) && copied.confirmedUpTo(end, v.compared) {
		return fmt.Sprintf("the stream and the copy match the checkpoints, but end at event %d: both were put back to then. Stop every process and restore the newest backups of both; the later events can't be restored from this folder (the archive's segments show them)", end)
	}
	switch {
	case s && c && v.misdirected == len(v.report.Faults):
		return "the stream and the copy match the checkpoints: the record is what was written, and the audience that was written is not what the rule gives, or a roster was exchanged since. Keep all stores as they are, and compare with a backup of app.rosters"
	case s && c && v.onlyTables():
		return "the stream and the copy match the checkpoints, and a table differs from them: run `postern rebuild`"
	case s && c:
		return "the stream and the copy match the checkpoints: the fault is in the archive, or in an added checkpoint. A bucket with object lock still has the earlier version of an object that was changed or deleted: restore it"
	case c:
		return "the copy in Postgres matches the checkpoints, and the stream does not: run `postern repair`"
	case s:
		return "the stream matches the checkpoints, and the copy in Postgres does not: do NOT run `postern repair`. Restore a backup of Postgres from before the change; the recorder catches up from the stream"
	case a > 0:
		return fmt.Sprintf("neither the stream nor the copy matches the checkpoints; the archive does, up to event %d. Do NOT run `postern repair`: stop every process, keep both stores and the archive as they are, and restore backups of both from before the change", a)
	}
	return "none of the three matches the checkpoints. Do NOT run `postern repair`: stop every process, keep both stores and the archive as they are, and restore backups from before the change"
}

// allConfirmed reports whether the largest checkpoint, and so every one, confirms a replica.
func (w *replica) allConfirmed() bool { return len(w.confirmed) > 0 && w.confirmed[len(w.confirmed)-1] }

// confirmedUpTo reports whether every checkpoint up to a size confirms a replica.
func (w *replica) confirmedUpTo(size uint64, all []comparedCheckpoint) bool {
	for i, j := range all {
		if j.Size <= size && !w.confirmed[i] {
			return false
		}
	}
	return true
}

// lastConfirmed returns the size of the largest checkpoint that confirms a replica.
func (w *replica) lastConfirmed(all []comparedCheckpoint) (size uint64) {
	for i, j := range all {
		if w.confirmed[i] {
			size = j.Size
		}
	}
	return size
}

// onlyTables reports whether all faults are in projected tables.
func (v *Verifier) onlyTables() bool {
	return !slices.ContainsFunc(v.report.Faults, func(f Fault) bool { return !strings.HasPrefix(f.Where, "record.") })
}
