package rebuild

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/position"
	"postern/internal/recorder/project"
)

// A Replayed is an event that an audit has read, with the result of its projection.
type Replayed struct {
	*merkle.Stored
	Leaf  [32]byte
	Event events.Event
	// Bad is why the event can't be projected; nil where it can.
	Bad error
	// Recipients is the number of deliveries that the event creates.
	Recipients int
}

// Look decodes an event as far as that needs no database.
func Look(s *merkle.Stored) Replayed { return show(project.Look(*s)) }

func show(p *project.Prepared) Replayed {
	shown := Replayed{Stored: &p.Stored, Leaf: p.Leaf, Event: p.Event, Bad: p.Bad}
	if p.Chunk != nil && p.Bad == nil {
		shown.Recipients = p.Chunk.Deliveries
	}
	return shown
}

// A Difference is the first row of a table that differs from the record.
type Difference struct {
	Table string
	What  string
	Seq   uint64 // of the event that gives the row; 0 where that is not known
}

// Audit is [Rebuild.Check] for callers that read every event: it calls each with every
// event, in order, and returns the first different row of every table that differs.
func (r *Rebuild) Audit(ctx context.Context, each func(Replayed) error) (reached uint64, differ []Difference, err error) {
	err = r.withTables(ctx, func(snapshot pgx.Tx, b *rebuildTables, position uint64) error {
		reached = position
		if err := b.make(ctx); err != nil {
			return err
		}
		err := r.replay(ctx, b.conn, 0, reached, func(p *project.Prepared) error { return each(show(p)) })
		if err != nil {
			return err
		}
		differ, err = differences(ctx, snapshot, b.conn)
		return err
	})
	return reached, differ, err
}

// AuditSince is [Rebuild.Audit] for only the events after a position. It compares the
// deliveries that these events create, and no other tables.
func (r *Rebuild) AuditSince(ctx context.Context, after uint64, each func(Replayed) error) (reached uint64, differ []Difference, err error) {
	if reached, err = position.Read(ctx, r.Pool); err != nil || reached <= after {
		return reached, nil, err
	}
	runs := make(chan []*project.Prepared)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(runs)
		return r.readRuns(ctx, after, reached, func(p *project.Prepared) error { return each(show(p)) }, runs)
	})
	group.Go(func() error {
		for run := range runs {
			for _, p := range run {
				if p.Chunk == nil || p.Bad != nil || len(differ) > 0 {
					continue
				}
				what, err := compareChunk(ctx, r.Pool, p.Chunk)
				if err != nil {
					return err
				}
				if what != "" {
					differ = append(differ, Difference{Table: "record.inbox", What: what, Seq: p.Stored.Seq})
				}
			}
			if r.Progress != nil {
				r.Progress(run[len(run)-1].Stored.Seq, reached)
			}
		}
		return nil
	})
	err = group.Wait()
	return reached, differ, err
}

// differences finds the first different row of every table.
func differences(ctx context.Context, snapshot pgx.Tx, writer *pgx.Conn) (differ []Difference, err error) {
	compared, err := compare(ctx, snapshot, writer, tables)
	if err != nil {
		return nil, err
	}
	for i, c := range compared {
		if c.Same() {
			continue
		}
		find := firstDifference
		if tables[i].name == "inbox" {
			find = func(ctx context.Context, real, rebuilt *pgx.Conn, _ table) (Difference, error) {
				return firstInboxDifference(ctx, real, rebuilt)
			}
		}
		d, err := find(ctx, snapshot.Conn(), writer, tables[i])
		if err != nil {
			return nil, err
		}
		differ = append(differ, d)
	}
	return differ, nil
}

// firstDifference reads a table from both sides, row by row.
func firstDifference(ctx context.Context, real, rebuilt *pgx.Conn, t table) (Difference, error) {
	has, stopHas := lines(ctx, real, "record", t)
	defer stopHas()
	should, stopShould := lines(ctx, rebuilt, rebuildSchema, t)
	defer stopShould()
	for {
		a, errA := has.ReadString('\n')
		b, errB := should.ReadString('\n')
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF {
				return Difference{}, fmt.Errorf("comparing %s: %w", t.name, err)
			}
		}
		a, b = strings.TrimSuffix(a, "\n"), strings.TrimSuffix(b, "\n")
		if a == b && errA == nil {
			continue
		}
		return Difference{Table: "record." + t.name, What: differing(a, b, t)}, nil
	}
}

// differing describes two lines of a table, as it is and as it should be; "" at the end.
func differing(has, should string, t table) string {
	switch key, wants := keyOf(has, t), keyOf(should, t); {
	case has == should:
		return "a row differs that could not be found again"
	case key == wants:
		return fmt.Sprintf("the row %s is changed", key)
	case has == "":
		return fmt.Sprintf("the row %s is missing", wants)
	case should == "":
		return fmt.Sprintf("the row %s is not of the record", key)
	default:
		return fmt.Sprintf("the row %s stands where the record gives %s", key, wants)
	}
}

// keyOf names a row by its key, whose columns come first in every table.
func keyOf(line string, t table) string {
	names := strings.Split(t.key, ", ")
	values := strings.Split(line, "\t")
	var b strings.Builder
	for i := 0; i < min(len(names), len(values)); i++ {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(names[i] + " " + values[i])
	}
	return b.String()
}

// lines reads a table's rows in the order of its key.
func lines(ctx context.Context, conn *pgx.Conn, schema string, t table) (r *bufio.Reader, stop func()) {
	out, in := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := conn.PgConn().CopyTo(ctx, in, fmt.Sprintf(`COPY (SELECT %s FROM %s.%s ORDER BY %s) TO STDOUT`, t.columns, schema, t.name, t.key))
		_ = in.CloseWithError(err)
	}()
	return bufio.NewReader(out), func() {
		// Read and drop the rest, so that the connection stays usable.
		_, _ = io.Copy(io.Discard, out)
		<-done
	}
}
