// Package clinicstore stores the details of the clinic.
//
// A change is recorded first. [Store.Current] reads the recorder's table, so that a change takes
// effect at the next request, in every process.
//
// A Store is safe for concurrent use.
package clinicstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/clinic"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/problem"
	"postern/internal/store"
)

// ErrChanged says that the details have changed since they were read.
var ErrChanged = problem.ClinicChanged.New("another staff member has changed the clinic’s details in the meantime: read them again, and then send your change")

// Config has the dependencies of a [Store].
type Config struct {
	// Pool connects as postern_api, as postern_notify or as the login user.
	Pool *pgxpool.Pool
	// Facts records a change, and waits until it can be read. A Store that only reads needs none.
	Facts facts.Publisher
	// Name is the clinic's name until an administrator sets the details: CLINIC_NAME.
	Name string
}

// Store reads and changes the details of the clinic.
type Store struct{ cfg Config }

// New makes a Store. It does no I/O.
func New(cfg Config) *Store { return &Store{cfg} }

// Current returns the details, and the sequence of the event that changed them last: 0 if none has.
func (s *Store) Current(ctx context.Context) (clinic.Details, uint64, error) {
	return s.current(ctx, s.cfg.Pool)
}

// Face returns what pages show.
func (s *Store) Face(ctx context.Context) (clinic.Face, error) {
	var f clinic.Face
	var seq int64
	err := s.cfg.Pool.QueryRow(ctx, `SELECT seq, name, telephone, address, hours, help, colour, logo_type <> '' FROM record.clinic`).
		Scan(&seq, &f.Name, &f.Telephone, &f.Address, &f.Hours, &f.Help, &f.Colour, &f.HasLogo)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		f.Name = s.cfg.Name
		return f, nil
	case err != nil:
		return clinic.Face{}, fmt.Errorf("reading the clinic's details: %w", err)
	}
	f.Version = uint64(seq) // #nosec G115 -- never negative
	return f, nil
}

// Name returns the clinic's name; the one of the settings if the details can't be read.
func (s *Store) Name(ctx context.Context) string {
	f, err := s.Face(ctx)
	if err != nil {
		return s.cfg.Name
	}
	return f.Name
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func (s *Store) current(ctx context.Context, q querier) (clinic.Details, uint64, error) {
	var d clinic.Details
	var logo clinic.Logo
	var seq int64
	err := q.QueryRow(ctx, `SELECT seq, name, telephone, address, hours, help, colour, logo_type, logo FROM record.clinic`).
		Scan(&seq, &d.Name, &d.Telephone, &d.Address, &d.Hours, &d.Help, &d.Colour, &logo.MediaType, &logo.Data)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return clinic.Details{Name: s.cfg.Name}, 0, nil
	case err != nil:
		return clinic.Details{}, 0, fmt.Errorf("reading the clinic's details: %w", err)
	}
	if logo.MediaType != "" {
		d.Logo = &logo
	}
	return d, uint64(seq), nil // #nosec G115 -- never negative
}

// Change replaces the details with the wanted ones, which must have no [clinic.Details.Faults], and
// records that actor did. It returns the sequence of the event once the change can be read; 0
// if nothing changed. It fails with [ErrChanged] if the event that changed them last is not
// the one of seen. Concurrent calls run one after the other.
func (s *Store) Change(ctx context.Context, actor string, seen uint64, wanted clinic.Details) (seq uint64, err error) {
	err = store.Alone(ctx, s.cfg.Pool, store.LeaseClinic, func(conn *pgxpool.Conn, held func(context.Context) error) error {
		now, last, err := s.current(ctx, conn)
		switch {
		case err != nil:
			return err
		case last != seen:
			return ErrChanged
		case now.Same(wanted):
			return nil
		}
		if err := held(ctx); err != nil {
			return err
		}
		body := events.ClinicChanged{Change: uuid.New(), Name: wanted.Name, Telephone: wanted.Telephone, Address: wanted.Address,
			Hours: wanted.Hours, Help: wanted.Help, Colour: wanted.Colour}
		if l := wanted.Logo; l != nil {
			body.Logo = &events.ClinicLogo{MediaType: l.MediaType, Data: l.Data}
		}
		// A crash before this line leaves the old details, and after it the new ones.
		if seq, err = s.cfg.Facts.Publish(ctx, actor, s.cfg.Facts.Now(), body); err != nil {
			return err
		}
		return s.cfg.Facts.Wait(ctx, seq)
	})
	if err != nil {
		return 0, fmt.Errorf("changing the clinic's details: %w", err)
	}
	return seq, nil
}
