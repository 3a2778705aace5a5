package messages

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/internal/events"
)

// Total is how many deliveries of a message a filter and a name choose.
type Total struct {
	Count int
	More  bool // than Count: more were not counted
}

// mostCounted is how many deliveries are counted one by one.
const mostCounted = 2000

// Total counts what [Tracker.Recipients] lists, page after page. What the message
// counts itself is taken from there, and costs nothing; of the rest it looks at some
// thousand deliveries at most, and says where there are more.
func (t *Reader) Total(ctx context.Context, m Message, f Filter, name string) (total Total, err error) {
	if name = searchable(name); name != "" {
		err = t.searching(ctx, m, f, name, func(s *nameSearch) error {
			total, err = s.total()
			return err
		})
		return total, err
	}
	if n, known := m.Progress.counted(f); known {
		return Total{Count: n}, nil
	}
	err = pgx.BeginTxFunc(ctx, t.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, alongIndexes); err != nil {
			return err
		}
		args := append([]any{planned}, f.args(m.ID, 0, mostCounted+1)...)
		return tx.QueryRow(ctx, `SELECT count(*) FROM (`+f.numbers()+`) AS chosen`, args...).Scan(&total.Count)
	})
	if err != nil {
		return Total{}, fmt.Errorf("counting recipients of message %s: %w", m.ID, err)
	}
	if total.Count > mostCounted {
		total = Total{Count: mostCounted, More: true}
	}
	return total, nil
}

// counted gives what the counters of a message say of a filter, if they do.
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

// total counts those who are called so, where they are few or the message is small.
func (s *nameSearch) total() (Total, error) {
	found, next, err := s.alongDeliveries(0, walk)
	if err != nil || next == 0 {
		return Total{Count: len(found)}, err
	}
	called, few, err := s.called()
	if err != nil || !few {
		return Total{Count: len(found), More: true}, err
	}
	all, err := s.amongCalled(called, 0, rare)
	return Total{Count: len(all)}, err
}
