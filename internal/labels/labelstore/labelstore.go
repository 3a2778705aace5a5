// Package labelstore stores the labels of a clinic.
//
// A change is recorded first. [Store.Current] reads the recorder's tables, so that a change
// takes effect at the next request, in every process.
//
// A Store is safe for concurrent use.
package labelstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/labels"
	"postern/internal/store"
	"postern/internal/text/language"
)

// Config has the dependencies of a [Store].
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Facts records what is done, and waits until it can be read.
	Facts facts.Publisher
}

// Store reads and changes the labels of a clinic.
type Store struct {
	cfg Config
}

// New makes a Store. It does no I/O.
func New(cfg Config) *Store { return &Store{cfg: cfg} }

// Current returns the current labels: the defaults, in the language of ctx, replaced by those that
// are recorded.
func (s *Store) Current(ctx context.Context) (labels.Labels, error) {
	l, err := s.Chosen(ctx)
	return l.In(language.From(ctx)), err
}

// Chosen is [Store.Current] with the defaults as they are: for a change, and for evidence, which is in
// English.
func (s *Store) Chosen(ctx context.Context) (labels.Labels, error) {
	return current(ctx, s.cfg.Pool)
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func current(ctx context.Context, q querier) (labels.Labels, error) {
	rows, err := q.Query(ctx, `SELECT label, one, many FROM record.labels`)
	if err != nil {
		return labels.Labels{}, fmt.Errorf("reading the labels: %w", err)
	}
	chosen := map[string]labels.Label{}
	var key string
	var l labels.Label
	_, err = pgx.ForEachRow(rows, []any{&key, &l.One, &l.Many}, func() error {
		chosen[key] = l
		return nil
	})
	if err != nil {
		return labels.Labels{}, fmt.Errorf("reading the labels: %w", err)
	}
	all := labels.Default()
	all.Each(func(key string, label **labels.Label) {
		if l, ok := chosen[key]; ok {
			*label = &l
		}
	})
	return all, nil
}

// Change changes the labels to the result of decide, which gets the current ones. The events
// name actor. Change returns once the change can be read, with the new labels and the
// sequence of the change's event, which is 0 if nothing changed. Concurrent calls run one
// after the other, and the second decide gets the labels that the first has changed. decide
// must check [labels.Labels.Faults]; Change returns its error.
func (s *Store) Change(ctx context.Context, actor string, decide func(current labels.Labels) (wanted labels.Labels, err error)) (now labels.Labels, seq uint64, err error) {
	err = store.Alone(ctx, s.cfg.Pool, store.LeaseLabels, func(conn *pgxpool.Conn, held func(context.Context) error) error {
		if now, err = current(ctx, conn); err != nil {
			return err
		}
		wanted, err := decide(now)
		if err != nil {
			return err
		}
		changes := s.changes(&now, wanted)
		if len(changes) == 0 {
			return nil
		}
		if err := held(ctx); err != nil {
			return err
		}
		// All or none: a crash here leaves either the old or the new labels.
		if seq, err = s.cfg.Facts.Publish(ctx, actor, s.cfg.Facts.Now(), changes...); err != nil {
			return err
		}
		return s.cfg.Facts.Wait(ctx, seq)
	})
	if err != nil {
		return labels.Labels{}, 0, fmt.Errorf("changing labels: %w", err)
	}
	return now, seq, nil
}

// changes changes now to the wanted labels and returns the events of the changes.
func (s *Store) changes(now *labels.Labels, wanted labels.Labels) (changes []events.Body) {
	asked := map[string]*labels.Label{}
	wanted.Each(func(key string, label **labels.Label) { asked[key] = *label })
	change := uuid.New()
	now.Each(func(key string, label **labels.Label) {
		want := asked[key]
		if want == nil || *want == **label {
			return
		}
		*label = want
		changes = append(changes, events.LabelChanged{Change: change, Label: key, One: want.One, Many: want.Many})
	})
	return changes
}
