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

// A witness is one of the three that keep every event: the stream, the copy in
// Postgres, the archive. Its word counts as far as the tree of what it says has the
// roots that were signed.
type witness struct {
	name      string
	tree      *merkle.Tree // nil once it lacks an event
	confirmed []bool       // by v.judged
}

// judged is a checkpoint that was held against the stream.
type judged struct {
	signed
	stream bool // whether the stream has its root
}

// said is what the witnesses say of one event; nil where one says nothing.
type said struct {
	seq                   uint64
	stream, copy, archive *tlog.Hash
}

// arbitrate is for a record that does not hold: it says of each event on which the
// three that keep it disagree which of them was signed, and what to run.
func (v *Verifier) arbitrate(ctx context.Context, segments []archive.Segment) error {
	for _, c := range v.signed { // which the stream has not come to
		v.judged = append(v.judged, judged{c, false})
	}
	outside, err := v.leavesOutside(ctx, segments)
	if err != nil {
		return err
	}
	copied, kept := v.witness("the copy in Postgres"), v.witness("the archive")
	disputed, err := v.hear(ctx, copied, kept, outside)
	if err != nil {
		return err
	}
	stream := &witness{name: "the stream"}
	for _, j := range v.judged {
		stream.confirmed = append(stream.confirmed, j.stream)
	}
	for _, d := range disputed {
		verdict, right := v.verdict(d, stream, copied, kept)
		v.conclude(d.seq, verdict, right)
	}
	v.report.Advice = v.advice(stream, copied, kept)
	return nil
}

func (v *Verifier) witness(name string) *witness {
	return &witness{name: name, tree: v.planted.Clone(), confirmed: make([]bool, len(v.judged))}
}

// leavesOutside reads the leaves of what the archive's segments say, as far as they
// are what their names say.
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
			return nil // what can't be read says nothing
		})
		if err != nil && !errors.Is(err, archive.ErrChanged) {
			return nil, err
		}
	}
	return outside, nil
}

// hear lets the copy and the archive say everything in order, and gives the events
// of which the three do not say the same.
func (v *Verifier) hear(ctx context.Context, copied, kept *witness, outside map[uint64]tlog.Hash) (disputed []said, err error) {
	rows, err := v.Pool.Query(ctx, `SELECT wanted.seq, e.leaf, e.stored
		FROM generate_series($1::bigint, greatest($2, (SELECT max(seq) FROM record.events))) AS wanted (seq)
		LEFT JOIN record.events e USING (seq) ORDER BY wanted.seq`, v.report.From, v.lastSigned())
	if err != nil {
		return nil, fmt.Errorf("reading the copy: %w", err)
	}
	var seq int64
	var leaf, stored []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &leaf, &stored}, func() error {
		d := said{seq: uint64(seq)} // #nosec G115 -- a sequence
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
				hash := tlog.Hash(leaf) // which it was found to say
				d.stream = &hash
			}
		}
		copied.says(v.judged, d.seq, d.copy)
		kept.says(v.judged, d.seq, d.archive)
		if len(disputed) < enough && (!same(d.stream, d.copy) || d.archive != nil && !same(d.archive, d.copy)) {
			disputed = append(disputed, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the copy: %w", err)
	}
	return disputed, nil
}

func same(a, b *tlog.Hash) bool { return a == b || a != nil && b != nil && *a == *b }

// lastSigned is the size of the largest checkpoint.
func (v *Verifier) lastSigned() uint64 {
	last := v.report.To
	for _, j := range v.judged {
		last = max(last, j.Size)
	}
	return last
}

