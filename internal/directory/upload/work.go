package upload

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/access/policy"
	"postern/internal/content"
	"postern/internal/directory/imports"
	"postern/internal/directory/source"
	"postern/internal/eventlog/outbox"
)

// Recheck starts to check an upload again: because its work was interrupted or failed, or
// because the directory has changed since.
func (u *Uploads) Recheck(ctx context.Context, staff policy.Subject, id uuid.UUID) error {
	r, err := u.read(ctx, staff)
	switch {
	case err != nil:
		return err
	case r.ID != id:
		return ErrNotFound
	case r.State.Running() && !r.Interrupted:
		return ErrRunning
	case r.State == Receiving || r.State == Imported:
		return ErrStale
	}
	r.kept.Report = Report{}
	if err := u.move(ctx, u.Pool, id, r.key, r.State, Checking, r.kept); err != nil {
		return err
	}
	u.check(id, staff, r.key, r.kept)
	return nil
}

// Confirm starts the import whose changes the digest identifies; see [Import]. It fails
// with [ErrNotFound], or with [ErrStale] if the import has changed since, including one
// that is running or done. So confirming twice imports once.
func (u *Uploads) Confirm(ctx context.Context, staff policy.Subject, id uuid.UUID, digest string) error {
	r, err := u.read(ctx, staff)
	switch {
	case err != nil:
		return err
	case r.ID != id:
		return ErrNotFound
	case r.State != Checked || r.Digest != digest:
		return ErrStale
	}
	if err := u.move(ctx, u.Pool, id, r.key, Checked, Importing, r.kept); err != nil {
		return err
	}
	u.work(id, Importing, func(ctx context.Context, o imports.Options) error {
		return u.importIt(ctx, id, staff, r.key, r.kept, o)
	})
	return nil
}

// work runs do in the background, beyond the request that started it, and updates the
// import's row regularly while it runs.
func (u *Uploads) work(id uuid.UUID, state State, do func(context.Context, imports.Options) error) {
	var done, total atomic.Int64
	ctx, cancel := context.WithCancel(u.ctx)
	u.running.Go(func() {
		tick := time.NewTicker(heartbeatInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, err := u.Pool.Exec(ctx, `UPDATE app.directory_imports SET done = $3, total = $4, touched_at = $5
					WHERE import_id = $1 AND state = $2`, id, state, done.Load(), total.Load(), u.Now())
				if err != nil && ctx.Err() == nil {
					u.warn("the progress of an import could not be stored", err)
				}
			}
		}
	})
	u.running.Go(func() {
		defer cancel()
		err := do(ctx, imports.Options{MostLines: mostLines, Today: u.Now(), Progress: func(d, of int64) { done.Store(d); total.Store(of) }})
		if err == nil || ctx.Err() != nil {
			return // done, or interrupted by Close: then its row is not updated any more
		}
		u.warn("an import failed", err)
		// An import that was committed in spite of the error is not in this state any more.
		if _, err := u.Pool.Exec(ctx, `UPDATE app.directory_imports SET state = $3, touched_at = $4 WHERE import_id = $1 AND state = $2`,
			id, state, Failed, u.Now()); err != nil {
			u.warn("the failure of an import could not be stored", err)
		}
	})
}

// check starts a dry run and stores its result.
func (u *Uploads) check(id uuid.UUID, staff policy.Subject, key content.Key, k kept) {
	u.work(id, Checking, func(ctx context.Context, o imports.Options) error {
		return u.checkIt(ctx, id, key, Checking, k, o)
	})
}

func (u *Uploads) checkIt(ctx context.Context, id uuid.UUID, key content.Key, state State, k kept, o imports.Options) error {
	o.DryRun = true
	o.Show = func(s imports.Shown) { k.Report.Shown = append(k.Report.Shown, s) }
	summary, err := u.run(ctx, id, key, k, o)
	k.Report.Summary = summary
	var refused *source.Refused
	switch {
	case errors.As(err, &refused):
		k.Report = Report{Wrong: refused.Lines, Total: refused.Total, Moved: k.Report.Moved}
		return u.move(ctx, u.Pool, id, key, state, Refused, k)
	case err != nil:
		return err
	}
	return u.move(ctx, u.Pool, id, key, state, Checked, k)
}

// errMoved stops an import that would make other changes than those confirmed.
var errMoved = errors.New("the directory has changed since the dry run")

// importIt runs the confirmed import. The changes of the directory, their event and the
// state are committed together. A crash before the commit changes nothing. A crash after
// it leaves the files, which Sweep deletes, and dirty blocks, whose rosters the fan-out worker
// makes.
func (u *Uploads) importIt(ctx context.Context, id uuid.UUID, staff policy.Subject, key content.Key, k kept, o imports.Options) error {
	o.Actor = staff.Actor()
	o.InTx = func(ctx context.Context, tx pgx.Tx, summary imports.Summary) error {
		if !summary.Equal(k.Report.Summary) {
			return errMoved
		}
		e, err := summary.Event(u.Source, staff.Actor(), k.Format, u.Now())
		if err != nil {
			return err
		}
		if err := outbox.Store(ctx, tx, e); err != nil {
			return err
		}
		return u.move(ctx, tx, id, key, Importing, Imported, k)
	}
	summary, err := u.run(ctx, id, key, k, o)
	var refused *source.Refused
	if errors.Is(err, errMoved) || errors.As(err, &refused) || err == nil && !summary.Changed() {
		k.Report = Report{Moved: true}
		return u.checkIt(ctx, id, key, Importing, k, imports.Options{MostLines: o.MostLines, Today: o.Today, Progress: o.Progress})
	}
	if err != nil {
		return err
	}
	for n := range k.Files {
		if err := u.Content.Delete(ctx, content.ImportFileOf(id, n)); err != nil {
			u.warn("an imported file could not be deleted yet", err)
		}
	}
	if err := u.rosters.Finish(ctx); err != nil {
		u.warn("the rosters of an import could not be made yet", err)
	}
	return nil
}

// run imports the files of an upload.
func (u *Uploads) run(ctx context.Context, id uuid.UUID, key content.Key, k kept, o imports.Options) (imports.Summary, error) {
	o.Vacuum = u.Vacuum
	dir := folder{ctx, u.Content, id, key, k.Files}
	if k.Format == "fhir" {
		return imports.FHIR(ctx, u.Pool, dir, o)
	}
	var files []imports.File
	for _, f := range k.Files {
		content := &lazy{dir: dir, name: f.Name}
		defer content.Close()
		files = append(files, imports.File{Name: f.Name, Size: f.Size, Content: content})
	}
	return imports.CSV(ctx, u.Pool, files, o)
}
