package process

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access"
	"postern/internal/access/letter"
	"postern/internal/access/oidc"
	"postern/internal/access/passkey"
	"postern/internal/access/policy"
	"postern/internal/api"
	"postern/internal/clinic/clinicstore"
	"postern/internal/compose"
	"postern/internal/compose/draft"
	"postern/internal/compose/wording"
	"postern/internal/content"
	"postern/internal/content/clamd"
	"postern/internal/content/reader"
	"postern/internal/directory"
	"postern/internal/directory/roster/rosterstore"
	"postern/internal/directory/upload"
	"postern/internal/eventlog"
	"postern/internal/eventlog/facts"
	"postern/internal/eventlog/parked"
	"postern/internal/events"
	"postern/internal/health"
	"postern/internal/inbound"
	"postern/internal/inbox/inboxstore"
	"postern/internal/labels/labelstore"
	"postern/internal/messages"
	"postern/internal/messages/notice"
	"postern/internal/notify/pause"
	"postern/internal/notify/replay"
	"postern/internal/notify/reports"
	"postern/internal/notify/unsubscribe"
	"postern/internal/problem/document"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/receipt/issuer"
	"postern/internal/record/accounting"
	"postern/internal/record/bundle"
	"postern/internal/record/certificate"
	"postern/internal/record/emergency"
	"postern/internal/record/export"
	"postern/internal/record/person"
	"postern/internal/record/query"
	"postern/internal/record/retention"
	"postern/internal/recorder/position"
	"postern/internal/search"
	"postern/internal/store"
	"postern/internal/telemetry"
	"postern/internal/text/language"
	"postern/internal/text/zone"
	"postern/internal/web"
	"postern/internal/web/account"
	"postern/internal/web/admin"
	webclinic "postern/internal/web/clinic"
	webcompose "postern/internal/web/compose"
	"postern/internal/web/factors"
	webletters "postern/internal/web/letters"
	webmessages "postern/internal/web/messages"
	"postern/internal/web/operations"
	"postern/internal/web/page"
	"postern/internal/web/portal"
	webreceipt "postern/internal/web/receipt"
	webrecord "postern/internal/web/record"
	webreplay "postern/internal/web/replay"
	websearch "postern/internal/web/search"
	"postern/internal/web/signin"
	webunsubscribe "postern/internal/web/unsubscribe"
)

// WebConfig has the dependencies of a [Web]. Only Lookups, Scanner, Issuer, Organisation,
// FactorRequired, Passkeys, TwoPersonAge, Clinic, Public, SignInSource, Secure, Fail, FreeSpace, Now, ReadReports, Vacuum, Letters, Checks, Warnings,
// Inside, HideMetrics, Telemetry and Logger may be zero.
type WebConfig struct {
	// Pool connects as postern_api or as the login user.
	Pool *pgxpool.Pool
	// Lookups is such a pool for the portal and for the content of messages, whose statements find
	// rows by their keys ([store.OpenLookups]): portal users never wait for a connection that a
	// search of the staff holds. Nil: Pool.
	Lookups *pgxpool.Pool
	// Content stores bodies and attachments; Scanner scans every upload.
	Content *content.Store
	Scanner *clamd.Client
	// Publish publishes events, all or none of them, and returns the sequence of the last
	// after they are durable. Its timeout is PublishTimeout.
	Publish func(context.Context, ...events.Event) (last uint64, err error)
	// Log is the stream of the record, for the operators' pages.
	Log *eventlog.Log
	// FreeSpace returns the free space on the record's disk, in bytes; nil uses the limits of the
	// NATS server.
	FreeSpace func() (int64, error)
	// Position watches the recorder's position. It must be running.
	Position *position.Watcher
	// Source is the process, as events name it: "/api".
	Source string
	// Issuer is the clinic's identity provider; nil: none. Organisation says what it decides;
	// see [access.Config].
	Issuer       *oidc.Issuer
	Organisation access.Organisation
	// FactorRequired requires a second factor of all staff.
	FactorRequired bool
	// TwoPersonAge is how old an account must be to count as another person.
	TwoPersonAge time.Duration
	// Passkeys makes and checks passkeys; nil: there are none.
	Passkeys *passkey.Party
	// Language is that of all pages; "": that of each reader. It is for tests.
	Language language.Language
	// PasswordCost and SignInSource: see [access.Config]. Clinic is the clinic's name until an
	// administrator sets it.
	PasswordCost access.Cost
	Clinic       string
	// Public is what everyone may have of the record; "": the default of PUBLIC_PROOF.
	Public       checkpoint.Public
	SignInSource inbound.Coarse
	// CatchUp is how long an answer waits for the recorder; zero: [facts.CatchUp].
	// PublishTimeout is how long a request waits for NATS; zero: [facts.RequestTimeout].
	// Tests wait longer, because they must not depend on the load of the machine.
	CatchUp, PublishTimeout time.Duration
	// Secure restricts cookies to HTTPS. Fail answers a request whose session could not be
	// read; nil: with a page or the API's answer. See [access.Config].
	Secure bool
	Fail   func(http.ResponseWriter, *http.Request, error)
	Now    func() time.Time
	// ReadReports checks and reads what SendGrid's event webhook posts; nil refuses
	// every post. See [reports.Config].
	ReadReports func(http.Header, []byte) (reports []reports.Report, odd int, err error)
	// Letters sends links to set a password. WireWeb sets its Gate and its Notices.
	Letters letter.Config
	// Vacuum vacuums and analyzes tables after a large import; nil: autovacuum does it.
	Vacuum func(ctx context.Context, tables ...string) error
	// Checks are additional checks of /readyz, by name; see [health.Status].
	Checks map[string]func(context.Context) error
	// Warnings is what /readyz tells besides; see [health.Status]. Inside and HideMetrics say who
	// learns it, and who gets /metrics; see [api.Config].
	Warnings    func() []health.Fault
	Inside      func(*http.Request) bool
	HideMetrics bool
	// Telemetry is the telemetry of the process; nil: a new one.
	Telemetry *telemetry.Telemetry
	Logger    *slog.Logger
}

