// Package pause is the switch by which operators stop alerts and let them go on,
// of one message or of all.
//
// A pause is a fact on the record, and holds whatever waits for its messages: chunks in
// app.alert_work, and what replays have still to repeat. The view app.alerts_waiting
// says what that is. The notify worker takes none of it up (notify/pause.go) until the
// record says that the pause has ended. Nothing is lost by a pause and nothing is sent
// twice; a chunk that is in hand when it begins is finished.
package pause

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/problem"
)

// Held is why alerts wait that a pause holds.
const Held = "held by a pause"

var (
	// ErrReason says that a reason is missing or too long.
	ErrReason = problem.Reason(limits.Reason)
	// ErrNoMessage says that there is no message whose alerts could be paused.
	ErrNoMessage = problem.NotFound.New("there is no such message")
)

// Pause is a pause that is in force.
type Pause struct {
	MessageID *uuid.UUID `json:"message_id"` // nil: of all messages
	Reason    string     `json:"reason"`
	Automatic bool       `json:"automatic"`
	PausedBy  string     `json:"paused_by"`
	PausedAt  time.Time  `json:"paused_at"`
	Waiting   int        `json:"waiting_chunks"` // up to a thousand alerts each
	Alerts    int        `json:"waiting_alerts"` // in those chunks
}

// Hold is a pause and what it holds of something. Where both all alerting and one
// message are paused, the pause of all holds the alerts of that message.
type Hold struct {
	MessageID *uuid.UUID `json:"message_id"` // whose alerts are paused; nil: those of all messages
	Reason    string     `json:"reason"`
	Automatic bool       `json:"automatic"`
	PausedBy  string     `json:"paused_by"`
	PausedAt  time.Time  `json:"paused_at"`
	Alerts    int        `json:"alerts"`
}

// String says it in words.
func (h Hold) String() string {
	of := "all alerting is paused"
	if h.MessageID != nil {
		of = "the alerts of message " + h.MessageID.String() + " are paused"
	}
	return fmt.Sprintf("%s since %s: %s", of, h.PausedAt.Format(time.RFC3339), h.Reason)
}

// HoldsOfReplays gives, for each of the replays that a pause holds back, the pauses
// and how many alerts each holds.
func HoldsOfReplays(ctx context.Context, pool *pgxpool.Pool, replays []uuid.UUID) (map[uuid.UUID][]Hold, error) {
	rows, err := pool.Query(ctx, `
		SELECT w.replay_id, nullif(p.message_id, $2), p.reason, p.automatic, p.paused_by, p.paused_at, sum(w.alerts)
		FROM app.alerts_waiting w JOIN record.pauses p ON p.message_id = w.pause
		WHERE w.replay_id = ANY($1) GROUP BY w.replay_id, p.message_id ORDER BY p.message_id <> $2, p.paused_at DESC, p.message_id`,
		replays, uuid.Nil)
	if err != nil {
		return nil, fmt.Errorf("reading what holds replays back: %w", err)
	}
	holds := map[uuid.UUID][]Hold{}
	var id uuid.UUID
	var h Hold
	_, err = pgx.ForEachRow(rows, []any{&id, &h.MessageID, &h.Reason, &h.Automatic, &h.PausedBy, &h.PausedAt, &h.Alerts}, func() error {
		h.PausedAt = h.PausedAt.UTC()
		holds[id] = append(holds[id], h)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what holds replays back: %w", err)
	}
	return holds, nil
}

// Switch is safe for concurrent use.
type Pauses struct {
	Pool *pgxpool.Pool
	// Facts records what is done, and waits until it can be read.
	Facts facts.Publisher
}

// Pauses gives the pauses in force, that of all messages first.
func (s *Pauses) Pauses(ctx context.Context) ([]Pause, error) {
	rows, err := s.Pool.Query(ctx, `
		SELECT nullif(p.message_id, $1), p.reason, p.automatic, p.paused_by, p.paused_at, w.chunks, w.alerts
		FROM record.pauses p CROSS JOIN LATERAL (
		    SELECT count(*) AS chunks, coalesce(sum(w.alerts), 0)::bigint AS alerts FROM app.alerts_waiting w
		    WHERE w.pause IS NOT NULL AND (w.message_id = p.message_id OR p.message_id = $1)) w
		ORDER BY p.message_id <> $1, p.paused_at DESC, p.message_id`, uuid.Nil)
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

// Mark names the pauses that are in force: it changes when one begins or ends.
func Mark(pauses []Pause) string {
	sum := sha256.New()
	for _, p := range pauses {
		_, _ = fmt.Fprintf(sum, "%v %d\n", p.MessageID, p.PausedAt.UnixMicro()) // a hash fails never
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// Pause stops the alerts of a message, or of all where message is nil, and gives the
// place of that on the record: 0 where they were stopped before. It holds once the
// recorder has come there.
func (s *Pauses) Pause(ctx context.Context, actor string, message *uuid.UUID, reason string) (uint64, error) {
	return s.change(ctx, actor, message, reason, true)
}

// Resume lets them go on, likewise; 0 where they were not stopped.
func (s *Pauses) Resume(ctx context.Context, actor string, message *uuid.UUID, reason string) (uint64, error) {
	return s.change(ctx, actor, message, reason, false)
}

// Check fails with [ErrReason] where reason is not one that [Switch.Pause] and
// [Switch.Resume] take.
func Check(reason string) error {
	if reason = strings.TrimSpace(reason); reason == "" || utf8.RuneCountInString(reason) > int(limits.Reason) || !utf8.ValidString(reason) {
		return ErrReason
	}
	return nil
}

func (s *Pauses) change(ctx context.Context, actor string, message *uuid.UUID, reason string, pause bool) (uint64, error) {
	if err := Check(reason); err != nil {
		return 0, err
	}
	reason = strings.TrimSpace(reason)
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
	// A crash before the acknowledgement leaves alerting as it was, or changed: the
	// record says which.
	return s.Facts.Publish(ctx, actor, s.Facts.Now(), fact)
}
