package rebuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/deliveryrows"
	"postern/internal/recorder/project"
)

// chunkDigests holds, for every chunk of the record, the digest of its rows.
type chunkDigests map[deliveryrows.Key]chunkDigest

type chunkDigest struct {
	seq    uint64
	digest [sha256.Size]byte
}

// add keeps the first event of a chunk: a repeated one changes nothing.
func (c chunkDigests) add(p *project.Prepared) {
	if _, again := c[p.Chunk.Key]; !again {
		c[p.Chunk.Key] = chunkDigest{p.Stored.Seq, sha256.Sum256(p.Chunk.Rows)}
	}
}

const deliveryRows = `COPY (SELECT ` + deliveryrows.Columns + ` FROM record.deliveries %s
	ORDER BY message_id, portal_user_no) TO STDOUT BINARY`

// compare compares the table of deliveries with the chunks, and finds the first different
// row of the first chunk that differs.
func (c chunkDigests) compare(ctx context.Context, snapshot pgx.Tx, log *eventlog.Log) ([]Difference, error) {
	w := &chunkWalk{expected: c, sum: sha256.New()}
	splitter := &deliveryrows.Reader{Each: w.row}
	if _, err := snapshot.Conn().PgConn().CopyTo(ctx, splitter, fmt.Sprintf(deliveryRows, "")); err != nil {
		return nil, fmt.Errorf("reading the deliveries: %w", err)
	}
	w.end()
	first, seq, found := w.wrong, uint64(0), w.isWrong
	if known, ok := c[first]; ok {
		seq = known.seq
	}
	// Chunks that are not done have no rows in the table.
	for key, d := range c {
		if !d.isDone() && (!found || seq == 0 || d.seq < seq) {
			first, seq, found = key, d.seq, true
		}
	}
	if !found {
		return nil, nil
	}
	what, err := locate(ctx, snapshot, log, first, seq)
	return []Difference{{Table: "record.deliveries", What: what, Seq: seq}}, err
}

func (d chunkDigest) isDone() bool { return d.digest == [sha256.Size]byte{} }

// chunkWalk reads the rows of all deliveries in the order of their key, in which the rows
// of a chunk follow each other.
type chunkWalk struct {
	expected chunkDigests
	at       deliveryrows.Key
	begun    bool
	sum      hash.Hash
	isWrong  bool
	wrong    deliveryrows.Key
}

func (w *chunkWalk) row(row []byte) error {
	key := deliveryrows.KeyOf(row)
	if !w.begun || key != w.at {
		w.end()
		w.at, w.begun = key, true
	}
	w.sum.Write(row)
	return nil
}

// end compares the chunk whose rows were read last.
func (w *chunkWalk) end() {
	if !w.begun {
		return
	}
	got := [sha256.Size]byte(w.sum.Sum(nil))
	w.sum.Reset()
	if want, ok := w.expected[w.at]; ok && want.digest == got {
		w.expected[w.at] = chunkDigest{seq: want.seq} // done
		return
	}
	if !w.isWrong {
		w.isWrong, w.wrong = true, w.at
	}
}

// locate names the first row of a chunk that differs from the chunk's event.
func locate(ctx context.Context, snapshot pgx.Tx, log *eventlog.Log, key deliveryrows.Key, seq uint64) (string, error) {
	var should []byte
	if seq > 0 {
		s, err := log.Get(ctx, seq)
		if err != nil {
			return "", err
		}
		if p := project.Look(merkle.Stored{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: s.Data}); p.Chunk != nil {
			should = p.Chunk.Rows
		}
	}
	has, err := rowsWhere(ctx, snapshot.Conn(), fmt.Sprintf("message_id = '%s' AND chunk = %d", key.Message, key.Chunk))
	if err != nil {
		return "", err
	}
	if what := firstOther(has, deliveryrows.Split(should)); what != "" {
		return fmt.Sprintf("message %s, chunk %d: %s", key.Message, key.Chunk, what), nil
	}
	return fmt.Sprintf("message %s, chunk %d: its deliveries do not stand together", key.Message, key.Chunk), nil
}

// compareChunk compares the rows of one chunk with its event, and returns "" where they
// are the same.
func compareChunk(ctx context.Context, pool *pgxpool.Pool, p *project.Prepared) (string, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return "", fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer conn.Release()
	// By number, in the order of the key: the next chunk begins after the last number.
	has, err := rowsWhere(ctx, conn.Conn(), fmt.Sprintf("message_id = '%s' AND portal_user_no BETWEEN %d AND %d",
		p.Chunk.Message, p.Chunk.FirstNo, p.Chunk.LastNo))
	if err != nil {
		return "", err
	}
	what := firstOther(has, deliveryrows.Split(p.Chunk.Rows))
	if what != "" {
		what = fmt.Sprintf("message %s, chunk %d: %s", p.Chunk.Message, p.Chunk.Chunk, what)
	}
	return what, nil
}

func rowsWhere(ctx context.Context, conn *pgx.Conn, where string) (rows [][]byte, err error) {
	keep := &deliveryrows.Reader{Each: func(row []byte) error { rows = append(rows, bytes.Clone(row)); return nil }}
	if _, err := conn.PgConn().CopyTo(ctx, keep, fmt.Sprintf(deliveryRows, "WHERE "+where)); err != nil {
		return nil, fmt.Errorf("reading the deliveries: %w", err)
	}
	return rows, nil
}

// firstOther names the first row that one side has and the other has not.
func firstOther(has, should [][]byte) string {
	for i := range max(len(has), len(should)) {
		switch {
		case i < len(has) && i < len(should) && bytes.Equal(has[i], should[i]):
		case i < len(has) && i < len(should) && deliveryrows.PortalUserOf(has[i]) == deliveryrows.PortalUserOf(should[i]):
			return fmt.Sprintf("the delivery to portal user number %d is changed", deliveryrows.PortalUserOf(has[i]))
		case i >= len(has) || i < len(should) && deliveryrows.PortalUserOf(should[i]) < deliveryrows.PortalUserOf(has[i]):
			return fmt.Sprintf("the delivery to portal user number %d is missing", deliveryrows.PortalUserOf(should[i]))
		default:
			return fmt.Sprintf("the delivery to portal user number %d is not of the record", deliveryrows.PortalUserOf(has[i]))
		}
	}
	return ""
}