// Web has the handlers of all requests, the API and the pages, and their dependencies. [WireWeb]
// makes it, for `api`, for `postern up` and for the tests of both. Its fields are for these
// callers: do not pass a Web to a package.
//
// It is safe for concurrent use.
type Web struct {
	API      *api.API
	Pages    *web.Pages
	Renderer *page.Renderer

	Gate      *access.Gate
	Reader    *reader.Reader
	Composer  *compose.Composer
	Drafts    *draft.Drafts
	Wordings  *wording.Wordings
	Messages  *messages.Reader
	Notices   *notice.Notices
	Inbox     *inboxstore.Inbox
	Letters   *letter.Letters
	Health    *health.Status
	Labels    *labelstore.Store
	Clinic    *clinicstore.Store
	Uploads   *upload.Uploads
	Pauses    *pause.Pauses
	Reports   *reports.Receiver
	Replays   *replay.Replays
	OptOuts   *unsubscribe.OptOuts
	Retention *retention.Retention

	Emergencies *emergency.Emergencies
}

// WireWeb makes a Web. It does no I/O.
func WireWeb(cfg WebConfig) (*Web, error) {
	if cfg.Now == nil {
		cfg.Now = zone.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Lookups == nil {
		cfg.Lookups = cfg.Pool
	}
	if cfg.Fail == nil {
		cfg.Fail = web.Unavailable
	}
	publisher := facts.Publisher{Source: cfg.Source, Send: cfg.Publish, Reached: cfg.Position.Wait, Clock: cfg.Now, EntryKey: entrykey.Seals(cfg.Pool).Key}.Within(cmp.Or(cfg.PublishTimeout, facts.RequestTimeout))
	gate, err := access.New(access.Config{Pool: cfg.Pool, Content: cfg.Content, FactorRequired: cfg.FactorRequired, Passkeys: cfg.Passkeys, TwoPersonAge: cfg.TwoPersonAge, PasswordCost: cfg.PasswordCost,
		Organisation: cfg.Organisation, Facts: publisher, Clinic: clinicstore.New(clinicstore.Config{Pool: cfg.Pool, Name: cfg.Clinic}).Name, Source: cfg.SignInSource, Secure: cfg.Secure, Fail: cfg.Fail})
	if err != nil {
		return nil, err
	}
	cfg.Letters.Gate = gate
	w := wiring{Web: &Web{Gate: gate}, cfg: cfg}
	w.problems = document.Problems{Logger: cfg.Logger, Transient: store.Transient, Forbidden: gate.CountRefusal}
	w.await = func(ctx context.Context, seq uint64) {
		ctx, cancel := context.WithTimeout(ctx, cmp.Or(cfg.CatchUp, facts.CatchUp))
		defer cancel()
		_ = publisher.Wait(ctx, seq)
	}
	w.Reader = reader.New(reader.Config{Pool: cfg.Lookups, Content: cfg.Content, Logger: cfg.Logger})
	w.Composer = compose.New(compose.Config{Pool: cfg.Pool, Content: cfg.Content, Reader: w.Reader, Scanner: cfg.Scanner,
		Facts: publisher, Intact: cfg.Position.Intact})
	w.Drafts = draft.New(draft.Config{Pool: cfg.Pool, Content: cfg.Content, Now: cfg.Now})
	w.Wordings = wording.New(wording.Config{Pool: cfg.Pool, Content: cfg.Content, Now: cfg.Now})
	w.Messages = messages.New(cfg.Pool)
	w.Clinic = clinicstore.New(clinicstore.Config{Pool: cfg.Pool, Facts: publisher, Name: cfg.Clinic})
	w.Inbox = inboxstore.New(inboxstore.Config{Pool: cfg.Lookups, Clinic: w.Clinic.Face, Reader: w.Reader, Facts: publisher})
	w.Notices = notice.New(notice.Config{Pool: cfg.Pool, Messages: w.Messages, Now: cfg.Now})
	cfg.Letters.Notices = w.Notices
	w.Letters = letter.New(cfg.Letters)
	w.Labels = labelstore.New(labelstore.Config{Pool: cfg.Pool, Facts: publisher})
	w.Uploads = upload.New(upload.Config{Pool: cfg.Pool, Content: cfg.Content, Source: cfg.Source, Vacuum: cfg.Vacuum, Now: cfg.Now})
	w.Pauses = pause.New(pause.Config{Pool: cfg.Pool, Facts: publisher})
	w.Reports = reports.New(reports.Config{Pool: cfg.Pool, Facts: publisher, Read: cfg.ReadReports})
	w.OptOuts = unsubscribe.New(unsubscribe.Config{Pool: cfg.Pool, Facts: publisher})
	w.Replays = replay.New(replay.Config{Pool: cfg.Pool, Facts: publisher})
	w.Retention = retention.New(retention.Config{Pool: cfg.Pool, Content: cfg.Content, Facts: publisher, TwoPeople: gate.TwoPeople()})
	w.receipts = issuer.New(issuer.Config{Pool: cfg.Pool, Reader: w.Reader, Facts: publisher,
		Rosters: rosterstore.New(rosterstore.Config{Pool: cfg.Pool, Content: cfg.Content}), Entries: entrykey.Opens(cfg.Pool, cfg.Content)})
	w.certificates = certificate.New(certificate.Config{Pool: cfg.Pool, Receipts: w.receipts, Reader: w.Reader, Clinic: w.Clinic.Name})
	w.bundles = bundle.New(bundle.Config{Pool: cfg.Pool, Certificates: w.certificates, Reader: w.Reader, Labels: w.Labels.Chosen, Facts: publisher})
	w.record = query.New(query.Config{Pool: cfg.Pool, Facts: publisher})
	w.accounts = accounting.New(accounting.Config{Pool: cfg.Pool, Record: w.record, Now: cfg.Now})
	w.Emergencies = emergency.New(emergency.Config{Pool: cfg.Pool, Facts: publisher, Reader: w.Reader, Record: w.record, TwoPeople: gate.TwoPeople()})
	w.parking = parked.New(parked.Config{Pool: cfg.Pool, Facts: publisher, Get: cfg.Log.Get})
	w.Health = health.New(health.Config{Pool: cfg.Pool, Log: cfg.Log, Position: cfg.Position, FreeSpace: cfg.FreeSpace, Checks: cfg.Checks, Warnings: cfg.Warnings,
		MissingContent: w.Reader.MissingContent, UncopiedKeys: w.Reader.UncopiedKeys, Now: cfg.Now})
	w.people = person.New(person.Config{Record: w.record, Content: w.Reader})
	w.searcher = search.New(search.Config{Pool: cfg.Pool, Labels: w.Labels, Tracking: w.Messages, Reader: w.Reader, Record: w.record})
	w.wireAPI()
	w.wirePages()
	return w.Web, nil
}

// wiring is a Web that is being made, with what only its API and its pages use.
type wiring struct {
	*Web
	cfg          WebConfig
	problems     document.Problems
	await        func(ctx context.Context, seq uint64) // until the tables have the event, for a while
	receipts     *issuer.Issuer
	certificates *certificate.Maker
	bundles      *bundle.Bundles
	record       *query.Reader
	accounts     *accounting.Accounts
	parking      *parked.Events
	people       *person.Reader
	searcher     *search.Searcher
}

func (w wiring) wireAPI() {
	w.API = api.New(api.Config{Sessions: w.Gate, Health: w.Health, Inside: w.cfg.Inside, HideMetrics: w.cfg.HideMetrics, Problems: w.problems, Logger: w.cfg.Logger, Telemetry: w.cfg.Telemetry},
		api.SessionOperations{Gate: w.Gate},
		api.RecipientOperations{Composer: w.Composer, Directory: w.cfg.Pool},
		api.AttachmentOperations{Composer: w.Composer},
		api.MessageOperations{Composer: w.Composer, Reader: w.Reader, Messages: w.Messages, Search: w.searcher, Now: w.cfg.Now, Changed: w.cfg.Position.Changed, Await: w.await},
		api.NoticeOperations{Notices: w.Notices, Reader: w.Reader},
		api.SearchOperations{Search: w.searcher},
		api.LabelOperations{Labels: w.Labels},
		api.WordingOperations{Wordings: w.Wordings},
		api.DraftOperations{Drafts: w.Drafts},
		api.ClinicOperations{Clinic: w.Clinic},
		api.StaffOperations{Gate: w.Gate, Letters: w.Letters, Composer: w.Composer},
		api.GrantOperations{Gate: w.Gate},
		api.InvitationOperations{Gate: w.Gate, Letters: w.Letters},
		api.TokenOperations{Gate: w.Gate},
		api.PortalOperations{Inbox: w.Inbox, Receipts: w.receipts, Await: w.await},
		api.CheckpointOperations{Checkpoints: w.cfg.Pool, Public: cmp.Or(w.cfg.Public, checkpoint.PublicCommitment), Now: w.cfg.Now},
		api.ReceiptOperations{Messages: w.Messages, Receipts: w.receipts},
		api.DisclosureOperations{Messages: w.Messages, Bundles: w.bundles, Accounts: w.accounts, Await: w.await},
		api.PersonOperations{People: w.people},
		api.RecordOperations{Record: w.record, Exporter: export.New(w.record, w.cfg.Pool), Await: w.await},
		api.AlertingOperations{Pauses: w.Pauses, Await: w.await},
		api.ParkedOperations{Parked: w.parking, Await: w.await},
		api.StateOperations{Health: w.Health},
		api.ReportOperations{Reports: w.Reports},
		api.ReplayOperations{Replays: w.Replays},
		api.ErasureOperations{Retention: w.Retention},
		api.EmergencyOperations{Emergencies: w.Emergencies},
	)
}

func (w wiring) wirePages() {
	w.Renderer = page.New(page.Config{Sessions: w.Gate, Labels: w.Labels.Current, Clinic: w.Clinic.Face, Pauses: pausesOf(w.Pauses), Unread: unreadOf(w.Notices), Words: w.cfg.Content,
		Problems: w.problems, Log: w.cfg.Logger, Language: w.cfg.Language})
	w.Pages = web.New(w.Renderer,
		webcompose.New(w.Renderer, webcompose.Config{Composer: w.Composer, Drafts: w.Drafts, Wordings: w.Wordings, Clinic: w.Clinic, Gate: w.Gate, Labels: w.Labels, Directory: w.cfg.Pool,
			Await: w.await, Now: w.cfg.Now}),
		signin.New(w.Renderer, signin.Config{Gate: w.Gate, Letters: w.Letters, Organisation: w.cfg.Issuer}),
		account.New(w.Renderer, account.Config{Gate: w.Gate, Notices: w.Notices, Mails: w.Letters.Enabled()}),
		factors.New(w.Renderer, factors.Config{Gate: w.Gate}),
		webmessages.New(w.Renderer, webmessages.Config{Composer: w.Composer, Reader: w.Reader, Drafts: w.Drafts, Messages: w.Messages, Notices: w.Notices,
			Retention: w.Retention, Pauses: w.Pauses, Replays: w.Replays, Search: w.searcher, Now: w.cfg.Now}),
		webletters.New(w.Renderer, webletters.Config{Gate: w.Gate, Messages: w.Messages, Clinic: w.Clinic.Face, PublicURL: w.cfg.Letters.PublicURL, Now: w.cfg.Now}),
		portal.New(w.Renderer, portal.Config{Inbox: w.Inbox, Account: w.Gate, OptOuts: w.OptOuts, Email: emailOf(w.cfg.Pool), Await: w.await,
			Certificate: certificateOf(w.certificates, w.Labels)}),
		webclinic.New(w.Renderer, webclinic.Config{Clinic: w.Clinic}),
		webunsubscribe.New(w.Renderer, webunsubscribe.Config{OptOuts: w.OptOuts}),
		admin.New(w.Renderer, admin.Config{Gate: w.Gate, Composer: w.Composer, Labels: w.Labels, Letters: w.Letters, Uploads: w.Uploads, OptOuts: w.OptOuts,
			Directory: w.cfg.Pool, Now: w.cfg.Now}),
		operations.New(w.Renderer, operations.Config{Pauses: w.Pauses, Parked: w.parking, Health: w.Health, Await: w.await, Now: w.cfg.Now}),
		webreplay.New(w.Renderer, webreplay.Config{Replays: w.Replays, Messages: w.Messages}),
		websearch.New(w.Renderer, websearch.Config{Labels: w.Labels, Search: w.searcher}),
		webreceipt.New(w.Renderer, webreceipt.Config{Certificates: w.certificates, Bundles: w.bundles, Messages: w.Messages, Labels: w.Labels, Await: w.await}),
		webrecord.New(w.Renderer, webrecord.Config{Record: w.record, People: w.people, Search: w.searcher, Retention: w.Retention, Emergencies: w.Emergencies, Accounts: w.accounts, Messages: w.Messages, Gate: w.Gate, Directory: w.cfg.Pool,
			Now: w.cfg.Now}),
	)
}

// pausesOf converts pauses for the frame of a page.
func pausesOf(pauses *pause.Pauses) func(context.Context) ([]page.Pause, error) {
	return func(ctx context.Context) ([]page.Pause, error) {
		all, err := pauses.Pauses(ctx)
		shown := make([]page.Pause, len(all))
		for i, p := range all {
			shown[i] = page.Pause{MessageID: p.MessageID, Reason: p.Reason, Automatic: p.Automatic, PausedAt: p.PausedAt}
		}
		return shown, err
	}
}

// unreadOf counts unread notices for the menu of a page.
func unreadOf(notices *notice.Notices) func(context.Context, policy.Subject) (int, error) {
	return func(ctx context.Context, reader policy.Subject) (int, error) {
		return notices.Unread(ctx, reader, page.MostUnread)
	}
}

// certificateOf returns the certificates of portal users, who may see no name but their own.
func certificateOf(certificates *certificate.Maker, words *labelstore.Store) func(context.Context, policy.Subject, uuid.UUID, bool) (template.HTML, error) {
	return func(ctx context.Context, reader policy.Subject, id uuid.UUID, names bool) (template.HTML, error) {
		c, err := certificates.Make(ctx, issuer.Request{MessageID: id, PortalUserID: reader.ID, Actor: reader.Actor(), Names: names, Alone: true})
		if err != nil {
			return "", err
		}
		l, err := words.Chosen(ctx)
		if err != nil {
			return "", err
		}
		return c.Article(l)
	}
}

// emailOf returns the e-mail address of a portal user, by number.
func emailOf(pool *pgxpool.Pool) func(context.Context, int32) (string, error) {
	return func(ctx context.Context, no int32) (string, error) {
		found, err := directory.PortalUsers(ctx, pool, []int32{no})
		return found[no].Email, err
	}
}

// Sweep deletes expired data: sessions, invitations, drafts, and uploads that were never sent.
// Call it at the start of a process and every few minutes; several processes may call it.
func (w *Web) Sweep(ctx context.Context) error {
	var errs []error
	for _, sweep := range []func(context.Context) error{w.Gate.Sweep, w.Drafts.Sweep, w.Uploads.Sweep, w.Retention.Sweep, w.Composer.Sweep, w.Notices.Sweep} {
		errs = append(errs, sweep(ctx))
	}
	return errors.Join(errs...)
}

// Close ends streams and background work.
func (w *Web) Close() {
	w.API.Close()
	w.Uploads.Close()
}
