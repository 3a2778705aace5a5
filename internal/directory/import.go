package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"postern/internal/store"

	"github.com/jackc/pgx/v5"
)

// Options of an import.
type Options struct {
	// DryRun finds every wrong line and counts what would change, and changes nothing.
	DryRun bool
	// Show is called in a dry run with some of the rows that would come or change: a
	// few of each kind, whether or not a wrong line refuses all of it afterwards.
	Show func(Shown)
	// MostLines is how many wrong lines are named, and how many warnings; 0 is a hundred.
	MostLines int
	// DemoEmailDomain, in an import of FHIR, gives every portal user the address
	// <id>@<domain> in place of that in the files.
	DemoEmailDomain string
	// Today is the day on which FHIR names and addresses must be in use; zero is now.
	Today time.Time
	// Progress is called now and then with the work done and the work there is, in
	// no particular unit; done never falls and ends at total.
	Progress func(done, total int64)
	// InTx is called in the import's transaction when all is in and before it
	// commits, unless nothing changed or this is a dry run. Its error undoes the import.
	InTx func(ctx context.Context, tx pgx.Tx, summary Summary) error
}

// Summary is what an import did, or would do.
type Summary struct {
	Patients, PortalUsers, Links Changes
	// Resources counts what is remembered of FHIR resources: a resource may change
	// without a change of the directory, and decide with a later export.
	Resources Changes
	// Warnings are what was imperfect in a FHIR export and imported nevertheless, or
	// was not read, by file and line; the first of WarningCount.
	Warnings     []WrongLine
	WarningCount int
}

// Equal says whether two imports do the same, and warn of the same.
func (s Summary) Equal(o Summary) bool {
	return s.Patients == o.Patients && s.PortalUsers == o.PortalUsers && s.Links == o.Links && s.Resources == o.Resources &&
		s.WarningCount == o.WarningCount && slices.Equal(s.Warnings, o.Warnings)
}

// Changes counts the rows of one kind. A row that is in the directory and not in
// the files stays as it is and is not counted.
type Changes struct{ New, Changed, Unchanged int }

// Changed says whether the import changes anything.
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
	Size    int64  // in bytes, for the progress; 0 where it is not known
	Content io.Reader
}

// Beginner begins the transaction of an import: a pool or a connection of pgx.
type Beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// ImportCSV imports any number of patients.csv, portal_users.csv and links.csv,
// told apart by their header lines, in one transaction. Links may name patients
// and portal users of these files or of the directory. Where a line is wrong the
// error is a [Refused], and nothing is imported.
func ImportCSV(ctx context.Context, db Beginner, files []File, opts Options) (Summary, error) {
	if len(files) == 0 {
		return Summary{}, errors.New("no file to import: name patients.csv, portal_users.csv or links.csv")
	}
	im := importer{opts: opts, faults: faults{most: opts.MostLines}}
	for _, f := range files {
		im.faults.files = append(im.faults.files, f.Name)
		im.size += f.Size
	}
	return im.run(ctx, db, func() error {
		for i, f := range files {
			if err := decodeCSV(i, im.measured(ctx, f.Content), im.sink()); err != nil {
				return fmt.Errorf("reading %s: %w", f.Name, err)
			}
		}
		return nil
	})
}

// ImportFHIR imports a folder, as a FHIR R4 bulk export writes it
// (https://hl7.org/fhir/uv/bulkdata/), in one transaction: every Patient,
// RelatedPerson and EpisodeOfCare in it, whatever the files are called, and the
// deletions of such resources. The folder may hold an export of everything, or of what
// has changed since the last. It fails as [ImportCSV] where it is not clear who may be
// written to; what is merely imperfect, and what is not read, are warnings.
func ImportFHIR(ctx context.Context, db Beginner, dir fs.FS, opts Options) (Summary, error) {
	if opts.Today.IsZero() {
		opts.Today = time.Now()
	}
	if domain := opts.DemoEmailDomain; domain != "" && checkEmail("a@"+domain) != "" {
		return Summary{}, errors.New("the domain of the demo addresses is not one: write it as example.test")
	}
	im := importer{opts: opts, fhir: true, faults: faults{most: opts.MostLines}, warnings: faults{most: opts.MostLines}}
	if err := im.findFiles(dir); err != nil {
		return Summary{}, err
	}
	if len(im.faults.files) == 0 {
		return Summary{}, errors.New("the folder is empty: name the folder of the bulk export")
	}
	return im.run(ctx, db, func() error {
		d := fhirDecoder{today: dayOf(opts.Today), emailDomain: opts.DemoEmailDomain, into: im.sink()}
		for _, file := range im.toRead {
			if err := im.decodeFHIR(ctx, dir, file, &d); err != nil {
				return fmt.Errorf("reading %s: %w", im.faults.files[file], err)
			}
		}
		if d.read == 0 && d.empty == 0 && im.faults.total == 0 {
			im.faults.add(fault{place: place{line: 1}, reason: "the export holds no Patient, RelatedPerson or EpisodeOfCare"})
			for _, f := range im.warnings.kept {
				im.faults.add(f)
			}
		}
		return nil
	})
}

