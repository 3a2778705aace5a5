// Package imports imports the directory from CSV files or a FHIR bulk export: it adds
// patients, portal users and links, and changes them.
//
// # Order and durability
//
// An import is one transaction: it happens completely or not at all, together with the rows
// that its caller adds to that transaction (an outbox row). Nothing is ever deleted, so a
// number belongs to the same id forever.
//
// # FHIR
//
// A FHIR folder may hold a complete export or the changes since the last one. If it is not
// clear which portal users may be written to, the import fails with a [source.Refused].
// Smaller defects are imported and listed in [Summary].Warnings.
//
// # Concurrency
//
// All functions may be called concurrently. Imports wait for one another on a lock in the
// database. A process that hangs loses that lock (ADR 49).
package imports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/internal/directory/field"
	"postern/internal/directory/imports/staging"
	"postern/internal/directory/source"
	"postern/internal/directory/source/csvfile"
	"postern/internal/directory/source/fhir"
	"postern/internal/store"
	"postern/internal/text/zone"
)

// Options of an import.
type Options struct {
	// DryRun finds every wrong line and counts the changes, without making them.
	DryRun bool
	// Show is called in a dry run with some of the rows that would be added or changed: a
	// few of each kind, even if the import is refused afterwards because of a wrong line.
	Show func(Shown)
	// Actor is who imports, as events name an actor. It is stored with the addresses of accounts
	// that the import changes.
	Actor string
	// MostLines is the maximum number of wrong lines listed, and of warnings; 0 means 100.
	MostLines int
	// DemoEmailDomain, in an import of FHIR, gives every portal user the address
	// <id>@<domain> instead of the address in the files.
	DemoEmailDomain string
	// Today is the day on which FHIR names and addresses must be in use; zero means now.
	Today time.Time
	// Progress is called from time to time with the finished and the total work, in no
	// particular unit. done never decreases and ends at total.
	Progress func(done, total int64)
	// InTx is called in the import's transaction, after all changes and before the
	// commit. It is not called if nothing changed, or in a dry run. If it returns an
	// error, the import is rolled back.
	InTx func(ctx context.Context, tx pgx.Tx, summary Summary) error
	// Vacuum is called after the commit of a large import, with the tables that it has changed:
	// otherwise autovacuum and the hint bits fall into the next message to a group. It vacuums
	// and analyzes them; an error is logged, because the import has happened.
	Vacuum func(ctx context.Context, tables ...string) error
}

// Summary counts the changes that an import made or would make.
type Summary struct {
	Patients, PortalUsers, Links Changes
	// Readdressed counts the portal users with an account whose e-mail address changes. Their
	// sessions end.
	Readdressed int
	// Resources counts the stored FHIR resources. A resource may change without a change
	// of the directory, and affect the result of a later export.
	Resources Changes
	// Warnings are the defects of a FHIR export that did not stop the import, and the
	// parts of it that were not read, by file and line: the first of WarningCount.
	Warnings     []source.WrongLine
	WarningCount int
}

// Equal reports whether two imports make the same changes and have the same warnings.
func (s Summary) Equal(o Summary) bool {
	return s.Patients == o.Patients && s.PortalUsers == o.PortalUsers && s.Links == o.Links && s.Resources == o.Resources &&
		s.Readdressed == o.Readdressed &&
		s.WarningCount == o.WarningCount && slices.Equal(s.Warnings, o.Warnings)
}

// Changes counts the rows of one kind. A row of the directory that is not in the files
// stays as it is and is not counted.
type Changes struct{ New, Changed, Unchanged int }

// Changed reports whether the import changes anything.
func (s Summary) Changed() bool {
	for _, c := range []Changes{s.Patients, s.PortalUsers, s.Links, s.Resources} {
		if c.New+c.Changed > 0 {
			return true
		}
	}
	return false
}

// File is a CSV file to import.
type File struct {
	Name    string // for errors
	Size    int64  // in bytes, for the progress; 0 if unknown
	Content io.Reader
}

