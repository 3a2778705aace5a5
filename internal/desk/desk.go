// Package desk is where people's requests are answered from: all that the JSON API
// and the pages both work with, put together once. What a page shows and what the
// API answers can't differ, because both ask the same desk.
package desk

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/oidc"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/content"
	"postern/internal/content/clamd"
	"postern/internal/directory/upload"
	"postern/internal/eventlog"
	"postern/internal/eventlog/parked"
	"postern/internal/events"
	"postern/internal/health"
	"postern/internal/inbox"
	"postern/internal/labels"
	"postern/internal/messages"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/notify/reports"
	"postern/internal/proof/receipt"
	"postern/internal/record/export"
	"postern/internal/record/query"
	"postern/internal/record/retention"
	"postern/internal/recorder/position"
	"postern/internal/search"
)

// Config is what a [Desk] is made of. Only Scanner, Organisation, FactorRequired,
// Secure, Fail, Room, Now, ReadReports, Letters and Logger may be left out.
type Config struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Content keeps bodies and attachments; Scanner looks at every upload.
	Content *content.Store
	Scanner *clamd.Client
	// Publish puts events on the record, all or none of them, and returns the
	// sequence of the last once they are durable. It is given three seconds at most:
	// somebody waits.
	Publish func(context.Context, ...events.Event) (last uint64, err error)
	// Log is the record itself, for what operators see of it.
	Log *eventlog.Log
	// Room is how many bytes are free where NATS keeps the record, for who knows that;
	// nil asks the server for its limits.
	Room func() (int64, error)
	// Checks are what /readyz looks at besides, by name.
	Checks map[string]func(context.Context) error
	// Position is running, and tells how far the recorder has come.
	Position *position.Watcher
	// Source is the process, as events name it: "/api".
	Source string
	// Organisation is the clinic's own identity provider, where it has one.
	Organisation *oidc.Issuer
	// FactorRequired asks a second factor of all staff.
	FactorRequired bool
	// PasswordCost is that of [access.Config].
	PasswordCost access.Cost
	// CatchUp is how long [Desk.AwaitRecorder] waits; zero: half a second. Tests, which
	// may not depend on how busy the machine is, wait longer.
	CatchUp time.Duration
	// Secure keeps cookies off plain HTTP, and Fail answers a request whose session
	// could not be read: see [access.Config].
	Secure bool
	Fail   func(http.ResponseWriter, *http.Request, error)
	Now    func() time.Time
	// ReadReports checks and reads what SendGrid's event webhook posts; nil refuses
	// every post. See [reports.Config].
	ReadReports func(http.Header, []byte) (reports []reports.Report, odd int, err error)
	// Letters bring portal users the links to set a password. Its Gate is the desk's.
	Letters letter.Config
	// Logger is told of content that is missing; nil: no one is.
	Logger *slog.Logger
}

// Desk is safe for concurrent use.
type Desk struct {
	Pool     *pgxpool.Pool
	Content  *content.Store       // seals what may not be read by others
	Gate     *access.Gate         // knows who asks
	Compose  *compose.Composer    // sends messages and takes them back
	Draft    *draft.Drafts        // keeps those that are being written
	Tracking *messages.Reader     // says what became of them
	Inbox    *inbox.Inbox         // is what portal users may read of them
	Letters  *letter.Letters      // are how portal users come by a password
	Labels   *labels.Store        // are the clinic's words
	Search   *search.Searcher     // is Global Search
	Intake   *upload.Uploads      // takes imports of the directory in
	Receipts *receipt.Issuer      // prove one delivery
	Reading  *query.Reader        // reads the record
	Exporter *export.Exporter     // writes what is read to files
	Alerting *pause.Pauses        // stops alerts and lets them go on
	Parked   *parked.Events       // keeps the events that no worker could handle
	Health   *health.Status       // says how the whole works
	Feedback *reports.Receiver    // takes what SendGrid reports of alerts
	Replay   *replay.Replays      // repeats alerts that failed
	Kept     *retention.Retention // destroys content when two people agree
	Position *position.Watcher
	Now      func() time.Time
	// Organisation is where staff may sign in instead; nil: nowhere.
	Organisation *oidc.Issuer

	catchUp time.Duration
}

