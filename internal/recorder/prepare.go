package recorder

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/deliveryrows"
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

	chunk   *deliveryrows.Chunk // deliveries.created
	reports *events.AlertsReported
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
		p.chunk, p.bad = deliveryrows.Encode(&p.event)
	case events.TypeAlertsReported:
		p.reports, p.bad = decodeReports(&p.event)
	}
	return p
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
