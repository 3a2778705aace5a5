package damage

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/merkle"
	"postern/internal/recorder/position"
)

const (
	restoreBatch = 500
	restoreBytes = 8 << 20
)

// A Repair restores a damaged stream from the copy in Postgres, sequence for
// sequence.
//
// Events beyond the recorder's position are in no copy, so Repair saves them (the
// tail) to app.repair_tail before it replaces the stream. Then it publishes the copy
// into an empty stream, in order, and the tail after it. A crash anywhere leaves a
// stream shorter than the copy, which every check finds, and the saved tail. Run
// again, the repair continues.
type Repair struct {
	Pool *pgxpool.Pool
	Log  *eventlog.Log
	// Empty sets the damaged stream aside and returns the log of an empty one.
	Empty func(context.Context) (*eventlog.Log, error)
	// Progress, if set, is called with the sequence restored so far and the last one.
	Progress func(seq, last uint64)
}

// Repaired is the result of a repair.
type Repaired struct {
	Restored uint64 `json:"restored"` // from the copy
	Tail     uint64 `json:"tail"`     // from the damaged stream, beyond the copy
	// Lost are events that are in no copy and can't be read from the damaged stream.
	// Their content is lost.
	Lost []Fault `json:"lost"`
}

// Run repairs the stream, damaged or not. [CheckAll] tells whether it is damaged.
func (r *Repair) Run(ctx context.Context) (Repaired, error) {
	recorded, err := position.Read(ctx, r.Pool)
	if err != nil {
		return Repaired{}, err
	}
	if err := r.copyIsWhole(ctx, recorded); err != nil {
		return Repaired{}, err
	}
	lost, err := r.saveTail(ctx, recorded)
	if err != nil {
		return Repaired{}, fmt.Errorf("saving the stream's events beyond the copy: %w", err)
	}
	if r.Log, err = r.Empty(ctx); err != nil {
		return Repaired{}, fmt.Errorf("setting the damaged stream aside: %w", err)
	}
	if err := r.restore(ctx, recorded); err != nil {
		return Repaired{}, err
	}
	tail, err := r.appendTail(ctx, recorded)
	if err != nil {
		return Repaired{}, err
	}
	return Repaired{Restored: recorded, Tail: tail, Lost: lost}, nil
}

// copyIsWhole fails if the copy is damaged too: then the stream must not be replaced.
func (r *Repair) copyIsWhole(ctx context.Context, position uint64) error {
	rows, err := r.Pool.Query(ctx, `SELECT seq, leaf, stored FROM record.events ORDER BY seq`)
	if err != nil {
		return fmt.Errorf("reading the copy: %w", err)
	}
	defer rows.Close()
	var want uint64
	for rows.Next() {
		var seq int64
		var leaf, stored []byte
		if err := rows.Scan(&seq, &leaf, &stored); err != nil {
			return fmt.Errorf("reading the copy: %w", err)
		}
		if want++; uint64(seq) != want { // #nosec G115 -- a sequence
			return fmt.Errorf("the copy lacks event %d: the stream can't be restored from it", want)
		}
		s, err := merkle.Unpack(want, stored)
		if err != nil {
			return err
		}
		if got := merkle.Leaf(&s); string(got[:]) != string(leaf) {
			return fmt.Errorf("the copy of event %d was changed: the stream can't be restored from it", want)
		}
	}
	if want != position && rows.Err() == nil {
		return fmt.Errorf("the copy ends at event %d, before the position %d", want, position)
	}
	return rows.Err()
}

// saveTail saves every readable event beyond the position, and returns the unreadable ones.
func (r *Repair) saveTail(ctx context.Context, position uint64) ([]Fault, error) {
	state, err := r.Log.State(ctx)
	if err != nil {
		return nil, err
	}
	lost := Report{Faults: []Fault{}}
	if state.First > position+1 && state.Last > position {
		lost.fault(position+1, state.First-1, faultMissing)
	}
	var failed error
	save := func(s *merkle.Stored) {
		if failed != nil {
			return
		}
		e, err := events.Parse(s.Header, s.Data)
		if err != nil {
			return // not an event of Postern: no process reported it as stored
		}
		packed, err := merkle.Pack(s)
		if err == nil {
			_, err = r.Pool.Exec(ctx, `INSERT INTO app.repair_tail (event_id, stored) VALUES ($1, $2) ON CONFLICT DO NOTHING`, e.ID, packed)
		}
		failed = err
	}
	err = EachStored(ctx, r.Log, max(position+1, state.First), state.Last, save, func(first, last uint64) {
		lost.fault(first, last, faultMissing)
	})
	return lost.Faults, errors.Join(err, failed)
}

