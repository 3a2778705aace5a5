package retention

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/twopeople"
	"postern/internal/content"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
)

// Floor is the default number of years for which content is kept: the period that HIPAA
// requires for the documentation of disclosures (45 CFR 164.316(b)(2), 164.528).
const Floor = 6

// Config has the dependencies of a [Retention].
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Facts publishes events, and waits until they can be read.
	Facts facts.Publisher
	// Content has the copies of keys, which an erasure destroys. Requesting and reading
	// erasures do not need it.
	Content *content.Store
	// TwoPeople says whether the requester and the approver count as two people.
	TwoPeople twopeople.Rule
}

// A Retention manages how long content is kept, and its erasure.
type Retention struct {
	cfg Config

	mu        sync.Mutex
	destroyed map[uuid.UUID]bool // the erasures that this process has carried out
}

// New makes a Retention. It does no I/O.
func New(cfg Config) *Retention { return &Retention{cfg: cfg} }

// Years returns the recorded number of years for which content is kept, and the sequence of
// the event that set it, 0 if there is none.
func (r *Retention) Years(ctx context.Context) (years int, since uint64, err error) {
	err = r.cfg.Pool.QueryRow(ctx, `SELECT years, seq FROM record.retention ORDER BY seq DESC LIMIT 1`).Scan(&years, &since)
	if errors.Is(err, pgx.ErrNoRows) {
		return Floor, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading for how long content is kept: %w", err)
	}
	return years, since, nil
}

// Declare records the setting if it differs from the recorded one. Call it at the start of a
// process. Several processes at once publish the same event.
func (r *Retention) Declare(ctx context.Context, actor string, years int) error {
	before, since, err := r.Years(ctx)
	if err != nil || years == before {
		return err
	}
	return r.record(ctx, actor, events.RetentionChanged{Years: years, Before: before, After: since})
}

// record publishes an event, and waits until it is projected.
func (r *Retention) record(ctx context.Context, actor string, fact events.Body) error {
	seq, err := r.cfg.Facts.Record(ctx, actor, r.cfg.Facts.Now(), fact)
	if err != nil {
		return err
	}
	return r.cfg.Facts.WaitToRead(ctx, seq)
}

// An Erasure is a request to erase a message's content, with its state.
type Erasure struct {
	ID          uuid.UUID
	MessageID   uuid.UUID
	Seq         uint64 // of the event with the request
	Status      string // requested, erased, withdrawn
	Reason      string
	RequestedBy string // actors, as events name them
	RequestedAt time.Time
	SettledBy   *string
	SettledAt   *time.Time
	Early       bool // erased before the retention had passed
	SentAt      time.Time
}

const selectErasures = `SELECT e.erasure_id, e.message_id, e.seq, e.status, e.reason, e.requested_by, e.requested_at,
	e.settled_by, e.settled_at, e.early, m.sent_at FROM record.erasures e JOIN record.messages m USING (message_id) `

func (r *Retention) erasures(ctx context.Context, where string, args ...any) ([]Erasure, error) {
	rows, err := r.cfg.Pool.Query(ctx, selectErasures+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading erasures: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Erasure])
	if err != nil {
		return nil, fmt.Errorf("reading erasures: %w", err)
	}
	return found, nil
}

// List returns up to limit erasures that were requested before the event with the sequence
// before, the newest first; 0 means from the newest.
func (r *Retention) List(ctx context.Context, before uint64, limit int) ([]Erasure, error) {
	return r.erasures(ctx, `WHERE $1::bigint = 0 OR e.seq < $1 ORDER BY e.seq DESC LIMIT $2`, int64(before), limit) // #nosec G115 -- a sequence
}

// Find returns one erasure, or [ErrNotFound].
func (r *Retention) Find(ctx context.Context, id uuid.UUID) (Erasure, error) {
	return only(r.erasures(ctx, `WHERE e.erasure_id = $1`, id))
}

// Of returns the erasure of a message, or [ErrNotFound]. Withdrawn requests don't count.
func (r *Retention) Of(ctx context.Context, message uuid.UUID) (Erasure, error) {
	return only(r.erasures(ctx, `WHERE e.message_id = $1 AND e.status <> 'withdrawn'`, message))
}

func only(found []Erasure, err error) (Erasure, error) {
	if err != nil {
		return Erasure{}, err
	}
	if len(found) == 0 {
		return Erasure{}, ErrNotFound
	}
	return found[0], nil
}
