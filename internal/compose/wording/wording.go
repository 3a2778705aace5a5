// Package wording stores saved wordings: texts that staff use again. A wording is its author's own,
// or, once it is published, the clinic's: all staff who send can use it.
//
// Wordings are encrypted like drafts, because what staff paste into them is not known. They are not on
// the record: a message that used one is, with its whole text.
//
// A Wordings is safe for concurrent use, also by several processes.
package wording

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access/policy"
	"postern/internal/content"
	"postern/internal/limits"
	"postern/internal/problem"
	"postern/internal/text/folding"
	"postern/internal/text/language"
)

var (
	// ErrNotFound is the error if there is no such wording, or it is another staff member's own.
	ErrNotFound = problem.NotFound.New("there is no such wording. It may have been deleted")
	// ErrTooMany is the error if a staff member has as many wordings as they may.
	ErrTooMany = problem.TooManyWordings.Says(language.NewError(language.Message{ID: "You have {limit} wordings already: delete one that you don’t need.", Args: []any{"limit", int(limits.Wordings)}}))
	// ErrChanged is the error if a wording has changed since it was read.
	ErrChanged = problem.WordingChanged.New("the wording has changed in the meantime: read it again, and then change it")
)

// A Wording is a text to be used again.
type Wording struct {
	ID        uuid.UUID
	Version   int // counts its changes, from 1
	Published bool
	Mine      bool // the reader is the author
	SavedAt   time.Time
	Text
}

// Text is what a wording says. Its fields are those of package fields.
type Text struct {
	Name    string `json:"name"` // by which it is found
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// Faults returns the errors in a text. A location is "name", "subject" or "body".
func (t Text) Faults() (found []problem.Fault) {
	for _, one := range []struct {
		at, text string
		least    int
		most     limits.Characters
	}{{"name", t.Name, 1, limits.WordingName}, {"subject", t.Subject, 0, limits.Subject}, {"body", t.Body, 1, limits.Body}} {
		n := utf8.RuneCountInString(one.text)
		switch {
		case n < one.least || one.least > 0 && strings.TrimSpace(one.text) == "":
			found = append(found, problem.Fault{Location: one.at, Message: "is required and can’t be blank"})
		case n > int(one.most):
			found = append(found, problem.Fault{Location: one.at, Message: "must have at most " + one.most.String()})
		case !utf8.ValidString(one.text) || strings.ContainsRune(one.text, 0):
			found = append(found, problem.Fault{Location: one.at, Message: "has characters that no text has"})
		}
	}
	return found
}

// Config has the dependencies of a [Wordings].
type Config struct {
	// Pool connects as postern_api.
	Pool    *pgxpool.Pool
	Content *content.Store // makes and opens keys
	Now     func() time.Time
}

// Wordings reads and writes wordings.
type Wordings struct{ cfg Config }

// New makes a Wordings. It does no I/O.
func New(cfg Config) *Wordings { return &Wordings{cfg} }

// sealedText is the name under which the text is sealed.
const sealedText = "wording"

// List returns the reader's own wordings and the clinic's, by name.
func (w *Wordings) List(ctx context.Context, staff policy.Subject) ([]Wording, error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return nil, err
	}
	all, err := w.read(ctx, w.cfg.Pool, staff, `WHERE published OR staff_id = $1`)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Wording) int {
		return cmp.Or(strings.Compare(folding.Query(a.Name), folding.Query(b.Name)), strings.Compare(a.Name, b.Name), strings.Compare(a.ID.String(), b.ID.String()))
	})
	return all, nil
}

// Get returns a wording that the reader can use, or [ErrNotFound].
func (w *Wordings) Get(ctx context.Context, staff policy.Subject, id uuid.UUID) (Wording, error) {
	if err := policy.Allow(staff, policy.SendMessage); err != nil {
		return Wording{}, err
	}
	return w.one(ctx, w.cfg.Pool, staff, id, "")
}

