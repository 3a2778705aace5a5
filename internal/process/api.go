package process

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/access"
	"postern/internal/access/groups"
	"postern/internal/access/letter"
	"postern/internal/access/oidc"
	"postern/internal/access/passkey"
	"postern/internal/access/twopeople"
	"postern/internal/api"
	"postern/internal/clinic/clinicstore"
	"postern/internal/config"
	"postern/internal/content/clamd"
	"postern/internal/directory"
	"postern/internal/events"
	"postern/internal/health"
	"postern/internal/inbound"
	"postern/internal/notify/sendgrid"
	"postern/internal/pace"
	"postern/internal/proof/checkpoint"
	"postern/internal/record/retention"
	"postern/internal/serving"
	"postern/internal/store"
	"postern/internal/telemetry"
)

const (
	// drainTimeout is how long running requests may take after the process is told to stop.
	drainTimeout = 15 * time.Second
	sweepEvery   = 5 * time.Minute
	// apiConns and lookupConns are the connections to Postgres: more would only wait for its
	// processors. See [WebConfig].
	apiConns, lookupConns = 20, 8
)

// Front has the additions of a process that serves more than the API. Each field may be nil.
type Front struct {
	// Mount wraps the handler of all requests.
	Mount func(http.Handler) http.Handler
	// Ready is called with the address when the process serves.
	Ready func(url string) error
	// Checks are additional checks of /readyz, by name.
	Checks map[string]func(context.Context) error
	// FreeSpace returns the free space on the record's disk, in bytes; nil if the disk is not here.
	FreeSpace func() (int64, error)
}

// API runs the web process.
func API(ctx context.Context, c config.Config, tell *telemetry.Telemetry, logger *slog.Logger) error {
	return ServeAPI(ctx, c, tell, logger, Front{Ready: func(url string) error {
		logger.Info("serving", "url", url)
		return nil
	}})
}

