package messages

import (
	"context"
	"fmt"

	"postern/internal/events"
)

// Total is the number of deliveries of a message that match a filter and a name.
type Total struct {
	Count int
	More  bool // there are more than Count; the rest was not counted
}

// maxCounted is the most deliveries that are counted one by one.
const maxCounted = 2000

// Total counts the deliveries that all pages of [Reader.Recipients] have. It uses the
// message's own counters if it can. Otherwise it counts a few thousand deliveries at most,
// and reports whether there are more.
func (rd *Reader) Total(ctx context.Context, m Message, f Filter, name string) (total Total, err error) {
	if name = searchable(name); name != "" {
		err = rd.searching(ctx, m, f, name, func(s *nameSearch) error {
			total, err = s.total()
			return err
		})
		return total, err
	}
	if n, known := m.Progress.counted(f); known {
		return Total{Count: n}, nil
	}
	err = rd.reading(ctx, func(s *snapshot) error {
		found, err := walk{s, m.ID, f}.next(0, maxCounted+1)
		total = Total{Count: min(len(found), maxCounted), More: len(found) > maxCounted}
		return err
	})
	if err != nil {
		return Total{}, fmt.Errorf("counting recipients of message %s: %w", m.ID, err)
	}
	return total, nil
}

// counted returns the number of deliveries that match a filter, if a counter has it.
func (p Progress) counted(f Filter) (n int, known bool) {
	switch {
	case f.Alert == "" && f.Opened == nil:
		return p.Delivered, true
	case f.Alert == "" && *f.Opened:
		return p.Opened, true
	case f.Alert == "":
		return p.Delivered - p.Opened, true
	case f.Opened != nil || f.Reason != "":
		return 0, false
	}
	n, known = map[events.AlertState]int{
		events.AlertAccepted: p.Alerted, events.AlertFailed: p.AlertFailed, events.AlertSkipped: p.AlertSkipped, events.AlertUnknown: p.AlertUnknown,
		events.AlertPending: p.Delivered - p.Alerted - p.AlertFailed - p.AlertSkipped - p.AlertUnknown,
	}[f.Alert]
	return n, known
}

// total counts the recipients with the name, completely if the name is rare or the message
// is small.
func (s *nameSearch) total() (Total, error) {
	found, next, err := s.alongDeliveries(0, maxScan)
	if err != nil || next == 0 {
		return Total{Count: len(found)}, err
	}
	named, rare, err := s.inDirectory()
	if err != nil || !rare {
		return Total{Count: len(found), More: true}, err
	}
	all, err := s.among(named)
	return Total{Count: len(all)}, err
}