func (w *Wordings) one(ctx context.Context, q querier, staff policy.Subject, id uuid.UUID, lock string) (Wording, error) {
	found, err := w.read(ctx, q, staff, `WHERE (published OR staff_id = $1) AND wording_id = $2`+lock, id)
	if err != nil {
		return Wording{}, err
	}
	if len(found) == 0 {
		return Wording{}, ErrNotFound
	}
	return found[0], nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (w *Wordings) read(ctx context.Context, q querier, staff policy.Subject, where string, more ...any) ([]Wording, error) {
	rows, err := q.Query(ctx, `SELECT wording_id, version, published, staff_id = $1, saved_at, wrapped_key, sealed FROM app.wordings `+where, append([]any{staff.ID}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("reading wordings: %w", err)
	}
	type row struct {
		Wording
		wrapped, sealed []byte
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (one row, err error) {
		err = r.Scan(&one.ID, &one.Version, &one.Published, &one.Mine, &one.SavedAt, &one.wrapped, &one.sealed)
		return one, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading wordings: %w", err)
	}
	all := make([]Wording, 0, len(found))
	for _, one := range found {
		key, err := w.cfg.Content.Unwrap(one.ID, one.wrapped)
		if errors.Is(err, content.ErrChanged) {
			continue // its key was lost, as an operator has accepted
		}
		if err != nil {
			return nil, fmt.Errorf("opening wording %s: %w", one.ID, err)
		}
		plain, err := key.Open(sealedText, one.sealed)
		if err == nil {
			err = json.Unmarshal(plain, &one.Text)
		}
		if err != nil {
			return nil, fmt.Errorf("opening wording %s: %w", one.ID, err)
		}
		all = append(all, one.Wording)
	}
	return all, nil
}

// Add saves a new wording, whose text has no faults, and returns it. A published one needs the
// permission to publish. It fails with [ErrTooMany].
func (w *Wordings) Add(ctx context.Context, staff policy.Subject, text Text, published bool) (Wording, error) {
	if err := w.mayWrite(staff, published); err != nil {
		return Wording{}, err
	}
	id := uuid.New()
	wrapped, sealed, err := w.seal(id, text)
	if err != nil {
		return Wording{}, err
	}
	// Two windows of one person may pass the limit by one. It is there for accidents.
	tag, err := w.cfg.Pool.Exec(ctx, `INSERT INTO app.wordings (wording_id, staff_id, version, published, wrapped_key, sealed, saved_at)
		SELECT $1, $2, 1, $3, $4, $5, $6 WHERE (SELECT count(*) FROM app.wordings WHERE staff_id = $2) < $7`,
		id, staff.ID, published, wrapped, sealed, w.cfg.Now(), int(limits.Wordings))
	if err != nil {
		return Wording{}, fmt.Errorf("saving a wording: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return Wording{}, ErrTooMany
	}
	return w.Get(ctx, staff, id)
}

// Change replaces a wording that has the version seen. Its author changes their own; who may publish
// also changes the clinic's. It fails with [ErrNotFound] or [ErrChanged].
func (w *Wordings) Change(ctx context.Context, staff policy.Subject, id uuid.UUID, seen int, text Text, published bool) (Wording, error) {
	err := w.write(ctx, staff, id, seen, published, func(tx pgx.Tx) error {
		wrapped, sealed, err := w.seal(id, text)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE app.wordings SET version = version + 1, published = $2, wrapped_key = $3, sealed = $4, saved_at = $5 WHERE wording_id = $1`,
			id, published, wrapped, sealed, w.cfg.Now())
		return err
	})
	if err != nil {
		return Wording{}, err
	}
	return w.Get(ctx, staff, id)
}

// Delete deletes a wording that has the version seen. It fails like Change.
func (w *Wordings) Delete(ctx context.Context, staff policy.Subject, id uuid.UUID, seen int) error {
	return w.write(ctx, staff, id, seen, false, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM app.wordings WHERE wording_id = $1`, id)
		return err
	})
}

func (w *Wordings) write(ctx context.Context, staff policy.Subject, id uuid.UUID, seen int, published bool, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, w.cfg.Pool, func(tx pgx.Tx) error {
		now, err := w.one(ctx, tx, staff, id, " FOR UPDATE")
		if err != nil {
			return err
		}
		if err := w.mayWrite(staff, published || now.Published); err != nil {
			return err
		}
		if now.Version != seen {
			return ErrChanged
		}
		if err := do(tx); err != nil {
			return fmt.Errorf("changing wording %s: %w", id, err)
		}
		return nil
	})
}

// mayWrite checks the permission to write one's own wording, or the clinic's.
func (w *Wordings) mayWrite(staff policy.Subject, clinics bool) error {
	if clinics {
		return policy.Allow(staff, policy.PublishWordings)
	}
	return policy.Allow(staff, policy.SendMessage)
}

func (w *Wordings) seal(id uuid.UUID, text Text) (wrapped, sealed []byte, err error) {
	key, wrapped, err := w.cfg.Content.NewKey(id)
	if err != nil {
		return nil, nil, err
	}
	plain, err := json.Marshal(text)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a wording: %w", err)
	}
	sealed, err = key.Seal(sealedText, plain)
	return wrapped, sealed, err
}
