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
func (in *Uploads) Recheck(ctx context.Context, staff policy.Subject, id uuid.UUID) error {
	r, err := in.read(ctx, staff)
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
	if err := in.move(ctx, in.Pool, id, r.key, r.State, Checking, r.kept); err != nil {
		return err
	}
	in.check(id, staff, r.key, r.kept)
	return nil
}

// Confirm starts the import whose changes the digest identifies; see [Import]. It fails
// with [ErrNotFound], or with [ErrStale] if the import has changed since, including one
// that is running or done. So confirming twice imports once.
func (in *Uploads) Confirm(ctx context.Context, staff policy.Subject, id uuid.UUID, digest string) error {
	r, err := in.read(ctx, staff)
	switch {
	case err != nil:
		return err
	case r.ID != id:
		return ErrNotFound
	case r.State != Checked || r.Digest != digest:
		return ErrStale
	}
	if err := in.move(ctx, in.Pool, id, r.key, Checked, Importing, r.kept); err != nil {
		return err
	}
	in.work(id, Importing, func(ctx context.Context, o imports.Options) error {
		return in.importIt(ctx, id, staff, r.key, r.kept, o)
	})
	return nil
}

// work runs do in the background, beyond the request that started it, and updates the
// import's row regularly while it runs.
func (in *Uploads) work(id uuid.UUID, state State, do func(context.Context, imports.Options) error) {
	var done, total atomic.Int64
	ctx, cancel := context.WithCancel(in.ctx)
	in.running.Go(func() {
		tick := time.NewTicker(heartbeatInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, err := in.Pool.Exec(ctx, `UPDATE app.directory_imports SET done = $3, total = $4, touched_at = $5
					WHERE import_id = $1 AND state = $2`, id, state, done.Load(), total.Load(), in.Now())
				if err != nil && ctx.Err() == nil {
					in.warn("the progress of an import could not be stored", err)
				}
			}
		}
	})
	in.running.Go(func() {
		defer cancel()
		err := do(ctx, imports.Options{MostLines: mostLines, Today: in.Now(), Progress: func(d, of int64) { done.Store(d); total.Store(of) }})
		if err == nil || ctx.Err() != nil {
			return // done, or interrupted by Close: then its row is not updated any more
		}
		in.warn("an import failed", err)
		// An import that was committed in spite of the error is not in this state any more.
		if _, err := in.Pool.Exec(ctx, `UPDATE app.directory_imports SET state = $3, touched_at = $4 WHERE import_id = $1 AND state = $2`,
			id, state, Failed, in.Now()); err != nil {
			in.warn("the failure of an import could not be stored", err)
		}
	})
}

// check starts a dry run and stores its result.
func (in *Uploads) check(id uuid.UUID, staff policy.Subject, key content.Key, k kept) {
	in.work(id, Checking, func(ctx context.Context, o imports.Options) error {
		return in.checkIt(ctx, id, key, Checking, k, o)
	})
}

func (in *Uploads) checkIt(ctx context.Context, id uuid.UUID, key content.Key, state State, k kept, o imports.Options) error {
	o.DryRun = true
	o.Show = func(s imports.Shown) { k.Report.Shown = append(k.Report.Shown, s) }
	summary, err := in.run(ctx, id, key, k, o)
	k.Report.Summary = summary
	var refused *source.Refused
	switch {
	case errors.As(err, &refused):
		k.Report = Report{Wrong: refused.Lines, Total: refused.Total, Moved: k.Report.Moved}
		return in.move(ctx, in.Pool, id, key, state, Refused, k)
	case err != nil:
		return err
	}
	return in.move(ctx, in.Pool, id, key, state, Checked, k)
}

// errMoved stops an import that would make other changes than those confirmed.
var errMoved = errors.New("the directory has changed since the dry run")

// importIt runs the confirmed import. The changes of the directory, their event and the
// state are committed together. A crash before the commit changes nothing. A crash after
// it leaves only the files, which Sweep deletes.
func (in *Uploads) importIt(ctx context.Context, id uuid.UUID, staff policy.Subject, key content.Key, k kept, o imports.Options) error {
	o.InTx = func(ctx context.Context, tx pgx.Tx, summary imports.Summary) error {
		if !summary.Equal(k.Report.Summary) {
			return errMoved
		}
		e, err := summary.Event(in.Source, staff.Actor(), k.Format, in.Now())
		if err != nil {
			return err
		}
		if err := outbox.Leave(ctx, tx, e); err != nil {
			return err
		}
		return in.move(ctx, tx, id, key, Importing, Imported, k)
	}
	summary, err := in.run(ctx, id, key, k, o)
	var refused *source.Refused
	if errors.Is(err, errMoved) || errors.As(err, &refused) || err == nil && !summary.Changed() {
		k.Report = Report{Moved: true}
		return in.checkIt(ctx, id, key, Importing, k, imports.Options{MostLines: o.MostLines, Today: o.Today, Progress: o.Progress})
	}
	if err != nil {
		return err
	}
	for n := range k.Files {
		if err := in.Content.Delete(ctx, content.ImportFileOf(id, n)); err != nil {
			in.warn("an imported file could not be deleted yet", err)
		}
	}
	return nil
}

// run imports the files of an upload.
func (in *Uploads) run(ctx context.Context, id uuid.UUID, key content.Key, k kept, o imports.Options) (imports.Summary, error) {
	dir := folder{ctx, in.Content, id, key, k.Files}
	if k.Format == "fhir" {
		return imports.FHIR(ctx, in.Pool, dir, o)
	}
	var files []imports.File
	for _, f := range k.Files {
		content := &lazy{dir: dir, name: f.Name}
		defer content.Close()
		files = append(files, imports.File{Name: f.Name, Size: f.Size, Content: content})
	}
	return imports.CSV(ctx, in.Pool, files, o)
}
