// Package upload takes an import of the directory in by page: the files are uploaded
// once, looked at, and imported when somebody has seen what that would change.
//
//	receiving ──► checking ──► checked ──► importing ──► imported
//	                  │            ▲            │
//	                  ├──► refused │            ▼
//	                  └──► failed ─┴──────── checking
//
// An upload is kept in the content store, encrypted, under a key that goes with its
// row. Checking it is a dry run of [directory.ImportCSV] or [directory.ImportFHIR],
// and importing it is the same without "dry": what was shown is what is done, or, if
// the directory has changed so that it is not, nothing is done and it is shown anew.
//
// # Durability
//
// Checking and importing go on in the process that was asked, after its answer. A
// crash leaves the directory as it was: the import, the event that tells of it and
// the state that says so are one transaction. What was under way shows no sign of
// life any more; its files are still there, and it can be checked again.
//
// # Concurrency
//
// An [Intake] is safe for concurrent use, and so are several of them in as many
// processes. Each staff member has one upload at a time, and sees no other's.
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
	"postern/internal/directory"
)

const (
	// Lifetime is how long an upload, and what became of it, is kept.
	Lifetime = 24 * time.Hour
	// mostLines is how many wrong lines are named.
	mostLines = 10_000

	beat      = time.Second      // how often work shows a sign of life
	lifeless  = 30 * time.Second // how long without one means that it was cut short
	forgetful = 10 * time.Second // for what must be written down although time is up
)

// State is how far an import is. The names are those of the table.
type State string

// The states.
const (
	Receiving State = "receiving" // its files are coming in
	Checking  State = "checking"  // a dry run goes on
	Checked   State = "checked"   // what it would change is known
	Refused   State = "refused"   // lines are wrong
	Importing State = "importing"
	Imported  State = "imported"
	Failed    State = "failed" // for a reason on our side; nothing was imported
)

// Running says whether work goes on.
func (s State) Running() bool { return s == Checking || s == Importing }

var (
	// ErrNotFound says that there is no such import of this staff member's: never
	// was, was replaced by another, or has expired.
	ErrNotFound = errors.New("there is no such import any more: upload the files again")
	// ErrRunning says that an import of theirs is still under way.
	ErrRunning = errors.New("an import of yours is still under way: wait until it has ended")
	// ErrStale says that the import is not in the state that its page showed.
	ErrStale = errors.New("the import has moved on meanwhile: look at it again")
)

// Invalid says what is wrong with an upload as a whole.
type Invalid string

func (e Invalid) Error() string { return string(e) }

// File is a file of an upload.
type File struct {
	Name string
	Size int64
}

// Report is what a dry run found.
type Report struct {
	Summary directory.Summary
	Shown   []directory.Shown
	Wrong   []directory.WrongLine
	Total   int // wrong lines, those not named included
	// Moved says that the directory has changed since an earlier dry run, so that
	// what was to be imported would have done something else.
	Moved bool
}

// Import is an upload and what has become of it.
type Import struct {
	ID          uuid.UUID
	State       State
	Interrupted bool  // work was cut short: it shows no sign of life
	Done, Total int64 // of the work
	Format      string
	Files       []File
	Report      Report
	// Digest stands for what the dry run showed. Whoever confirms it names it.
	Digest string
}

// Config is what an [Intake] works with. Only Now may be left out.
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool    *pgxpool.Pool
	Content *content.Store
	Source  string // the process, as events name it: "/api"
	Now     func() time.Time
}

// Intake takes imports in.
type Uploads struct {
	Config
	ctx     context.Context // of the work, which outlives the requests that begin it
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New makes an Intake. It does no I/O.
func New(cfg Config) *Uploads {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	in := &Uploads{Config: cfg}
	in.ctx, in.stop = context.WithCancel(context.Background())
	return in
}

// Close ends the work that goes on, as a crash would, and returns once it has ended.
func (in *Uploads) Close() {
	in.stop()
	in.running.Wait()
}

// warn logs what nobody waits for. No error of an import quotes a file.
func (in *Uploads) warn(what string, err error) { slog.Warn(what, "error", err) }