// New makes a Desk. It does no I/O.
func New(cfg Config) (*Desk, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Publish = soon(cfg.Publish)
	gate, err := access.New(access.Config{Pool: cfg.Pool, Content: cfg.Content, FactorRequired: cfg.FactorRequired, PasswordCost: cfg.PasswordCost, Publish: cfg.Publish, Wait: cfg.Position.Wait,
		Source: cfg.Source, Secure: cfg.Secure, Fail: cfg.Fail, Now: cfg.Now})
	if err != nil {
		return nil, err
	}
	d := &Desk{Pool: cfg.Pool, Content: cfg.Content, Gate: gate, Tracking: messages.New(cfg.Pool), Position: cfg.Position, Now: cfg.Now, Organisation: cfg.Organisation, catchUp: cmp.Or(cfg.CatchUp, catchUp)}
	d.Compose = compose.New(compose.Config{Pool: cfg.Pool, Content: cfg.Content, Scanner: cfg.Scanner,
		Publish: cfg.Publish, Wait: cfg.Position.Wait, Whole: cfg.Position.Whole, Source: cfg.Source, Now: cfg.Now, Logger: cfg.Logger})
	d.Receipts = &receipt.Issuer{Pool: cfg.Pool, Compose: d.Compose, Publish: cfg.Publish, Source: cfg.Source, Now: cfg.Now}
	d.Draft = &draft.Drafts{Pool: cfg.Pool, Content: cfg.Content, Now: cfg.Now}
	d.Inbox = inbox.New(inbox.Config{Pool: cfg.Pool, Compose: d.Compose, Publish: cfg.Publish, Source: cfg.Source, Now: cfg.Now})
	cfg.Letters.Gate = gate
	d.Letters = letter.New(cfg.Letters)
	d.Labels = &labels.Store{Pool: cfg.Pool, Publish: cfg.Publish, Wait: cfg.Position.Wait, Source: cfg.Source, Now: cfg.Now}
	d.Intake = upload.New(upload.Config{Pool: cfg.Pool, Content: cfg.Content, Source: cfg.Source, Now: cfg.Now})
	d.Reading = &query.Reader{Pool: cfg.Pool, Publish: cfg.Publish, Source: cfg.Source, Now: cfg.Now}
	d.Exporter = &export.Exporter{Room: d.Reading}
	d.Alerting = &pause.Pauses{Pool: cfg.Pool, Publish: cfg.Publish, Source: cfg.Source, Now: cfg.Now}
	d.Parked = &parked.Events{Pool: cfg.Pool, Publish: cfg.Publish, Get: cfg.Log.Get, Source: cfg.Source, Now: cfg.Now}
	d.Health = &health.Status{Pool: cfg.Pool, Log: cfg.Log, Position: cfg.Position, Room: cfg.Room, Checks: cfg.Checks,
		MissingContent: d.Compose.MissingContent, UncopiedKeys: d.Compose.UncopiedKeys, Now: cfg.Now}
	d.Feedback = reports.New(reports.Config{Pool: cfg.Pool, Publish: cfg.Publish, Read: cfg.ReadReports, Source: cfg.Source, Now: cfg.Now})
	d.Replay = &replay.Replays{Pool: cfg.Pool, Publish: cfg.Publish, Wait: cfg.Position.Wait, Source: cfg.Source, Now: cfg.Now}
	d.Kept = &retention.Retention{Pool: cfg.Pool, Content: cfg.Content, Publish: cfg.Publish, Wait: cfg.Position.Wait, Source: cfg.Source, Now: cfg.Now}
	d.Search = &search.Searcher{Pool: cfg.Pool, Labels: d.Labels, Tracking: d.Tracking, Compose: d.Compose}
	return d, nil
}

// patience is how long a request waits for the record's acknowledgement. What is
// acknowledged later was recorded all the same; whoever tries again tells the same
// fact, or finds it there.
const patience = 3 * time.Second

// soon publishes within the patience of a person. Workers have the record's own.
func soon(publish func(context.Context, ...events.Event) (uint64, error)) func(context.Context, ...events.Event) (uint64, error) {
	return func(ctx context.Context, all ...events.Event) (uint64, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return publish(ctx, all...)
	}
}

// catchUp is how long a request waits for the recorder unless the configuration says
// otherwise, so that what it did can be read right after its answer.
const catchUp = 500 * time.Millisecond

// AwaitRecorder gives the recorder a moment to come to a place on the record. If it
// does not, what was done is done all the same.
func (d *Desk) AwaitRecorder(ctx context.Context, seq uint64) {
	ctx, cancel := context.WithTimeout(ctx, d.catchUp)
	defer cancel()
	_ = d.Position.Wait(ctx, seq)
}

// Sweep deletes what has expired: sessions, invitations, drafts, uploads that were
// never sent. Call it at the start of a process and every few minutes, in as many processes as you like.
func (d *Desk) Sweep(ctx context.Context) error {
	var errs []error
	for _, sweep := range []func(context.Context) error{d.Gate.Sweep, d.Draft.Sweep, d.Intake.Sweep, d.Kept.Sweep, d.Compose.Sweep} {
		errs = append(errs, sweep(ctx))
	}
	return errors.Join(errs...)
}

// Close ends what goes on behind answered requests.
func (d *Desk) Close() { d.Intake.Close() }
