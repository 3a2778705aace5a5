package parked

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

	"postern/internal/eventlog"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/limits"
	"postern/internal/problem"
)

var (
	// ErrNotFound says that no event with this ID was ever parked.
	ErrNotFound = problem.NotFound.New("there is no parked event with this ID")
	// ErrSettled says that the event was already retried, discarded or handled.
	ErrSettled = problem.ParkedSettled.New("this event was already retried, discarded or handled: reload it to see its state")
	// ErrOnlyRebuild says why an event that the recorder parked can't be retried.
	ErrOnlyRebuild = problem.ParkedNotRetried.New("the recorder can't retry this event, because later events are already recorded: " +
		"run `postern rebuild` with a version that understands it, or discard it")
	// ErrReason says that a reason is missing or too long.
	ErrReason = problem.Reason(limits.Reason)
)

// The states of a parked event.
const (
	Open      = "parked"    // waits for an operator's decision
	Retrying  = "retrying"  // an operator requested a retry, which has not succeeded yet
	Handled   = "handled"   // a retry succeeded, or its result was recorded
	Discarded = "discarded" // an operator gave it up
)

// Event is a parked event without its content.
type Event struct {
	ID        uuid.UUID  `json:"id"`
	State     string     `json:"state" enum:"parked,retrying,handled,discarded"`
	Consumer  string     `json:"consumer"`
	Seq       uint64     `json:"seq" doc:"Its place on the record."`
	EventID   *uuid.UUID `json:"event_id" doc:"null where what stands there is not an event."`
	Type      string     `json:"type"`
	MessageID *uuid.UUID `json:"message_id"`
	Tries     int        `json:"tries"`
	Reason    string     `json:"reason"`
	Stack     string     `json:"stack" doc:"Where the handler panicked; empty where it did not."`
	ParkedAt  time.Time  `json:"parked_at"`
}

// Retriable says whether an operator can request a retry. Events that the recorder
// parked can't be retried.
func (e Event) Retriable() bool { return e.State == Open && e.Consumer != events.Recorder }

// Settled says whether there is nothing left to decide.
func (e Event) Settled() bool { return e.State == Handled || e.State == Discarded }

// Config holds the dependencies of [Events].
type Config struct {
	Pool *pgxpool.Pool // as postern_api, or as the login user
	// Facts records the decisions, and waits until they can be read.
	Facts facts.Publisher
	// Get reads an event of the record, as [eventlog.Log.Get] does.
	Get func(ctx context.Context, seq uint64) (eventlog.Stored, error)
}

// Events reads parked events and records operators' decisions about them. It is safe
// for concurrent use.
type Events struct{ cfg Config }

// New makes [Events]. It does no I/O.
func New(cfg Config) *Events { return &Events{cfg} }

// columns are those of an [Event], in both views: app.parked_events has every event that
// was ever parked, app.open_parked_events only the open ones.
const columns = `parked_id, state, consumer, seq, event_id, type, message_id, tries, reason, stack, parked_at`

// CountOpen returns the number of open events, neither handled nor discarded, by consumer.
// A consumer without open events has no entry.
func CountOpen(ctx context.Context, pool *pgxpool.Pool) (map[string]int, error) {
	rows, err := pool.Query(ctx, `SELECT consumer, count(*) FROM app.open_parked_events GROUP BY consumer`)
	if err != nil {
		return nil, fmt.Errorf("counting parked events: %w", err)
	}
	open := map[string]int{}
	var consumer string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&consumer, &n}, func() error { open[consumer] = n; return nil }); err != nil {
		return nil, fmt.Errorf("counting parked events: %w", err)
	}
	return open, nil
}

// Query chooses parked events; its zero value chooses those that are open.
type Query struct {
	All      bool   // settled ones too
	Type     string // "": any
	Consumer string // "": any
	// Before is the ID of the last event of the previous page; [uuid.Nil] for the first page.
	Before uuid.UUID
	Limit  int
}