// restore publishes the copy in order. The first message of each batch names the
// sequence that it must follow, so an event that another process publishes in between
// can't take the place of a recorded one.
func (r *Repair) restore(ctx context.Context, position uint64) error {
	for from := uint64(1); from <= position; {
		batch, err := r.nextBatch(ctx, from)
		if err != nil {
			return err
		}
		batch[0].Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(from-1, 10))
		if err := publishBatch(ctx, r.Log.JetStream(), batch); err != nil {
			return fmt.Errorf("restoring from event %d on: %w; stop all processes that publish and run `postern repair` again", from, err)
		}
		from += uint64(len(batch))
		if r.Progress != nil {
			r.Progress(from-1, position)
		}
	}
	return nil
}

func publishBatch(ctx context.Context, js jetstream.JetStream, batch []*nats.Msg) error {
	if len(batch) == 1 {
		_, err := js.PublishMsg(ctx, batch[0])
		return err
	}
	_, err := jetstreamext.PublishMsgBatch(ctx, js, batch)
	return err
}

func (r *Repair) nextBatch(ctx context.Context, from uint64) ([]*nats.Msg, error) {
	rows, err := r.Pool.Query(ctx, `SELECT seq, repeats IS NOT NULL, stored FROM record.events
		WHERE seq >= $1 ORDER BY seq LIMIT $2`, from, restoreBatch)
	if err != nil {
		return nil, fmt.Errorf("reading the copy: %w", err)
	}
	defer rows.Close()
	var batch []*nats.Msg
	for size := 0; size < restoreBytes && rows.Next(); {
		var seq int64
		var repeats bool
		var stored []byte
		if err := rows.Scan(&seq, &repeats, &stored); err != nil {
			return nil, fmt.Errorf("reading the copy: %w", err)
		}
		s, err := merkle.Unpack(uint64(seq), stored) // #nosec G115 -- a sequence
		if err != nil {
			return nil, err
		}
		msg := &nats.Msg{Subject: s.Subject, Header: nats.Header(s.Header), Data: s.Data}
		if msg.Header == nil {
			msg.Header = nats.Header{}
		}
		// JetStream must not drop a repeated event: it has a sequence of its own.
		if id := msg.Header.Get("ce-id"); id != "" && !repeats {
			msg.Header.Set(events.HeaderMsgID, id)
		}
		batch = append(batch, msg)
		size += len(s.Data)
	}
	if len(batch) == 0 {
		return nil, errors.Join(fmt.Errorf("the copy lacks event %d", from), rows.Err())
	}
	return batch, nil
}

// appendTail publishes the saved tail in its old order, and deletes it once all of it
// is stored.
func (r *Repair) appendTail(ctx context.Context, position uint64) (uint64, error) {
	rows, err := r.Pool.Query(ctx, `SELECT stored FROM app.repair_tail t
		WHERE NOT EXISTS (SELECT FROM record.events e WHERE e.id = t.event_id) ORDER BY nr`)
	if err != nil {
		return 0, fmt.Errorf("reading the saved tail: %w", err)
	}
	saved, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return 0, fmt.Errorf("reading the saved tail: %w", err)
	}
	for i, stored := range saved {
		s, err := merkle.Unpack(position+uint64(i)+1, stored) // #nosec G115 -- an index
		if err != nil {
			return 0, err
		}
		msg := &nats.Msg{Subject: s.Subject, Header: nats.Header(s.Header), Data: s.Data}
		msg.Header.Set(events.HeaderMsgID, msg.Header.Get("ce-id"))
		if _, err := r.Log.JetStream().PublishMsg(ctx, msg); err != nil {
			return 0, fmt.Errorf("publishing the saved tail: %w; run `postern repair` again", err)
		}
	}
	if _, err := r.Pool.Exec(ctx, `TRUNCATE app.repair_tail`); err != nil {
		return 0, fmt.Errorf("deleting the saved tail: %w", err)
	}
	return uint64(len(saved)), nil
}