// says appends what a witness says of the next event.
func (w *witness) says(all []judged, seq uint64, leaf *tlog.Hash) {
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

// verdict says who of the three says of an event what was signed, and whether the
// archive does.
func (v *Verifier) verdict(d said, stream, copied, kept *witness) (text string, archive bool) {
	words := []struct {
		*witness
		leaf *tlog.Hash
	}{{stream, d.stream}, {copied, d.copy}, {kept, d.archive}}
	for i, j := range v.judged {
		for _, truth := range words {
			if j.Size < d.seq || truth.leaf == nil || !truth.confirmed[i] {
				continue
			}
			var right, wrong []string
			for _, w := range words {
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
		text = "no checkpoint confirms any of them; the archive says what the stream says"
	case same(d.archive, d.copy):
		text = "no checkpoint confirms any of them; the archive says what the copy says"
	default:
		text = "no checkpoint confirms any of them, and the archive says a third thing"
	}
	return text, false
}

const segmentsWhere = "the archive's segments/"

// conclude adds a verdict to what was said of an event, or says it first where the
// event was not named: stream and copy were changed alike, and the archive, which is
// right, was named instead.
func (v *Verifier) conclude(seq uint64, verdict string, archive bool) {
	named := false
	v.report.Faults = slices.DeleteFunc(v.report.Faults, func(f Fault) bool {
		return archive && f.Seq == seq && strings.HasPrefix(f.Where, segmentsWhere)
	})
	for i := range v.report.Faults {
		f := &v.report.Faults[i]
		if f.Seq == seq && (strings.HasPrefix(f.Where, "event ") || strings.HasPrefix(f.Where, "record.events") || strings.HasPrefix(f.Where, segmentsWhere)) {
			f.What += ": " + verdict
			named = true
		}
	}
	if !named && seq <= v.report.To {
		v.report.Faults = slices.Insert(v.report.Faults, 0, Fault{fmt.Sprintf("event %d", seq), seq, "the archive says something else than the stream and the copy: " + verdict})
	}
}

// advice says what to run. `postern repair` is named only where the copy was signed
// whole and the stream was not: it puts the copy in the stream's place.
func (v *Verifier) advice(stream, copied, kept *witness) string {
	if len(v.judged) == 0 {
		return "no checkpoint of these events was signed with the keys that were given: are they this record's? If so, nobody can say who is right: keep copies of both stores before you change anything"
	}
	s, c, a := stream.whole(), copied.whole(), kept.upTo(v.judged)
	if end := v.report.To; end > 0 && v.judged[len(v.judged)-1].Size > end && stream.wholeUpTo(end, v.judged) && copied.wholeUpTo(end, v.judged) {
		return fmt.Sprintf("stream and copy are what was signed, but end at event %d: both were put back to then. Stop every process and bring back the newest backups of both; nothing of this folder can make the rest anew (the archive's segments show what it said)", end)
	}
	switch {
	case s && c && v.onlyTables():
		return "stream and copy are what was signed, and a table is not what they give: run `postern rebuild`"
	case s && c:
		return "stream and copy are what was signed: what is wrong is in the archive, or was put beside the checkpoints. A bucket with object lock still has the earlier version of an object that was changed or deleted: bring it back"
	case c:
		return "the copy in Postgres is what was signed, and the stream is not: run `postern repair`"
	case s:
		return "the stream is what was signed, and the copy in Postgres is not: do NOT run `postern repair`. Bring back a backup of Postgres from before the change; the recorder catches up from the stream"
	case a > 0:
		return fmt.Sprintf("neither the stream nor the copy is what was signed; the archive is, up to event %d. Do NOT run `postern repair`: stop every process, keep both stores and the archive as they are, and bring back backups of both from before the change", a)
	}
	return "none of the three is what was signed. Do NOT run `postern repair`: stop every process, keep both stores and the archive as they are, and bring back backups from before the change"
}

// whole tells whether the largest checkpoint, and so every one, confirms a witness.
func (w *witness) whole() bool { return len(w.confirmed) > 0 && w.confirmed[len(w.confirmed)-1] }

// wholeUpTo tells whether every checkpoint up to a size confirms a witness.
func (w *witness) wholeUpTo(size uint64, all []judged) bool {
	for i, j := range all {
		if j.Size <= size && !w.confirmed[i] {
			return false
		}
	}
	return true
}

// upTo is the largest checkpoint that confirms a witness.
func (w *witness) upTo(all []judged) (size uint64) {
	for i, j := range all {
		if w.confirmed[i] {
			size = j.Size
		}
	}
	return size
}

// onlyTables tells whether every fault is of a projected table.
func (v *Verifier) onlyTables() bool {
	return !slices.ContainsFunc(v.report.Faults, func(f Fault) bool { return !strings.HasPrefix(f.Where, "record.") })
}