// List returns parked events, the latest first.
func (es *Events) List(ctx context.Context, q Query) ([]Event, error) {
	view := "app.open_parked_events"
	if q.All {
		view = "app.parked_events"
	}
	rows, err := es.cfg.Pool.Query(ctx, `SELECT `+columns+` FROM `+view+`
		WHERE ($1 = '' OR type = $1) AND ($2 = '' OR consumer = $2)
		  AND ($3::uuid = $4::uuid OR (seq, consumer) < (SELECT seq, consumer FROM app.parked WHERE parked_id = $3))
		ORDER BY seq DESC, consumer DESC LIMIT $5`, q.Type, q.Consumer, q.Before, uuid.Nil, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("reading parked events: %w", err)
	}
	found, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("reading parked events: %w", err)
	}
	return found, nil
}

// Find returns one parked event, settled or not, or [ErrNotFound].
func (es *Events) Find(ctx context.Context, id uuid.UUID) (Event, error) {
	rows, err := es.cfg.Pool.Query(ctx, `SELECT `+columns+` FROM app.parked_events WHERE parked_id = $1`, id)
	if err != nil {
		return Event{}, fmt.Errorf("reading a parked event: %w", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return Event{}, ErrNotFound
	}
	if err != nil {
		return Event{}, fmt.Errorf("reading a parked event: %w", err)
	}
	return found, nil
}

func scan(row pgx.CollectableRow) (Event, error) {
	e, err := pgx.RowToStructByPos[Event](row)
	e.ParkedAt = e.ParkedAt.UTC()
	return e, err
}

// Retry requests one more try of a parked event on behalf of actor, and returns the
// sequence of the recorded decision. It returns 0 where a retry was already requested.
func (es *Events) Retry(ctx context.Context, actor string, id uuid.UUID, reason string) (uint64, error) {
	reason = strings.TrimSpace(reason)
	found, err := es.Find(ctx, id)
	switch {
	case err != nil:
		return 0, err
	case found.State == Retrying:
		return 0, nil
	case found.Settled():
		return 0, ErrSettled
	case !found.Retriable():
		return 0, ErrOnlyRebuild
	case utf8.RuneCountInString(reason) > int(limits.Reason) || !utf8.ValidString(reason):
		return 0, ErrReason
	}
	return es.record(ctx, actor, reason, true, found)
}

// RetryAll is [Events.Retry] for every open event of a type, at most 10,000 a call. It
// returns how many it requested.
func (es *Events) RetryAll(ctx context.Context, actor, kind, reason string) (int, uint64, error) {
	open, err := es.List(ctx, Query{Type: kind, Limit: most})
	if err != nil {
		return 0, 0, err
	}
	var all []Event
	for _, e := range open {
		if e.Retriable() {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return 0, 0, nil
	}
	seq, err := es.record(ctx, actor, strings.TrimSpace(reason), true, all...)
	return len(all), seq, err
}

// most is how many events [Events.RetryAll] retries in one call; the next call takes the
// next ones.
const most = 10_000

// Discard gives up a parked event and returns the sequence of the recorded decision, or 0
// where the event was already discarded. A reason is required.
func (es *Events) Discard(ctx context.Context, actor string, id uuid.UUID, reason string) (uint64, error) {
	reason = strings.TrimSpace(reason)
	found, err := es.Find(ctx, id)
	switch {
	case err != nil:
		return 0, err
	case found.State == Discarded:
		return 0, nil
	case found.State != Open:
		return 0, ErrSettled
	case reason == "" || utf8.RuneCountInString(reason) > int(limits.Reason) || !utf8.ValidString(reason):
		return 0, ErrReason
	}
	return es.record(ctx, actor, reason, false, found)
}

// record publishes the decisions. The workers read them from the record: after a crash
// here, the decisions are recorded or they are not.
func (es *Events) record(ctx context.Context, actor, reason string, retried bool, about ...Event) (uint64, error) {
	decisions := make([]events.Body, len(about))
	for i, p := range about {
		decisions[i] = events.ParkedDecision{Retried: retried, ParkedID: p.ID, Tries: p.Tries,
			Seq: p.Seq, Consumer: p.Consumer, ID: p.EventID, Type: p.Type, MessageID: p.MessageID, Reason: reason, Actor: actor}
	}
	return es.cfg.Facts.Publish(ctx, actor, es.cfg.Facts.Now(), decisions...)
}

// Stored returns the event as recorded: subject, headers and body. No event holds a
// message's content.
func (es *Events) Stored(ctx context.Context, e Event) (eventlog.Stored, error) {
	return es.cfg.Get(ctx, e.Seq)
}