// Beginner begins the transaction of an import: a pool or a connection of pgx.
type Beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// CSV imports any number of patients.csv, portal_users.csv and links.csv files in
// one transaction. Their header lines show their kind. Links may refer to patients and
// portal users of these files or of the directory. If a line is wrong, the error is a
// [source.Refused] and nothing is imported.
func CSV(ctx context.Context, db Beginner, files []File, opts Options) (Summary, error) {
	if len(files) == 0 {
		return Summary{}, errors.New("no file to import: give patients.csv, portal_users.csv or links.csv")
	}
	im := importer{opts: opts, faults: source.Faults{Most: opts.MostLines}}
	for _, f := range files {
		im.faults.Files = append(im.faults.Files, f.Name)
		im.size += f.Size
	}
	return im.run(ctx, db, func() error {
		for i, f := range files {
			if err := csvfile.Decode(i, im.measured(ctx, f.Content), im.sink()); err != nil {
				return fmt.Errorf("reading %s: %w", f.Name, err)
			}
		}
		return nil
	})
}

// FHIR imports a folder, as a FHIR R4 bulk export writes it
// (https://hl7.org/fhir/uv/bulkdata/), in one transaction: every Patient,
// RelatedPerson and EpisodeOfCare in it, whatever the names of the files, and the
// deletions of such resources. The folder may hold a complete export, or the changes
// since the last one. If it is not clear which portal users may be written to, the error
// is a [source.Refused]. Smaller defects, and files that are not read, are warnings.
func FHIR(ctx context.Context, db Beginner, dir fs.FS, opts Options) (Summary, error) {
	if opts.Today.IsZero() {
		opts.Today = zone.Now()
	}
	if domain := opts.DemoEmailDomain; domain != "" && field.CheckEmail("a@"+domain) != "" {
		return Summary{}, errors.New("the domain of the demo addresses is not valid: write it as example.test")
	}
	im := importer{opts: opts, fhir: true, faults: source.Faults{Most: opts.MostLines}, warnings: source.Faults{Most: opts.MostLines}}
	if err := im.findFiles(dir); err != nil {
		return Summary{}, err
	}
	if len(im.faults.Files) == 0 {
		return Summary{}, errors.New("the folder is empty: give the folder of the bulk export")
	}
	return im.run(ctx, db, func() error {
		d := fhir.Decoder{Today: field.Day(opts.Today), EmailDomain: opts.DemoEmailDomain, Into: im.sink()}
		for _, file := range im.toRead {
			if err := im.decodeFHIR(ctx, dir, file, &d); err != nil {
				return fmt.Errorf("reading %s: %w", im.faults.Files[file], err)
			}
		}
		if !d.Found() && im.faults.Total == 0 {
			im.faults.Add(source.Fault{Place: source.Place{Line: 1}, Reason: "the export holds no Patient, RelatedPerson or EpisodeOfCare"})
			im.faults.AddAll(im.warnings)
		}
		return nil
	})
}

func (im *importer) decodeFHIR(ctx context.Context, dir fs.FS, file int, d *fhir.Decoder) error {
	name := im.faults.Files[file]
	content, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer content.Close()
	return d.Decode(file, name, im.measured(ctx, content))
}

// importer is one import under way.
type importer struct {
	opts     Options
	fhir     bool // FHIR resources are imported, not CSV files
	faults   source.Faults
	warnings source.Faults
	toRead   []int // the numbers of the files in a folder that are read
	stage    *staging.Stage
	size     int64 // of all files, in bytes
	done     int64 // bytes read, plus a share for each step in the database
}

// The progress of an import is the reading of the files, and then each step in the
// database.
const (
	partRead  = 4
	partMerge = 3 // for each table
	partsAll  = partRead + 3*partMerge
)

