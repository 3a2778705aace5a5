package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options of an import.
type Options struct {
	// DryRun finds every wrong line and counts what would change, and changes nothing.
	DryRun bool
	// Show is called in a dry run with some of the rows that would come or change: a
	// few of each kind, whether or not a wrong line refuses all of it afterwards.
	Show func(Shown)
	// MostLines is how many wrong lines are named; 0 is a hundred.
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
}

// Changes counts the rows of one kind. A row that is in the directory and not in
// the files stays as it is and is not counted.
type Changes struct{ New, Changed, Unchanged int }

// Changed says whether the import changes anything.
func (s Summary) Changed() bool {
	for _, c := range []Changes{s.Patients, s.PortalUsers, s.Links} {
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

// fhirFiles are the files of a bulk export that are read, by resource type.
var fhirFiles = []string{"Patient", "RelatedPerson", "EpisodeOfCare"}

// ImportFHIR imports the Patient*.ndjson, RelatedPerson*.ndjson and
// EpisodeOfCare*.ndjson of a folder, as a FHIR R4 bulk export writes them
// (https://hl7.org/fhir/uv/bulkdata/), in one transaction. It fails as [ImportCSV].
func ImportFHIR(ctx context.Context, db Beginner, dir fs.FS, opts Options) (Summary, error) {
	if opts.Today.IsZero() {
		opts.Today = time.Now()
	}
	if domain := opts.DemoEmailDomain; domain != "" && checkEmail("a@"+domain) != "" {
		return Summary{}, errors.New("the domain of the demo addresses is not one: write it as example.test")
	}
	im := importer{opts: opts, faults: faults{most: opts.MostLines}}
	for _, resourceType := range fhirFiles {
		names, err := fs.Glob(dir, resourceType+"*.ndjson")
		if err != nil {
			return Summary{}, err
		}
		for _, name := range names {
			info, err := fs.Stat(dir, name)
			if err != nil {
				return Summary{}, fmt.Errorf("reading the folder: %w", err)
			}
			im.faults.files = append(im.faults.files, name)
			im.size += info.Size()
		}
	}
	if len(im.faults.files) == 0 {
		return Summary{}, errors.New("the folder has no Patient*.ndjson, RelatedPerson*.ndjson or EpisodeOfCare*.ndjson to import")
	}
	return im.run(ctx, db, func() error {
		d := fhirDecoder{today: dayOf(opts.Today), emailDomain: opts.DemoEmailDomain, into: im.sink()}
		for i, name := range im.faults.files {
			if err := im.decodeFHIR(ctx, dir, i, &d); err != nil {
				return fmt.Errorf("reading %s: %w", name, err)
			}
		}
		return nil
	})
}

func (im *importer) decodeFHIR(ctx context.Context, dir fs.FS, i int, d *fhirDecoder) error {
	content, err := dir.Open(im.faults.files[i])
	if err != nil {
		return err
	}
	defer content.Close()
	return d.decode(i, im.resourceType(i), im.measured(ctx, content))
}

// resourceType of a file by its number; "" for a CSV file.
func (im *importer) resourceType(file int) string {
	for _, resourceType := range fhirFiles {
		if name := im.faults.files[file]; strings.HasPrefix(name, resourceType) && strings.HasSuffix(name, ".ndjson") {
			return resourceType
		}
	}
	return ""
}

// importer is one import under way.
type importer struct {
	opts   Options
	faults faults
	stage  *stage
	size   int64 // of all files
	done   int64 // bytes read, and then some for each step in the database
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
		link: im.stage.addLink, episode: im.stage.addEpisode,
		fault: im.faults.add,
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
		return Summary{}, fmt.Errorf("importing: %w", err)
	}
	if im.opts.DryRun || !summary.Changed() {
		return summary, nil
	}
	if im.opts.InTx != nil {
		if err := im.opts.InTx(ctx, tx, summary); err != nil {
			return Summary{}, fmt.Errorf("importing: %w", err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return Summary{}, fmt.Errorf("importing: committing: %w", err)
	}
	return summary, nil
}

func (im *importer) inTx(ctx context.Context, tx pgx.Tx, decode func() error) (summary Summary, err error) {
	// One import at a time: each compares with what the one before it left.
	const lock = `SELECT pg_advisory_xact_lock(hashtextextended('postern directory import', 0))`
	if _, err := tx.Exec(ctx, lock); err != nil {
		return Summary{}, err
	}
	if im.stage, err = newStage(ctx, tx); err != nil {
		return Summary{}, err
	}
	if err := decode(); err != nil {
		return Summary{}, err
	}
	if err := im.stage.close(); err != nil {
		return Summary{}, err
	}
	im.progress(im.size * partRead)
	return im.merge(ctx, tx)
}
