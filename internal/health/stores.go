package health

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/eventlog"
	"postern/internal/recorder/position"
	"postern/internal/store"
)

// Consumer is a durable consumer with its last error.
type Consumer struct {
	eventlog.Consumer
	OldestSeconds int        `json:"oldest_seconds" doc:"The age of the oldest event that is not done."`
	LastError     string     `json:"last_error"`
	LastErrorAt   *time.Time `json:"last_error_at"`
	LastErrorSeq  uint64     `json:"last_error_seq" doc:"Of the event at which it went wrong; 0 for none."`
}

// Lag is how far the recorder is behind.
type Lag struct {
	Position uint64 `json:"position"`
	Events   uint64 `json:"events"`
	Seconds  int    `json:"seconds" doc:"The age of the first event that can't be read yet."`
	// Age is the exact value of Seconds: the time since NATS stored the event. It is 0 where
	// all events are recorded, or where the event is missing from the stream, which the check
	// of the record reports.
	Age time.Duration `json:"-"`
}

// Stream is the size of the record on the disk of NATS.
type Stream struct {
	Events    uint64 `json:"events"`
	Bytes     uint64 `json:"bytes"`
	Last      uint64 `json:"-"` // sequence of the last event
	FreeBytes *int64 `json:"room" doc:"How many bytes more the server takes; null where it sets no limit."`
}

func (h *Status) ping(ctx context.Context, _ *State) error { return h.cfg.Pool.Ping(ctx) }

func (h *Status) connected(context.Context, *State) error {
	if !h.cfg.Log.Connected() {
		return errors.New("NATS can't be reached")
	}
	return nil
}

// migrationTimeout bounds the wait for another process that migrates the schema.
const migrationTimeout = time.Second

func (h *Status) migrated(ctx context.Context, _ *State) error {
	ctx, cancel := context.WithTimeout(ctx, migrationTimeout)
	defer cancel()
	return store.WaitMigrated(ctx, h.cfg.Pool, nil)
}

func (h *Status) record(ctx context.Context, s *State) error {
	err := h.cfg.Position.Intact(ctx)
	switch {
	case err == nil:
		s.Record.Whole = true
	case errors.Is(err, position.ErrUnchecked), errors.Is(err, position.ErrDamaged):
		s.Record.Detail = err.Error()
	default:
		return err
	}
	return nil
}

// recorder reads the end of the stream first and the position second, so that the recorder
// never seems further behind than it is.
func (h *Status) recorder(ctx context.Context, s *State) error {
	stream, err := h.cfg.Log.State(ctx)
	if err != nil {
		return err
	}
	lag := Lag{}
	if lag.Position, err = position.Read(ctx, h.cfg.Pool); err != nil {
		return err
	}
	switch {
	case stream.Last > lag.Position:
		lag.Events = stream.Last - lag.Position
		at, err := h.cfg.Log.PublishedAt(ctx, lag.Position+1)
		if err == nil {
			lag.Age = max(s.At.Sub(at), 0)
			lag.Seconds = seconds(lag.Age)
		} else if !errors.Is(err, eventlog.ErrNotFound) {
			return err
		}
	case stream.Last < lag.Position: // perhaps an event was stored and recorded in between
		if stream, err = h.cfg.Log.State(ctx); err != nil {
			return err
		}
	}
	s.Recorder, s.Stream.Events, s.Stream.Bytes, s.Stream.Last = lag, stream.Msgs, stream.Bytes, stream.Last
	return nil
}

func (h *Status) consumers(ctx context.Context, s *State) error {
	all, err := h.cfg.Log.Consumers(ctx)
	if err != nil {
		return err
	}
	rows, err := h.cfg.Pool.Query(ctx, `SELECT consumer, seq, reason, at FROM app.consumer_errors`)
	if err != nil {
		return fmt.Errorf("reading the last errors: %w", err)
	}
	type failure struct {
		Consumer string
		Seq      uint64
		Reason   string
		At       time.Time
	}
	failures, err := pgx.CollectRows(rows, pgx.RowToStructByPos[failure])
	if err != nil {
		return fmt.Errorf("reading the last errors: %w", err)
	}
	for _, c := range all {
		one := Consumer{Consumer: c}
		if !c.Oldest.IsZero() {
			one.OldestSeconds = seconds(s.At.Sub(c.Oldest))
		}
		for _, f := range failures {
			if f.Consumer == c.Name {
				at := f.At.UTC()
				one.LastError, one.LastErrorAt, one.LastErrorSeq = f.Reason, &at, f.Seq
			}
		}
		s.Consumers = append(s.Consumers, one)
	}
	return nil
}

func (h *Status) room(ctx context.Context, s *State) error {
	ask := h.cfg.Log.FreeSpace
	if h.cfg.FreeSpace != nil {
		ask = func(context.Context) (int64, bool, error) {
			room, err := h.cfg.FreeSpace()
			return room, true, err
		}
	}
	room, limited, err := ask(ctx)
	if err == nil && limited {
		s.Stream.FreeBytes = &room
	}
	return err
}

func (h *Status) replication(ctx context.Context, s *State) (err error) {
	s.Replication, err = store.ReadReplication(ctx, h.cfg.Pool)
	return err
}

// promotion tells whether alerts wait because of a failover of Postgres; see package notify.
func (h *Status) promotion(ctx context.Context, s *State) error {
	err := h.cfg.Pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM app.timelines
		WHERE timeline = app.timeline() AND settled_at IS NOT NULL)`).Scan(&s.Unsettled)
	if err != nil {
		return fmt.Errorf("asking whether a promotion of Postgres is settled: %w", err)
	}
	return nil
}

func (h *Status) content(ctx context.Context, s *State) (err error) {
	if h.cfg.MissingContent != nil {
		s.Content.Missing = h.cfg.MissingContent()
	}
	if h.cfg.UncopiedKeys != nil {
		s.Content.Uncopied, err = h.cfg.UncopiedKeys(ctx)
	}
	return err
}

func seconds(d time.Duration) int { return max(int(d.Seconds()), 0) }
