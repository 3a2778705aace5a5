package recorder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
	"postern/internal/proof/merkle"
)

// chunkDigests holds, for every chunk of the record, the digest of its rows.
type chunkDigests map[chunkKey]chunkDigest

type chunkDigest struct {
	seq    uint64
	digest [sha256.Size]byte
}

// add keeps the first event of a chunk: a repeated one changes nothing.
func (c chunkDigests) add(p *prepared) {
	if _, again := c[p.chunk.key]; !again {
		c[p.chunk.key] = chunkDigest{p.stored.Seq, sha256.Sum256(p.deliveries)}
	}
}

const deliveryRows = `COPY (SELECT message_id, portal_user_no, chunk, patient_nos FROM record.deliveries %s
	ORDER BY message_id, portal_user_no) TO STDOUT BINARY`

// compare compares the table of deliveries with the chunks, and finds the first different
// row of the first chunk that differs.
func (c chunkDigests) compare(ctx context.Context, snapshot pgx.Tx, log *eventlog.Log) ([]Difference, error) {
	w := &chunkWalk{expected: c, sum: sha256.New()}
	splitter := &rowsOf{each: w.row}
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
	at       chunkKey
	begun    bool
	sum      hash.Hash
	isWrong  bool
	wrong    chunkKey
}

func (w *chunkWalk) row(row []byte) error {
	key := keyOfRow(row)
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

// keyOfRow reads message and chunk of a row: message_id, portal_user_no and chunk come
// first, each after its length.
func keyOfRow(row []byte) chunkKey {
	const message, chunk = 2 + 4, 2 + 4 + 16 + 4 + 4 + 4
	return chunkKey{uuid.UUID(row[message : message+16]), int(int32(binary.BigEndian.Uint32(row[chunk:])))} // #nosec G115 -- an integer column
}

func portalUserOf(row []byte) int32 {
	return int32(binary.BigEndian.Uint32(row[2+4+16+4:])) // #nosec G115 -- an integer column
}

// locate names the first row of a chunk that differs from the chunk's event.
func locate(ctx context.Context, snapshot pgx.Tx, log *eventlog.Log, key chunkKey, seq uint64) (string, error) {
	var should []byte
	if seq > 0 {
		s, err := log.Get(ctx, seq)
		if err != nil {
			return "", err
		}
		should = look(merkle.Stored{Seq: s.Seq, Subject: s.Subject, Header: s.Header, Data: s.Data}).deliveries
	}
	has, err := rowsWhere(ctx, snapshot.Conn(), fmt.Sprintf("message_id = '%s' AND chunk = %d", key.message, key.chunk))
	if err != nil {
		return "", err
	}
	if what := firstOther(has, splitRows(should)); what != "" {
		return fmt.Sprintf("message %s, chunk %d: %s", key.message, key.chunk, what), nil
	}
	return fmt.Sprintf("message %s, chunk %d: its deliveries do not stand together", key.message, key.chunk), nil
}

// compareChunk compares the rows of one chunk with its event, and returns "" where they
// are the same.
func compareChunk(ctx context.Context, pool *pgxpool.Pool, p *prepared) (string, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return "", fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer conn.Release()
	// By number, in the order of the key: the next chunk begins after the last number.
	has, err := rowsWhere(ctx, conn.Conn(), fmt.Sprintf("message_id = '%s' AND portal_user_no BETWEEN %d AND %d",
		p.chunk.key.message, p.chunk.firstNo, p.chunk.lastNo))
	if err != nil {
		return "", err
	}
	what := firstOther(has, splitRows(p.deliveries))
	if what != "" {
		what = fmt.Sprintf("message %s, chunk %d: %s", p.chunk.key.message, p.chunk.key.chunk, what)
	}
	return what, nil
}

func rowsWhere(ctx context.Context, conn *pgx.Conn, where string) (rows [][]byte, err error) {
	keep := &rowsOf{each: func(row []byte) error { rows = append(rows, bytes.Clone(row)); return nil }}
	if _, err := conn.PgConn().CopyTo(ctx, keep, fmt.Sprintf(deliveryRows, "WHERE "+where)); err != nil {
		return nil, fmt.Errorf("reading the deliveries: %w", err)
	}
	return rows, nil
}

func splitRows(rows []byte) (split [][]byte) {
	for len(rows) > 0 {
		size := rowSize(rows)
		split, rows = append(split, rows[:size]), rows[size:]
	}
	return split
}

// firstOther names the first row that one side has and the other has not.
func firstOther(has, should [][]byte) string {
	for i := range max(len(has), len(should)) {
		switch {
		case i < len(has) && i < len(should) && bytes.Equal(has[i], should[i]):
		case i < len(has) && i < len(should) && portalUserOf(has[i]) == portalUserOf(should[i]):
			return fmt.Sprintf("the delivery to portal user number %d is changed", portalUserOf(has[i]))
		case i >= len(has) || i < len(should) && portalUserOf(should[i]) < portalUserOf(has[i]):
			return fmt.Sprintf("the delivery to portal user number %d is missing", portalUserOf(should[i]))
		default:
			return fmt.Sprintf("the delivery to portal user number %d is not of the record", portalUserOf(has[i]))
		}
	}
	return ""
}
