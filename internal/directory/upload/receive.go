package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/content"
	"postern/internal/limits"
	"postern/internal/store"
)

// Next returns the files of an upload one after the other, and io.EOF after the last. Each
// must be read before the next call.
type Next func() (name string, file io.Reader, err error)

// Receive stores an upload, replacing an earlier one of the same staff member, and starts
// to check it. It holds only a part of a file in memory. It fails with [ErrRunning], an
// [Invalid], an error of [policy.Allow], or an error of next or of a file; then nothing is
// stored.
func (u *Uploads) Receive(ctx context.Context, staff policy.Subject, next Next) (uuid.UUID, error) {
	if err := policy.Allow(staff, policy.Import); err != nil {
		return uuid.Nil, err
	}
	id := uuid.New() // random, and always looked up together with the staff member's id
	key, wrapped, err := u.Content.NewKey(id)
	if err != nil {
		return uuid.Nil, err
	}
	if err := u.replace(ctx, staff, id, wrapped); err != nil {
		return uuid.Nil, err
	}
	// A crash after this line leaves a row, through which Sweep finds the files.
	kept, err := u.keep(ctx, id, key, next)
	if err == nil {
		err = u.move(ctx, u.Pool, id, key, Receiving, Checking, kept)
	}
	if err != nil {
		return uuid.Nil, errors.Join(err, u.forget(context.WithoutCancel(ctx), id, int(limits.ImportFiles)))
	}
	u.check(id, staff, key, kept)
	return id, nil
}

// replace deletes the present upload of a staff member, and inserts the row of the new one.
func (u *Uploads) replace(ctx context.Context, staff policy.Subject, id uuid.UUID, wrapped []byte) error {
	switch former, err := u.Of(ctx, staff); {
	case err == nil && former.State.Running() && !former.Interrupted:
		return ErrRunning
	case err == nil:
		if err := u.forget(ctx, former.ID, int(limits.ImportFiles)); err != nil {
			return err
		}
	case !errors.Is(err, ErrNotFound):
		return err
	}
	_, err := u.Pool.Exec(ctx, `INSERT INTO app.directory_imports (import_id, staff_id, state, wrapped_key, touched_at) VALUES ($1, $2, $3, $4, $5)`,
		id, staff.ID, Receiving, wrapped, u.Now())
	if store.Code(err) == store.UniqueViolation { // two at once
		return ErrRunning
	}
	if err != nil {
		return fmt.Errorf("storing the upload: %w", err)
	}
	return nil
}

// keep stores the files and finds their format.
func (u *Uploads) keep(ctx context.Context, id uuid.UUID, key content.Key, next Next) (kept, error) {
	var k kept
	for {
		name, file, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return kept{}, err
		}
		name = path.Base(strings.ReplaceAll(name, `\`, "/"))
		if err := k.admit(name); err != nil {
			return kept{}, err
		}
		stored, err := u.Content.Put(ctx, content.ImportFileOf(id, len(k.Files)), key, file)
		if err != nil {
			return kept{}, err
		}
		k.Files = append(k.Files, File{name, stored.Size})
		k.Sums = append(k.Sums, stored.SHA256[:])
	}
	if len(k.Files) == 0 {
		return kept{}, Invalid("Choose at least one file: patients.csv, portal_users.csv, links.csv, or the files of a FHIR export")
	}
	return k, nil
}

// admit refuses a file that can't be imported together with the files before it. Which
// files of a FHIR export are read depends on their content, and is decided by the check.
func (k *kept) admit(name string) error {
	format := ""
	switch ext := strings.ToLower(path.Ext(name)); ext {
	case ".csv", ".tsv", ".tab", ".txt": // Excel's "Unicode Text" is a .txt
		format = "csv"
	case ".ndjson", ".jsonl", ".json", ".gz":
		format = "fhir"
	case ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers":
		return Invalid(fmt.Sprintf("%s is neither a CSV file (.csv) nor NDJSON or JSON of a FHIR export (.ndjson, .json, or either as .gz): open the workbook and save each sheet as “CSV UTF-8 (comma delimited)”", name))
	default:
		return Invalid(fmt.Sprintf("%s is neither a CSV file (.csv) nor NDJSON or JSON of a FHIR export (.ndjson, .json, or either as .gz)", name))
	}
	switch {
	case k.Format != "" && k.Format != format:
		return Invalid("CSV files and a FHIR export can't be imported together: upload one first, and then the other")
	case len(k.Files) == int(limits.ImportFiles):
		return Invalid(fmt.Sprintf("At most %s files can be uploaded together", limits.ImportFiles))
	case slices.ContainsFunc(k.Files, func(f File) bool { return f.Name == name }):
		return Invalid(fmt.Sprintf("Two files are called %s: rename one of them", name))
	}
	k.Format = format
	return nil
}

// forget deletes the given number of files of an import and then its row. A crash in
// between leaves the row, so that Sweep can continue.
func (u *Uploads) forget(ctx context.Context, id uuid.UUID, files int) error {
	for n := range files {
		if err := u.Content.Delete(ctx, content.ImportFileOf(id, n)); err != nil {
			return err
		}
	}
	if _, err := u.Pool.Exec(ctx, `DELETE FROM app.directory_imports WHERE import_id = $1`, id); err != nil {
		return fmt.Errorf("deleting an upload: %w", err)
	}
	return nil
}

// Discard deletes an upload. It fails with [ErrNotFound] or [ErrRunning].
func (u *Uploads) Discard(ctx context.Context, staff policy.Subject, id uuid.UUID) error {
	found, err := u.Get(ctx, staff, id)
	if err != nil {
		return err
	}
	if found.State.Running() && !found.Interrupted {
		return ErrRunning
	}
	return u.forget(ctx, id, len(found.Files))
}

// Sweep deletes expired uploads. Call it from time to time. Any number of processes may
// call it.
func (u *Uploads) Sweep(ctx context.Context) error {
	rows, err := u.Pool.Query(ctx, `SELECT import_id FROM app.directory_imports WHERE touched_at < $1 LIMIT 100`, u.Now().Add(-Lifetime))
	if err != nil {
		return fmt.Errorf("sweeping uploads: %w", err)
	}
	expired, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("sweeping uploads: %w", err)
	}
	for _, id := range expired {
		if err := u.forget(ctx, id, int(limits.ImportFiles)); err != nil {
			return err
		}
	}
	return nil
}
