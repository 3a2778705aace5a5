package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/proof/archive"
	"postern/internal/proof/merkle"
)

// leaves reads the leaves in Postgres, in order and in batches.
type leaves struct {
	pool *pgxpool.Pool
	next uint64 // sequence of the first of read
	read [][]byte
}

const leavesAtOnce = 10_000

// leaf returns the leaf of an event, nil if Postgres has none. It must be called with
// ascending sequences.
func (l *leaves) leaf(ctx context.Context, seq uint64) ([]byte, error) {
	if len(l.read) == 0 {
		rows, err := l.pool.Query(ctx, `SELECT e.leaf FROM generate_series($1::bigint, $2::bigint) AS wanted (seq)
			LEFT JOIN record.events e USING (seq) ORDER BY wanted.seq`, seq, seq+leavesAtOnce-1)
		if err != nil {
			return nil, fmt.Errorf("reading the copy: %w", err)
		}
		if l.read, err = pgx.CollectRows(rows, pgx.RowTo[[]byte]); err != nil {
			return nil, fmt.Errorf("reading the copy: %w", err)
		}
		l.next = seq
	}
	leaf := l.read[0]
	l.read, l.next = l.read[1:], l.next+1
	return leaf, nil
}

// copies compares the second copy of every event, in Postgres, and the third, in the
// archive's segments, with the leaves that the stream was compared with.
func (v *Verifier) copies(ctx context.Context, segments []archive.Segment) error {
	if err := v.copyInPostgres(ctx); err != nil {
		return err
	}
	for _, s := range segments {
		if s.Last < v.report.From {
			continue
		}
		if err := v.segment(ctx, s); err != nil {
			return err
		}
	}
	return v.checkArchiveComplete(ctx, segments)
}

func (v *Verifier) copyInPostgres(ctx context.Context) error {
	rows, err := v.Pool.Query(ctx, `SELECT seq, leaf, stored FROM record.events WHERE seq BETWEEN $1 AND $2 ORDER BY seq`, v.report.From, v.report.To)
	if err != nil {
		return fmt.Errorf("reading the copy: %w", err)
	}
	var seq int64
	var leaf, stored []byte
	want := int64(v.report.From) // #nosec G115 -- a sequence
	_, err = pgx.ForEachRow(rows, []any{&seq, &leaf, &stored}, func() error {
		for ; want < seq; want++ {
			v.faultAt(uint64(want), "is missing from the copy in Postgres") // #nosec G115 -- a sequence
		}
		want = seq + 1
		if !isLeafOf(uint64(seq), stored, leaf) { // #nosec G115 -- a sequence
			v.fault(fmt.Sprintf("record.events (event %d)", seq), uint64(seq), "the copy in Postgres was changed") // #nosec G115 -- a sequence
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the copy: %w", err)
	}
	return nil
}

func isLeafOf(seq uint64, stored, leaf []byte) bool {
	s, err := merkle.Unpack(seq, stored)
	if err != nil {
		return false
	}
	got := merkle.Leaf(&s)
	return bytes.Equal(got[:], leaf)
}

// segment compares a segment's events with the leaves in Postgres.
func (v *Verifier) segment(ctx context.Context, s archive.Segment) error {
	known := leaves{pool: v.Pool}
	err := v.Archive.ReadSegment(ctx, s, func(seq uint64, stored []byte) error {
		leaf, err := known.leaf(ctx, seq)
		if err == nil && !isLeafOf(seq, stored, leaf) {
			v.fault("the archive's "+s.Name, seq, "event %d differs from the record", seq)
		}
		return err
	})
	switch {
	case errors.Is(err, archive.ErrChanged):
		v.fault("the archive's "+s.Name, s.First, "%v", err)
	case err != nil:
		return err
	default:
		v.report.Segments++
	}
	return nil
}