// ServeAPI is [API] with additions.
func ServeAPI(ctx context.Context, c config.Config, tell *telemetry.Telemetry, logger *slog.Logger, f Front) error {
	readReports, err := ReadReports(c.SendGridWebhookPublicKey, time.Now)
	if err != nil {
		return err
	}
	b, err := open(ctx, c, config.API, store.RoleAPI, apiConns, tell, logger)
	if err != nil {
		return err
	}
	defer b.close()
	lookups, err := store.OpenLookups(ctx, c.DatabaseURL, store.RoleAPI, lookupConns, b.logger)
	if err != nil {
		return err
	}
	defer lookups.Close()
	if err := b.mustBelong(ctx); err != nil {
		return err
	}
	kept, err := b.content(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = kept.Close() }()
	var scanner *clamd.Client
	if c.ClamdAddr != "" {
		scanner = clamd.New(c.ClamdAddr)
	}
	letters, closeLetters, err := lettersOf(c, b.pool, b.logger)
	if err != nil {
		return err
	}
	defer closeLetters()
	var issuer *oidc.Issuer
	var organisation access.Organisation
	if c.OIDCIssuer != "" {
		if issuer, organisation, err = organisationOf(c); err != nil {
			return err
		}
	}
	certificates, err := certificatesOf(c, config.API, tell, b.logger)
	if err != nil {
		return err
	}
	proxies, err := inbound.ParseProxies(c.TrustedProxies)
	if err != nil {
		return err
	}
	transport := serving.Transport{PublicURL: c.PublicURL, BehindProxy: c.BehindProxy, Trusted: proxies, Subdomains: c.HSTSSubdomains}
	if c.BehindProxy && len(proxies) == 0 {
		b.logger.Warn("it is not known how requests reach the proxy in front: set TRUSTED_PROXIES to its address")
	}
	source, err := inbound.ParseCoarse(c.SignInSourceBits)
	if err != nil {
		return err
	}
	passkeys, err := passkey.New(c.PublicURL, cmp.Or(c.ClinicName, "Postern"))
	if err != nil {
		return err
	}
	w, err := WireWeb(WebConfig{Issuer: issuer, Organisation: organisation, Passkeys: passkeys, Clinic: c.ClinicName, Public: checkpoint.Public(c.PublicProof), SignInSource: source, Pool: b.pool, Lookups: lookups, FreeSpace: f.FreeSpace, Content: kept, Scanner: scanner, Log: b.log, Publish: b.publish, Position: b.position,
		Source: "/api", FactorRequired: c.StaffSecondFactor == "required", TwoPersonAge: twopeople.Days(c.TwoPersonDays), Secure: strings.HasPrefix(c.PublicURL, "https://"), Letters: letters, ReadReports: readReports, Vacuum: b.vacuum,
		Checks: f.Checks, Warnings: func() []health.Fault { return append(unscanned(scanner), warningsOf(certificates)...) },
		Inside: serving.Inside, HideMetrics: !b.isLocal(ctx), Telemetry: tell, Logger: b.logger})
	if err != nil {
		return err
	}
	defer w.Close()
	tell.Register(w.Letters.Metrics())
	tell.Register(w.Reports.Metrics())
	tell.Watch(w.Health.State)
	handler := portalFirst(&room, Routes(w.API, tell.Requests(w.Pages.Route, w.Pages)))
	if f.Mount != nil {
		handler = f.Mount(handler)
	}
	server := inbound.NewServer(transport.Require(handler), proxies, b.logger)
	server.Addr = c.ListenAddr
	server.RegisterOnShutdown(w.API.Close)
	return b.run(ctx, w.Letters.Run, w.Letters.RunNotices, w.Letters.RunInvitations, w.Letters.RunEnded, b.ensureEntryKey(kept),
		func(ctx context.Context) error { return declare(ctx, w.Retention, c.RetentionYears, b.logger) },
		func(ctx context.Context) error {
			return until(ctx, b.logger, "recording API tokens of earlier versions", w.Gate.RecordEarlierTokens)
		},
		func(ctx context.Context) error { return serve(ctx, server, certificates, f.Ready) },
		b.serveOperators(serving.Operators{Metrics: tell.Handler(), Ready: func(r *http.Request) (faults, warnings []health.Fault) {
			return w.Health.Ready(r.Context(), api.ReadyParts...), w.Health.Warnings()
		}}),
		func(ctx context.Context) error {
			w.Gate.RunCounts(ctx, func(err error) { b.logger.Warn("counts wait to be recorded", "error", err) })
			return nil
		},
		func(ctx context.Context) error { return sweep(ctx, b.logger, "sweeping what has expired", w.Sweep) },
		func(ctx context.Context) error {
			return sweep(ctx, b.logger, "keeping content keys in two places", w.Reader.SecureKeys)
		},
		func(ctx context.Context) error {
			return sweep(ctx, b.logger, "making names searchable", func(ctx context.Context) error { return foldNames(ctx, b.pool, b.logger) })
		})
}

// unscanned warns that there is no virus scanner.
func unscanned(scanner *clamd.Client) []health.Fault {
	if scanner != nil {
		return nil
	}
	return []health.Fault{{Part: health.PartScanner, Reason: "documents are not scanned for viruses: set CLAMD_ADDR"}}
}

// portalFirst lets blasts leave room for the requests of portal users.
func portalFirst(p *pace.Pace, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := r.URL.Path + "/"; strings.HasPrefix(path, "/portal/") || strings.HasPrefix(path, "/v1/portal/") {
			p.Small()
		}
		next.ServeHTTP(w, r)
	})
}

