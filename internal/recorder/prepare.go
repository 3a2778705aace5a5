package recorder

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/proof/merkle"
)

// prepared is an event with everything that can be computed without Postgres. It is
// computed ahead, while the previous batch is being written.
type prepared struct {
	stored  merkle.Stored
	event   events.Event
	bad     error // why the event can't be projected, nil where it can
	leaf    [sha256.Size]byte
	packed  []byte
	project projection // nil: the event is kept and hashed, and nothing is projected

	chunk      *chunkRow // deliveries.created
	deliveries []byte    // its rows, in the form of COPY BINARY
	reports    *events.AlertsReported
}

// projection applies one event to the rows of a batch.
type projection func(*batch, *prepared) error

// ErrUnknown says that this binary does not know the event's type or version. A newer
// binary wrote the event, and a rebuild with that binary projects it.
var ErrUnknown = errors.New("unknown type or version")

func prepare(s merkle.Stored) (*prepared, error) {
	packed, err := merkle.Pack(&s)
	if err != nil {
		return nil, err
	}
	p := look(s)
	p.packed = packed
	return p, nil
}

// look is prepare for a rebuild, which keeps no second copy.
func look(s merkle.Stored) *prepared {
	p := &prepared{stored: s, leaf: merkle.Leaf(&s), packed: []byte{}}
	if p.event, p.bad = events.Parse(s.Header, s.Data); p.bad != nil {
		return p
	}
	if !events.Reads(p.event.Type, p.event.Version) {
		p.bad = fmt.Errorf("%w: %s version %d", ErrUnknown, p.event.Type, p.event.Version)
		return p
	}
	p.project = projections[p.event.Type]
	switch p.event.Type {
	case events.TypeDeliveriesCreated:
		p.chunk, p.deliveries, p.bad = encodeDeliveries(&p.event, s.Seq)
	case events.TypeAlertsReported:
		p.reports, p.bad = decodeReports(&p.event)
	}
	return p
}

// encodeDeliveries turns the body of deliveries.created into rows of
// record.deliveries in the format of COPY BINARY
// (https://www.postgresql.org/docs/15/sql-copy.html, Binary Format).
func encodeDeliveries(e *events.Event, seq uint64) (*chunkRow, []byte, error) {
	if e.Chunk == nil {
		return nil, nil, errors.New("the headers name no chunk")
	}
	row := make([]byte, 0, len(e.Data))
	c := &chunkRow{seq: seq, deliveredAt: e.Time, state: events.AlertPending, isNew: true}
	message, chunk, err := events.ScanChunk(e.Data, func(r *events.Recipient) error {
		if c.deliveries == 0 {
			c.firstNo = r.PortalUserNo
		} else if r.PortalUserNo <= c.lastNo {
			return fmt.Errorf("recipient %d of chunk is out of order", c.deliveries)
		}
		c.lastNo = r.PortalUserNo
		c.deliveries++
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
		return nil, nil, err
	case message != e.MessageID || chunk != e.Chunk.Index:
		return nil, nil, errors.New("the headers name another message or chunk than the body")
	case c.deliveries == 0:
		return nil, nil, errors.New("the chunk is empty")
	}
	c.key = chunkKey{message, chunk}
	return c, row, nil
}

func decodeReports(e *events.Event) (*events.AlertsReported, error) {
	reports, err := events.Decode[events.AlertsReported](*e)
	if err == nil && reports.MessageID != e.MessageID {
		err = errors.New("the headers name another message than the body")
	}
	if err != nil {
		return nil, err
	}
	return &reports, nil
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

type chunkKey struct {
	message uuid.UUID
	chunk   int
}
