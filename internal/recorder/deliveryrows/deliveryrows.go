// Package deliveryrows has the rows of record.deliveries in the format of COPY BINARY
// (https://www.postgresql.org/docs/15/sql-copy.html, Binary Format): it writes the rows of
// a deliveries.created event, and reads rows that Postgres wrote. No part of it does I/O.
package deliveryrows

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"postern/internal/events"
)

// Columns are the columns of a row, in their order.
const Columns = "message_id, portal_user_no, chunk, patient_nos"

// A Key names a chunk of a message's deliveries.
type Key struct {
	Message uuid.UUID
	Chunk   int
}

// A Chunk is what a deliveries.created event says, as rows.
type Chunk struct {
	Key
	FirstNo, LastNo int32 // the lowest and highest number of a portal user
	Deliveries      int   // at least 1
	Rows            []byte
}

// Encode gives the rows of a deliveries.created event. It fails if the event's headers
// and body disagree, or if its recipients are missing or out of order.
func Encode(e *events.Event) (*Chunk, error) {
	if e.Chunk == nil {
		return nil, errors.New("the headers name no chunk")
	}
	row := make([]byte, 0, len(e.Data))
	c := &Chunk{}
	message, chunk, err := events.ScanChunk(e.Data, func(r *events.Recipient) error {
		if c.Deliveries == 0 {
			c.FirstNo = r.PortalUserNo
		} else if r.PortalUserNo <= c.LastNo {
			return fmt.Errorf("recipient %d of chunk is out of order", c.Deliveries)
		}
		c.LastNo = r.PortalUserNo
		c.Deliveries++
		row = binary.BigEndian.AppendUint16(row, 4)
		row = binary.BigEndian.AppendUint32(row, 16)
		row = append(row, e.MessageID[:]...)
		row = appendInt(row, r.PortalUserNo)
		row = appendInt(row, int32(e.Chunk.Index)) // #nosec G115 -- at most two million
		row = binary.BigEndian.AppendUint32(row, arraySize(len(r.Links)))
		row = appendArrayHeader(row, len(r.Links))
		for i := range r.Links {
			row = appendInt(row, r.Links[i].PatientNo)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case message != e.MessageID || chunk != e.Chunk.Index:
		return nil, errors.New("the headers name another message or chunk than the body")
	case c.Deliveries == 0:
		return nil, errors.New("the chunk is empty")
	}
	c.Key, c.Rows = Key{message, chunk}, row
	return c, nil
}

func appendInt(b []byte, n int32) []byte {
	b = binary.BigEndian.AppendUint32(b, 4)
	return binary.BigEndian.AppendUint32(b, uint32(n)) // #nosec G115 -- the bits as they are
}

// An array is: dimensions, whether it holds nulls, type of the elements, then
// length and lower bound of each dimension. An empty one has no dimension.
const (
	arrayHead  = 12
	arrayDim   = 8
	oidInteger = 23
)

func arraySize(n int) uint32 {
	if n == 0 {
		return arrayHead
	}
	return uint32(arrayHead + arrayDim + 8*n) // #nosec G115 -- a body is under 8 MiB
}

func appendArrayHeader(b []byte, n int) []byte {
	if n == 0 {
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
		return binary.BigEndian.AppendUint32(b, oidInteger)
	}
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, oidInteger)
	b = binary.BigEndian.AppendUint32(b, uint32(n)) // #nosec G115 -- see arraySize
	return binary.BigEndian.AppendUint32(b, 1)
}

// copyHead and copyEnd frame a COPY BINARY.
var (
	copyHead = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyEnd  = []byte{0xff, 0xff}
)

// Frame gives the rows of some chunks as one COPY BINARY.
func Frame(chunks [][]byte) io.Reader {
	parts := make([]io.Reader, 0, len(chunks)+2)
	parts = append(parts, bytes.NewReader(copyHead))
	for _, rows := range chunks {
		parts = append(parts, bytes.NewReader(rows))
	}
	parts = append(parts, bytes.NewReader(copyEnd))
	return io.MultiReader(parts...)
}

// A Reader calls Each with every row of the COPY BINARY that is written to it, without the
// frame. Each must not keep the row. The zero value with Each is ready to use.
type Reader struct {
	Each func(row []byte) error

	pending []byte
	begun   bool
}

// Write implements io.Writer.
func (r *Reader) Write(p []byte) (int, error) {
	r.pending = append(r.pending, p...)
	rest := r.pending
	if !r.begun {
		if len(rest) < len(copyHead) {
			return len(p), nil
		}
		rest, r.begun = rest[len(copyHead):], true
	}
	for {
		size := rowSize(rest)
		if size == 0 {
			break
		}
		if err := r.Each(rest[:size]); err != nil {
			return 0, err
		}
		rest = rest[size:]
	}
	r.pending = append(r.pending[:0], rest...)
	return len(p), nil
}

// rowSize returns the size of the first row, or 0 where the row is not complete.
func rowSize(b []byte) int {
	if len(b) < 2 || bytes.Equal(b[:2], copyEnd) {
		return 0
	}
	at := 2
	for range binary.BigEndian.Uint16(b) {
		if len(b) < at+4 {
			return 0
		}
		at += 4 + int(binary.BigEndian.Uint32(b[at:]))
		if len(b) < at {
			return 0
		}
	}
	return at
}

// Split gives the rows of a [Chunk] one by one.
func Split(rows []byte) (split [][]byte) {
	for len(rows) > 0 {
		size := rowSize(rows)
		split, rows = append(split, rows[:size]), rows[size:]
	}
	return split
}

// KeyOf reads the chunk of a row: message_id, portal_user_no and chunk come first, each
// after its length.
func KeyOf(row []byte) Key {
	const message, chunk = 2 + 4, 2 + 4 + 16 + 4 + 4 + 4
	return Key{uuid.UUID(row[message : message+16]), int(int32(binary.BigEndian.Uint32(row[chunk:])))} // #nosec G115 -- an integer column
}

// PortalUserOf reads the number of the portal user of a row.
func PortalUserOf(row []byte) int32 {
	return int32(binary.BigEndian.Uint32(row[2+4+16+4:])) // #nosec G115 -- an integer column
}