func (im *importer) progress(done int64) {
	im.done = min(max(im.done, done), im.size*partsAll)
	if im.opts.Progress != nil {
		im.opts.Progress(im.done, im.size*partsAll)
	}
}

// measured reports the bytes read as progress, and fails when the context is done.
func (im *importer) measured(ctx context.Context, content io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := content.Read(p)
		im.progress(min(im.done+int64(n)*partRead, im.size*partRead))
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// sink returns the sink of the decoders.
func (im *importer) sink() source.Sink {
	into := im.stage.Sink()
	into.Fault, into.Warn = im.faults.Add, im.warnings.Add
	return into
}

// run imports the rows that decode adds. It uses one transaction: a crash at any line
// leaves the directory unchanged, and after the commit the rows written by InTx are
// stored together with the import.
func (im *importer) run(ctx context.Context, db Beginner, decode func() error) (Summary, error) {
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return Summary{}, fmt.Errorf("importing: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	summary, err := im.inTx(ctx, tx, decode)
	if err != nil {
		var refused *source.Refused
		if errors.As(err, &refused) {
			return Summary{}, refused
		}
		return Summary{}, importing(tx, err)
	}
	im.warnings.Files = im.faults.Files
	summary.Warnings, summary.WarningCount = im.warnings.Lines(), im.warnings.Total
	if im.opts.DryRun || !summary.Changed() {
		return summary, nil
	}
	if im.opts.InTx != nil {
		if err := im.opts.InTx(ctx, tx, summary); err != nil {
			return Summary{}, importing(tx, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return Summary{}, importing(tx, fmt.Errorf("committing: %w", err))
	}
	if im.opts.Vacuum != nil && summary.large() {
		if err := im.opts.Vacuum(ctx, "app.patients", "app.portal_users", "app.links"); err != nil {
			slog.Warn("the tables of the directory were not vacuumed after the import", "error", err)
		}
	}
	return summary, nil
}

// large reports whether so many rows have changed that the tables are vacuumed and analyzed.
func (s Summary) large() bool {
	n := 0
	for _, c := range []Changes{s.Patients, s.PortalUsers, s.Links} {
		n += c.New + c.Changed
	}
	return n >= 10_000
}

// idleTimeout is how long an import may be idle between two statements while other
// imports wait for it, for example because its process is stopped. Then Postgres ends its
// transaction. Normally an import takes milliseconds between two statements.
const idleTimeout = "15s"

// lockImports allows one import at a time to compare its rows with the directory and
// merge them. The files are read before, so the lock is not held while a disk or a bucket
// is read. See docs/adr/0049-an-import-that-hangs-lets-go.md.
const lockImports = `
SET LOCAL idle_in_transaction_session_timeout = '` + idleTimeout + `';
SELECT pg_advisory_xact_lock(` + store.LockImport + `)`

// importing wraps an error of an import. Postgres can't always tell a client why it ended
// its session.
func importing(tx pgx.Tx, err error) error {
	if tx.Conn().IsClosed() {
		return fmt.Errorf("importing: the connection to the database was lost, which also happens if this process hangs for %s: %w", idleTimeout, err)
	}
	return fmt.Errorf("importing: %w", err)
}

func (im *importer) inTx(ctx context.Context, tx pgx.Tx, decode func() error) (summary Summary, err error) {
	if im.stage, err = staging.New(ctx, tx, im.fhir); err != nil {
		return Summary{}, err
	}
	if err := decode(); err != nil {
		return Summary{}, err
	}
	if err := im.stage.Close(); err != nil {
		return Summary{}, err
	}
	im.progress(im.size * partRead)
	if _, err := tx.Exec(ctx, lockImports); err != nil {
		return Summary{}, err
	}
	// The trigger that notes changed addresses of accounts reads it.
	if _, err := tx.Exec(ctx, `SELECT set_config('postern.actor', $1, true)`, im.opts.Actor); err != nil {
		return Summary{}, err
	}
	return im.merge(ctx, tx)
}
