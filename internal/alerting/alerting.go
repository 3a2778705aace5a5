// Package alerting is the switch by which operators stop alerts and let them go on,
// of one message or of all.
//
// A pause is a fact on the record. The notify worker looks for one before each chunk
// (notify/pause.go), keeps what must wait as rows of app.alert_retries, and takes it
// up again when the record says that the pause has ended. Nothing is lost by a pause
// and nothing is sent twice; a chunk that is in hand when it begins is finished.
package alerting

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/events"
)

// Held is why a chunk waits in app.alert_retries that a pause keeps there.
const Held = "alerting is paused"

// MaxReason is the most characters of a reason.
const MaxReason = 500

var (
	// ErrReason says that a reason is missing or too long.
	ErrReason = fmt.Errorf("say why, in 1 to %d characters", MaxReason)
	// ErrNoMessage says that there is no message whose alerts could be paused.
	ErrNoMessage = errors.New("there is no such message")
)

// Pause is a pause that is in force.
type Pause struct {
	MessageID *uuid.UUID `json:"message_id"` // nil: of all messages
	Reason    string     `json:"reason"`
	Automatic bool       `json:"automatic"`
	PausedBy  string     `json:"paused_by"`
	PausedAt  time.Time  `json:"paused_at"`
	Waiting   int        `json:"waiting_chunks"` // up to a thousand alerts each
}

// Switch is safe for concurrent use.
type Switch struct {
	Pool    *pgxpool.Pool
	Publish func(context.Context, ...events.Event) (last uint64, err error)
	Source  string // the process, as events name it: "/api"
	Now     func() time.Time
}

// Pauses gives the pauses in force, that of all messages first.
func (s *Switch) Pauses(ctx context.Context) ([]Pause, error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT nullif(p.message_id, $1), p.reason, p.automatic, p.paused_by, p.paused_at,
		       (SELECT count(*) FROM app.alert_retries r
		        WHERE r.reason = $2 AND (r.message_id = p.message_id OR p.message_id = $1))
		FROM record.pauses p ORDER BY p.message_id <> $1, p.paused_at DESC, p.message_id`, uuid.Nil, Held)
	if err != nil {
		return nil, fmt.Errorf("reading what is paused: %w", err)
	}
	pauses, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Pause])
	if err != nil {
		return nil, fmt.Errorf("reading what is paused: %w", err)
	}
	for i := range pauses {
		pauses[i].PausedAt = pauses[i].PausedAt.UTC()
	}
	return pauses, nil
}

// Of gives, of pauses, the one that keeps the alerts of a message; nil for none.
func Of(pauses []Pause, message uuid.UUID) *Pause {
	for i, p := range pauses {
		if p.MessageID == nil || *p.MessageID == message {
			return &pauses[i]
		}
	}
	return nil
}

// Pause stops the alerts of a message, or of all where message is nil, and gives the
// place of that on the record: 0 where they were stopped before. It holds once the
// recorder has come there.
func (s *Switch) Pause(ctx context.Context, actor string, message *uuid.UUID, reason string) (uint64, error) {
	return s.change(ctx, actor, message, reason, true)
}

// Resume lets them go on, likewise; 0 where they were not stopped.
func (s *Switch) Resume(ctx context.Context, actor string, message *uuid.UUID, reason string) (uint64, error) {
	return s.change(ctx, actor, message, reason, false)
}

func (s *Switch) change(ctx context.Context, actor string, message *uuid.UUID, reason string, pause bool) (uint64, error) {
	if reason = strings.TrimSpace(reason); reason == "" || utf8.RuneCountInString(reason) > MaxReason || !utf8.ValidString(reason) {
		return 0, ErrReason
	}
	var paused, known bool
	id := uuid.Nil
	if message != nil {
		id = *message
	}
	err := s.Pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM record.pauses WHERE message_id = $1),
		       $1 = $2 OR EXISTS (SELECT FROM record.messages WHERE message_id = $1)`, id, uuid.Nil).Scan(&paused, &known)
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading what is paused: %w", err)
	case !known:
		return 0, ErrNoMessage
	case paused == pause:
		return 0, nil
	}
	var fact events.Body = events.AlertingResumed{Change: uuid.New(), MessageID: message, Reason: reason}
	if pause {
		fact = events.AlertingPaused{Change: uuid.New(), MessageID: message, Reason: reason}
	}
	e, err := events.New(s.Source, actor, s.Now(), fact)
	if err != nil {
		return 0, err
	}
	// A crash before the acknowledgement leaves alerting as it was, or changed: the
	// record says which.
	return s.Publish(ctx, e)
}
