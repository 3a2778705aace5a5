package project

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/inboxrows"
)

// A Prepared is an event with everything that can be computed without Postgres. It is
// computed ahead, while the previous run is being written. It must not be changed while
// its run is being written.
type Prepared struct {
	Stored merkle.Stored
	Event  events.Event
	Bad    error // why the event can't be projected, nil where it can
	Leaf   [sha256.Size]byte
	Chunk  *inboxrows.Chunk // of deliveries.created, nil if Bad

	packed  []byte
	project projection // nil: the event is kept and hashed, and nothing is projected
	reports *events.AlertsReported
}

// projection applies one event to the rows of a batch.
type projection func(*batch, *Prepared) error

// errUnknown says that this binary does not know the event's type or version. A newer
// binary wrote the event, and a rebuild with that binary projects it.
var errUnknown = errors.New("unknown type or version")

// Prepare prepares an event for the recorder, which keeps a copy of it in Postgres. It fails
// only if the event can't be copied.
func Prepare(s merkle.Stored) (*Prepared, error) {
	packed, err := merkle.Pack(&s)
	if err != nil {
		return nil, err
	}
	p := Look(s)
	p.packed = packed
	return p, nil
}

// Look is [Prepare] for a rebuild, which keeps no second copy.
func Look(s merkle.Stored) *Prepared {
	p := &Prepared{Stored: s, Leaf: merkle.Leaf(&s), packed: []byte{}}
	if p.Event, p.Bad = events.Parse(s.Header, s.Data); p.Bad != nil {
		return p
	}
	if !events.Reads(p.Event.Type, p.Event.Version) {
		p.Bad = fmt.Errorf("%w: %s version %d", errUnknown, p.Event.Type, p.Event.Version)
		return p
	}
	p.project = projections[p.Event.Type]
	switch p.Event.Type {
	case events.TypeDeliveriesCreated:
		p.Chunk, p.Bad = inboxrows.Of(&p.Event)
	case events.TypeAlertsReported:
		p.reports, p.Bad = decodeReports(&p.Event)
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
