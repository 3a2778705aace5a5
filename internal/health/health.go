// Package health says how the whole works at a moment: how far each consumer and
// the recorder are behind, what SendGrid answers, what became of alerts, and how much
// room is left. It is what the page of operations and /v1/operations show.
//
// A Board is safe for concurrent use, and asks for little: everything that it reads
// is a count, a row for a thousand alerts, or lies along an index.
package health

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog"
)

// Board looks at everything.
type Status struct {
	Pool *pgxpool.Pool
	Log  *eventlog.Log
	// Room is how many bytes are free where NATS keeps the record; nil asks the server
	// for its limits.
	Room func() (int64, error)
	Now  func() time.Time
}

// State is how the whole works at a moment.
type State struct {
	At        time.Time  `json:"at"`
	Consumers []Consumer `json:"consumers" nullable:"false"`
	Recorder  Lag        `json:"recorder"`
	Stream    Stream     `json:"stream"`
	Parked    int        `json:"parked" doc:"Parked events that are open: neither handled nor discarded."`
	Waiting   []Waiting  `json:"waiting" nullable:"false" doc:"Chunks whose alerts wait, and why."`
	Answers   []Minute   `json:"answers" nullable:"false" doc:"SendGrid's answers by minute, of the last hour, the latest first."`
	Alerts    []Hour     `json:"alerts" nullable:"false" doc:"What became of alerts by hour, of the last day, the earliest first."`
}

// Consumer is a durable consumer, and what last went wrong at it.
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
}

// Stream is what the record takes on the disk of NATS.
type Stream struct {
	Events uint64 `json:"events"`
	Bytes  uint64 `json:"bytes"`
	Room   *int64 `json:"room" doc:"How many bytes more the server takes; null where it sets no limit."`
}

// Waiting counts chunks, and parts of chunks that replays repeat, whose alerts wait for
// one reason.
type Waiting struct {
	Reason      string     `json:"reason"`
	Chunks      int        `json:"chunks"`
	Alerts      int        `json:"alerts"`
	Due         *time.Time `json:"due" doc:"When the first goes on; null: when the pause ends, or at once."`
	Message     *uuid.UUID `json:"paused_message_id" doc:"Of a pause of one message's alerts: which message."`
	PauseReason string     `json:"pause_reason" doc:"Why they were paused; empty where no pause holds them."`
	PausedAt    *time.Time `json:"paused_at"`
}

// Minute counts SendGrid's answers to requests.
type Minute struct {
	At       time.Time `json:"at"`
	Accepted int       `json:"accepted"`
	Refused  int       `json:"refused" doc:"Because of recipients."`
	Again    int       `json:"again" doc:"It limits the rate, or is away."`
	Unknown  int       `json:"unknown" doc:"No answer ever came."`
}

// Hour counts alerts by what became of them.
type Hour struct {
	At       time.Time `json:"at"`
	Accepted int       `json:"accepted"`
	Failed   int       `json:"failed"`
	Skipped  int       `json:"skipped"`
	Unknown  int       `json:"unknown"`
}

// Look looks at everything once.
func (b *Status) Look(ctx context.Context) (State, error) {
	s := State{At: b.Now().UTC()}
	for _, part := range []func(context.Context, *State) error{b.consumers, b.recorder, b.stream, b.parked, b.waiting, b.answers, b.alerts} {
		if err := part(ctx, &s); err != nil {
			return State{}, err
		}
	}
	return s, nil
}

func (b *Status) consumers(ctx context.Context, s *State) error {
	all, err := b.Log.Consumers(ctx)
	if err != nil {
		return err
	}
	rows, err := b.Pool.Query(ctx, `SELECT consumer, seq, reason, at FROM app.consumer_errors`)
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

// recorder compares the end of the stream with the position, in that order: it never
// seems further behind than it is.
func (b *Status) recorder(ctx context.Context, s *State) error {
	state, err := b.Log.State(ctx)
	if err != nil {
		return err
	}
	if err := b.Pool.QueryRow(ctx, `SELECT seq FROM record.position`).Scan(&s.Recorder.Position); err != nil {
		return fmt.Errorf("reading the recorder's position: %w", err)
	}
	s.Stream.Events, s.Stream.Bytes = state.Msgs, state.Bytes
	if state.Last <= s.Recorder.Position {
		return nil
	}
	s.Recorder.Events = state.Last - s.Recorder.Position
	at, err := b.Log.PublishedAt(ctx, s.Recorder.Position+1)
	if errors.Is(err, eventlog.ErrNotFound) {
		return nil // a damaged stream, which /readyz speaks of
	}
	s.Recorder.Seconds = seconds(s.At.Sub(at))
	return err
}

func (b *Status) stream(ctx context.Context, s *State) error {
	if b.Room != nil {
		room, err := b.Room()
		s.Stream.Room = &room
		return err
	}
	room, limited, err := b.Log.Room(ctx)
	if limited {
		s.Stream.Room = &room
	}
	return err
}

func seconds(d time.Duration) int { return max(int(d.Seconds()), 0) }
