// Package pause lets operators pause and resume the alerts of one message or of all.
//
// A pause is a recorded event. It holds all waiting alerts of its messages: chunks in
// app.alert_work, and the rest of replays. The view app.alerts_waiting lists them. The
// notify worker takes none of them (notify/pause.go) until the end of the pause is
// recorded. A pause loses no alert, and no alert is sent twice. A chunk with a request when
// the pause begins is finished.
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

// ReasonPaused is the reason for which alerts wait that a pause holds.
const ReasonPaused = "held by a pause"

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

// Hold is a pause and the number of a replay's alerts that it holds. Where both all
// alerting and one message are paused, the pause of all holds the alerts of that message.
type Hold struct {
	MessageID *uuid.UUID `json:"message_id"` // whose alerts are paused; nil: those of all messages
	Reason    string     `json:"reason"`
	Automatic bool       `json:"automatic"`
	PausedBy  string     `json:"paused_by"`
	PausedAt  time.Time  `json:"paused_at"`
	Alerts    int        `json:"alerts"`
}

// String describes the pause in one line.
func (h Hold) String() string {
	of := "all alerting is paused"
	if h.MessageID != nil {
		of = "the alerts of message " + h.MessageID.String() + " are paused"
	}
	return fmt.Sprintf("%s since %s: %s", of, h.PausedAt.Format(time.RFC3339), h.Reason)
}

// HoldsOfReplays returns, for each of the replays that a pause holds, the pauses and how
// many alerts each holds.
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

// Config holds the dependencies of [Pauses].
type Config struct {
	Pool *pgxpool.Pool
	// Facts records pauses and resumptions, and waits until they can be read.
	Facts facts.Publisher
}

// Pauses begins, ends and lists pauses. It is safe for concurrent use.
type Pauses struct{ cfg Config }

// New makes [Pauses]. It does no I/O.
func New(cfg Config) *Pauses { return &Pauses{cfg} }

// Pauses returns the pauses in force, the pause of all messages first.
func (p *Pauses) Pauses(ctx context.Context) ([]Pause, error) {
	rows, err := p.cfg.Pool.Query(ctx, `
		SELECT nullif(p.message_id, $1), p.reason, p.automatic, p.paused_by, p.paused_at, w.chunks, w.alerts
		FROM record.pauses p CROSS JOIN LATERAL (
		    SELECT count(*) AS chunks, coalesce(sum(w.alerts), 0)::bigint AS alerts FROM app.alerts_waiting w
		    WHERE w.pause IS NOT NULL AND (w.message_id = p.message_id OR p.message_id = $1)) w
		ORDER BY p.message_id <> $1, p.paused_at DESC, p.message_id`, uuid.Nil)
	if err != nil {
		return nil, fmt.Errorf("reading pauses: %w", err)
	}
	pauses, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Pause])
	if err != nil {
		return nil, fmt.Errorf("reading pauses: %w", err)
	}
	for i := range pauses {
		pauses[i].PausedAt = pauses[i].PausedAt.UTC()
	}
	return pauses, nil
}

// Of returns the pause that holds the alerts of a message; nil for none.
func Of(pauses []Pause, message uuid.UUID) *Pause {
	for i, p := range pauses {
		if p.MessageID == nil || *p.MessageID == message {
			return &pauses[i]
		}
	}
	return nil
}

// Fingerprint returns a short hash of the pauses in force: it changes when one begins or ends.
func Fingerprint(pauses []Pause) string {
	sum := sha256.New()
	for _, p := range pauses {
		_, _ = fmt.Fprintf(sum, "%v %d\n", p.MessageID, p.PausedAt.UnixMicro()) // a hash fails never
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// Pause pauses the alerts of a message, or of all where message is nil. It returns the
// sequence of the recorded event, or 0 where they were paused already. The pause takes
// effect once the recorder has reached that sequence.
func (p *Pauses) Pause(ctx context.Context, actor string, message *uuid.UUID, reason string) (uint64, error) {
	return p.change(ctx, actor, message, reason, true)
}

// Resume ends a pause in the same way. It returns 0 where the alerts were not paused.
func (p *Pauses) Resume(ctx context.Context, actor string, message *uuid.UUID, reason string) (uint64, error) {
	return p.change(ctx, actor, message, reason, false)
}

// Check returns [ErrReason] where [Pauses.Pause] and [Pauses.Resume] do not accept reason.
func Check(reason string) error {
	if reason = strings.TrimSpace(reason); reason == "" || utf8.RuneCountInString(reason) > int(limits.Reason) || !utf8.ValidString(reason) {
		return ErrReason
	}
	return nil
}

func (p *Pauses) change(ctx context.Context, actor string, message *uuid.UUID, reason string, pause bool) (uint64, error) {
	if err := Check(reason); err != nil {
		return 0, err
	}
	reason = strings.TrimSpace(reason)
	var paused, known bool
	id := uuid.Nil
	if message != nil {
		id = *message
	}
	err := p.cfg.Pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM record.pauses WHERE message_id = $1),
		       $1 = $2 OR EXISTS (SELECT FROM record.messages WHERE message_id = $1)`, id, uuid.Nil).Scan(&paused, &known)
	switch {
	case err != nil:
		return 0, fmt.Errorf("reading pauses: %w", err)
	case !known:
		return 0, ErrNoMessage
	case paused == pause:
		return 0, nil
	}
	var fact events.Body = events.AlertingResumed{Change: uuid.New(), MessageID: message, Reason: reason}
	if pause {
		fact = events.AlertingPaused{Change: uuid.New(), MessageID: message, Reason: reason}
	}
	// After a crash before the acknowledgement the change is recorded or it is not.
	return p.cfg.Facts.Publish(ctx, actor, p.cfg.Facts.Now(), fact)
}