func (im *importer) decodeFHIR(ctx context.Context, dir fs.FS, file int, d *fhirDecoder) error {
	name := im.faults.files[file]
	content, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer content.Close()
	return d.decode(file, name, im.measured(ctx, content))
}

// importer is one import under way.
type importer struct {
	opts     Options
	fhir     bool // FHIR resources are imported, not CSV files
	faults   faults
	warnings faults
	toRead   []int // which of the files of a folder are read, by number
	stage    *stage
	size     int64 // of all files
	done     int64 // bytes read, and then some for each step in the database
}

// The progress of an import: reading the files is one part of the work, and each
// step in the database another.
const (
	partRead  = 4
	partMerge = 3 // of each table
	partsAll  = partRead + 3*partMerge
)

func (im *importer) progress(done int64) {
	im.done = min(max(im.done, done), im.size*partsAll)
	if im.opts.Progress != nil {
		im.opts.Progress(im.done, im.size*partsAll)
	}
}

// measured reports what is read as progress, and ends with the context.
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

func (im *importer) sink() sink {
	return sink{
		patient: im.stage.addPatient, portalUser: im.stage.addPortalUser,
		link: im.stage.addLink, fault: im.faults.add,
		related: im.stage.addRelated, episode: im.stage.addEpisode,
		replacement: im.stage.addReplacement, version: im.stage.addVersion,
		warn: im.warnings.add,
	}
}

// run imports what decode gives. All of it is in one transaction, so that a crash
// at any line leaves the directory as it was; after the commit, what InTx wrote is
// there together with the import.
func (im *importer) run(ctx context.Context, db Beginner, decode func() error) (Summary, error) {
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return Summary{}, fmt.Errorf("importing: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	summary, err := im.inTx(ctx, tx, decode)
	if err != nil {
		var refused *Refused
		if errors.As(err, &refused) {
			return Summary{}, refused
		}
		return Summary{}, importing(tx, err)
	}
	im.warnings.files = im.faults.files
	summary.Warnings, summary.WarningCount = im.warnings.lines(), im.warnings.total
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
	return summary, nil
}

// standstill is how long the process of an import may stand still, as one that was
// stopped does, while others wait for it: then Postgres ends its transaction. Between two
// statements an import takes milliseconds.
const standstill = "15s"

// lockImports lets one import at a time compare with what the one before it left. The
// files are read by then, so that the lock is not held for as long as a disk or a bucket
// takes. See docs/adr/0049-an-import-that-hangs-lets-go.md.
const lockImports = `
SET LOCAL idle_in_transaction_session_timeout = '` + standstill + `';
SELECT pg_advisory_xact_lock(` + store.LockImport + `)`

// importing says what failed. Postgres can't always tell a client why it ended its session.
func importing(tx pgx.Tx, err error) error {
	if tx.Conn().IsClosed() {
		return fmt.Errorf("importing: the connection to the database was lost, as it is where this process stands still for %s: %w", standstill, err)
	}
	return fmt.Errorf("importing: %w", err)
}

func (im *importer) inTx(ctx context.Context, tx pgx.Tx, decode func() error) (summary Summary, err error) {
	if im.stage, err = newStage(ctx, tx, im.fhir); err != nil {
		return Summary{}, err
	}
	if err := decode(); err != nil {
		return Summary{}, err
	}
	if err := im.stage.close(); err != nil {
		return Summary{}, err
	}
	im.progress(im.size * partRead)
	if _, err := tx.Exec(ctx, lockImports); err != nil {
		return Summary{}, err
	}
	return im.merge(ctx, tx)
}
