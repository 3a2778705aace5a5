// Package upload imports the directory through the web pages. A staff member uploads the
// files once, reviews the changes, and confirms the import.
//
//	receiving ──► checking ──► checked ──► importing ──► imported
//	                  │            ▲            │
//	                  ├──► refused │            ▼
//	                  └──► failed ─┴──────── checking
//
// An upload is stored encrypted in the content store. Its key is stored in its row and
// deleted with it. Checking an upload is a dry run of [imports.CSV] or
// [imports.FHIR], and importing is the real run. The import makes exactly the
// changes that were shown. If the directory has changed so that the result would differ,
// nothing is imported and the new changes are shown.
//
// # Durability
//
// Checking and importing run in the process that received the request, after its answer.
// A crash leaves the directory unchanged: the import, its event and its new state are
// committed in one transaction. The interrupted work sends no more heartbeats. Its files
// are still stored, so it can be checked again.
//
// # Concurrency
//
// [Uploads] is safe for concurrent use, also in several processes. Each staff member has
// one upload at a time, and can't see those of others.
package upload

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/imports"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/directory/source"
	"postern/internal/text/zone"
)

const (
	// Lifetime is how long an upload and its result are stored.
	Lifetime = 24 * time.Hour
	// mostLines is the maximum number of wrong lines that are listed.
	mostLines = 10_000

	heartbeatInterval = time.Second      // how often running work updates its row
	heartbeatTimeout  = 30 * time.Second // without an update for this long, work counts as interrupted
)

// State is the state of an import. The values are those of the table.
type State string

// The states.
const (
	Receiving State = "receiving" // the files are being uploaded
	Checking  State = "checking"  // the dry run is running
	Checked   State = "checked"   // the changes are known
	Refused   State = "refused"   // lines are wrong
	Importing State = "importing"
	Imported  State = "imported"
	Failed    State = "failed" // an internal error; nothing was imported
)

// Running reports whether the import is being checked or imported.
func (s State) Running() bool { return s == Checking || s == Importing }

var (
	// ErrNotFound is the error for an import that this staff member does not have: it never
	// existed, was replaced by another, or has expired.
	ErrNotFound = errors.New("there is no such import any more: upload the files again")
	// ErrRunning is the error if another import of the staff member is still running.
	ErrRunning = errors.New("an import of yours is still under way: wait until it has ended")
	// ErrStale is the error if the import is no longer in the state that its page showed.
	ErrStale = errors.New("the import has changed since you opened this page: open it again")
)

// Invalid is the error for an upload that can't be accepted. Its text says why.
type Invalid string

func (e Invalid) Error() string { return string(e) }

// File is a file of an upload.
type File struct {
	Name string
	Size int64
}

// Report is the result of a dry run.
type Report struct {
	Summary imports.Summary
	Shown   []imports.Shown
	Wrong   []source.WrongLine
	Total   int // the number of wrong lines, including those not listed
	// Moved says that the directory has changed since an earlier dry run, so that the
	// import would have made other changes than those shown.
	Moved bool
}

// Import is an upload with its state and result.
type Import struct {
	ID          uuid.UUID
	State       State
	Interrupted bool  // the work has stopped: its row was not updated in time
	Done, Total int64 // the progress of the work, in no particular unit
	Format      string
	Files       []File
	Report      Report
	// Digest identifies the changes that the dry run showed. [Uploads.Confirm] needs it.
	Digest string
}

// Config holds the dependencies of [Uploads]. Vacuum and Now may be left out.
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool    *pgxpool.Pool
	Content *content.Store
	Source  string // the source of the events: "/api"
	// Vacuum vacuums and analyzes tables; see [imports.Options].
	Vacuum func(ctx context.Context, tables ...string) error
	Now    func() time.Time
}

// Uploads receives, checks and runs imports.
type Uploads struct {
	Config
	ctx     context.Context // of the work, which outlives the requests that start it
	stop    context.CancelFunc
	running sync.WaitGroup
	rosters *rosterstore.Store
}

// New returns new Uploads. It does no I/O.
func New(cfg Config) *Uploads {
	if cfg.Now == nil {
		cfg.Now = zone.Now
	}
	in := &Uploads{Config: cfg, rosters: rosterstore.New(rosterstore.Config{Pool: cfg.Pool, Content: cfg.Content, Vacuum: cfg.Vacuum})}
	in.ctx, in.stop = context.WithCancel(context.Background())
	return in
}

// Close interrupts the running work, as a crash would, and returns when it has ended.
func (u *Uploads) Close() {
	u.stop()
	u.running.Wait()
}

// warn logs an error of work without a caller that waits for it. Errors of an import never
// quote a file.
func (u *Uploads) warn(what string, err error) { slog.Warn(what, "error", err) }
