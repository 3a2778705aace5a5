package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/internal/access/policy"
	"postern/internal/content"
)

// kept is the part of an import that is stored encrypted in its row.
type kept struct {
	Format string
	Files  []File
	Sums   [][]byte // the SHA-256 of each file
	Report Report
}

// sealedField is the name of the field under which kept is encrypted.
const sealedField = "import"

// digest identifies the files and the changes that they would make.
func (k kept) digest() string {
	shown, err := json.Marshal([]any{k.Sums, k.Report.Summary})
	if err != nil {
		panic(err) // digests and numbers
	}
	sum := sha256.Sum256(shown)
	return hex.EncodeToString(sum[:16])
}

// Get returns an import of a staff member, or [ErrNotFound].
func (u *Uploads) Get(ctx context.Context, staff policy.Subject, id uuid.UUID) (Import, error) {
	found, err := u.Of(ctx, staff)
	if err == nil && found.ID != id {
		return Import{}, ErrNotFound
	}
	return found, err
}

// Of returns the present import of a staff member, or [ErrNotFound].
func (u *Uploads) Of(ctx context.Context, staff policy.Subject) (Import, error) {
	r, err := u.read(ctx, staff)
	return r.Import, err
}

// row is an import with the data that only this package needs.
type row struct {
	Import
	key  content.Key
	kept kept
}

func (u *Uploads) read(ctx context.Context, staff policy.Subject) (row, error) {
	if err := policy.Allow(staff, policy.Import); err != nil {
		return row{}, err
	}
	var r row
	var wrapped, sealed []byte
	var touched time.Time
	err := u.Pool.QueryRow(ctx, `SELECT import_id, state, wrapped_key, sealed, done, total, touched_at FROM app.directory_imports WHERE staff_id = $1`,
		staff.ID).Scan(&r.ID, &r.State, &wrapped, &sealed, &r.Done, &r.Total, &touched)
	if errors.Is(err, pgx.ErrNoRows) {
		return row{}, ErrNotFound
	}
	if err != nil {
		return row{}, fmt.Errorf("reading an import: %w", err)
	}
	r.Interrupted = r.State.Running() && touched.Before(u.Now().Add(-heartbeatTimeout))
	if r.key, err = u.Content.Unwrap(r.ID, wrapped); err != nil {
		return row{}, err
	}
	if sealed == nil {
		return r, nil
	}
	plain, err := r.key.Open(sealedField, sealed)
	if err == nil {
		err = json.Unmarshal(plain, &r.kept)
	}
	if err != nil {
		return row{}, fmt.Errorf("reading an import: %w", err)
	}
	r.Format, r.Files, r.Report, r.Digest = r.kept.Format, r.kept.Files, r.kept.Report, r.kept.digest()
	return r, nil
}

// executor is a pool or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// move changes the state of an import from one to another, and stores its encrypted part.
// If the import is in another state, it fails with [ErrStale]. So of two concurrent calls
// only one succeeds.
func (u *Uploads) move(ctx context.Context, db executor, id uuid.UUID, key content.Key, from, to State, k kept) error {
	plain, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("storing an import: %w", err)
	}
	sealed, err := key.Seal(sealedField, plain)
	if err != nil {
		return err
	}
	tag, err := db.Exec(ctx, `UPDATE app.directory_imports SET state = $3, sealed = $4, done = 0, total = 0, touched_at = $5
		WHERE import_id = $1 AND state = $2`, id, from, to, sealed, u.Now())
	if err != nil {
		return fmt.Errorf("storing an import: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrStale
	}
	return nil
}