// lettersOf returns the configuration for sending links to set a password. Without the settings
// of SendGrid, no links are sent.
func lettersOf(c config.Config, pool *pgxpool.Pool, logger *slog.Logger) (letters letter.Config, closeAll func(), err error) {
	letters = letter.Config{PublicURL: c.PublicURL, PerSecond: c.LettersPerSecond, Logger: logger}
	if c.SendGridAPIKey == "" {
		logger.Warn("no links to set a password are sent: set SENDGRID_API_KEY and ALERT_FROM")
		return letters, func() {}, nil
	}
	client, err := sendgrid.New(sendgrid.Config{BaseURL: c.SendGridBaseURL, APIKey: c.SendGridAPIKey, From: c.AlertFrom, PublicURL: c.PublicURL,
		Clinic: clinicstore.New(clinicstore.Config{Pool: pool, Name: c.ClinicName}).Face})
	if err != nil {
		return letter.Config{}, nil, err
	}
	letters.SendInvitation, letters.SendReset = client.SendInvitation, client.SendReset
	letters.SendStaffInvitation, letters.SendStaffReset, letters.SendAddressChanged = client.SendStaffInvitation, client.SendStaffReset, client.SendAddressChanged
	letters.SendPortalAddressChanged, letters.SendMessageEnded = client.SendPortalAddressChanged, client.SendMessageEnded
	return letters, client.Close, nil
}

// declare records the retention of content, if it has changed. It waits for the recorder to
// start.
func declare(ctx context.Context, kept *retention.Retention, years int, logger *slog.Logger) error {
	return until(ctx, logger, "recording the retention of content", func(ctx context.Context) error {
		return kept.Declare(ctx, "process:"+events.API, years)
	})
}

// until calls do, which does what, every second until it succeeds or ctx ends.
func until(ctx context.Context, logger *slog.Logger, what string, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		logger.Warn(what+" failed, trying again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// Routes sends the paths of the API to api, and all others to pages.
func Routes(api, pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, prefix := range []string{"/v1/", "/webhooks/", "/problems/", "/docs/"} {
		mux.Handle(prefix, api)
	}
	for _, path := range []string{"/docs", "/openapi.json", "/openapi.yaml", "/healthz", "/readyz", "/metrics"} {
		mux.Handle(path, api)
	}
	mux.Handle("/", pages)
	return mux
}

// foldNames makes names searchable that another version of Postern wrote: at the start names
// from before an upgrade, and later names from a process that is not upgraded yet.
func foldNames(ctx context.Context, db directory.Beginner, logger *slog.Logger) error {
	folded, err := directory.FoldNames(ctx, db)
	if folded > 0 {
		logger.Info("made names searchable", "names", folded)
	}
	return err
}

// sweep calls sweep immediately, and then every sweepEvery until ctx ends.
func sweep(ctx context.Context, logger *slog.Logger, what string, sweep func(context.Context) error) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := sweep(ctx); err != nil && ctx.Err() == nil {
			logger.Warn(what, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// organisationOf returns the clinic's identity provider, and what it decides.
func organisationOf(c config.Config) (*oidc.Issuer, access.Organisation, error) {
	mapping, err := groups.Parse(c.OIDCPermissions)
	if err != nil {
		return nil, access.Organisation{}, fmt.Errorf("reading OIDC_PERMISSIONS: %w", err)
	}
	cfg := oidc.Config{Issuer: c.OIDCIssuer, ClientID: c.OIDCClientID, ClientSecret: c.OIDCClientSecret,
		RedirectURL: strings.TrimSuffix(c.PublicURL, "/") + oidc.CallbackPath, SecondFactor: oidc.ParseSecondFactor(c.OIDCRequireMFA)}
	for scope := range strings.SplitSeq(c.OIDCScopes, ",") {
		if scope = strings.TrimSpace(scope); scope != "" {
			cfg.Scopes = append(cfg.Scopes, scope)
		}
	}
	if len(mapping) > 0 {
		cfg.GroupsClaim = c.OIDCGroupsClaim
	}
	return oidc.New(cfg), access.Organisation{JustInTime: c.OIDCJIT, Groups: mapping}, nil
}
