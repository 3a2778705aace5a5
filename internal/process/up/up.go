package up

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/internal/config"
	"postern/internal/process"
	"postern/internal/telemetry"
)

// Options are those of `postern up`.
type Options struct {
	Data   string
	Listen string
	Demo   bool
	Out    io.Writer // receives the demo's accounts and the ready line
	Logger *slog.Logger
	// Settings receives the log lines with the settings of this process.
	Settings *slog.Logger
}

// ErrSettings is the error for wrong settings in the environment or on the command line.
var ErrSettings = errors.New("wrong settings")

// Run runs the system over the data folder until ctx ends, and then stops everything that
// it started. If the process is killed, the next Run continues with the folder.
func Run(ctx context.Context, o Options) (err error) {
	if o.Demo {
		if err := mustBeLoopback(ctx, o.Listen); err != nil {
			return fmt.Errorf("%w:\n  %w", ErrSettings, err)
		}
	}
	folder, err := Create(o.Data, o.Demo)
	if errors.Is(err, ErrInUse) {
		return fmt.Errorf("%w: is another `postern up` running? Stop it, or choose another folder with --data", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Release()) }()
	if folder.fresh { // or the folder's name was mistyped
		o.Settings.Info("making a new system: there was none", "data", folder.Path())
	}
	stores, err := Start(ctx, folder, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.Stop()) }()

	settings, err := o.settings(folder, stores)
	if err := check(&settings, err); err != nil {
		return err
	}
	o.Settings.Info("starting", "process", "postern up", "config", settings)
	process.LogZone(o.Settings, settings)
	if !o.Demo {
		if err := stores.checkDemoAccounts(ctx, isLoopback(ctx, settings.ListenAddr, settings.PublicURL), o.Logger); err != nil {
			return err
		}
	}
	tell, err := telemetry.Start(ctx, "postern", settings.OTLPEndpoint)
	if err != nil {
		return err
	}
	defer process.CloseTelemetry(tell)
	if err := process.Fit(ctx, stores.as(config.API, settings), tell, o.Logger); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return stores.keepPostgres(ctx, o.Logger) })
	group.Go(func() error { return stores.keepSpace(ctx) })
	tell.WatchDisk(stores.free)
	var mount func(http.Handler) http.Handler
	var demo *standIn
	if o.Demo {
		if demo, err = startDemo(ctx, group); err != nil {
			return err
		}
		mount = demo.mount
		settings.SendGridBaseURL, settings.SendGridAPIKey, settings.AlertFrom = demo.url, demo.key, demo.from
	}
	notify, web := stores.as(config.Notify, settings), stores.as(config.API, settings)
	if o.Demo {
		web.SendGridWebhookPublicKey = demo.webhook.PublicKey()
	}
	group.Go(func() error { return process.Recorder(ctx, stores.as(config.Recorder, settings), tell, o.Logger) })
	group.Go(func() error { return process.Fanout(ctx, stores.as(config.Fanout, settings), tell, o.Logger) })
	group.Go(func() error {
		if notify.SendGridAPIKey == "" {
			o.Logger.Warn("no alerts are sent: set SENDGRID_API_KEY and ALERT_FROM, or run with --demo")
			return nil
		}
		return process.Notify(ctx, notify, tell, o.Logger)
	})
	group.Go(func() error {
		return process.ServeAPI(ctx, web, tell, o.Logger, process.Front{Mount: mount, Checks: stores.checks(), FreeSpace: stores.freeSpace, Ready: func(url string) error {
			if err := stores.Serving(url); err != nil {
				return err
			}
			if o.Demo {
				if err := setUpDemo(ctx, stores, o.Out, url); err != nil {
					return fmt.Errorf("setting up the demo: %w", err)
				}
				group.Go(func() error { return demo.report(ctx, url) })
			}
			_, err := fmt.Fprintf(o.Out, "ready url=%s\n", url)
			return err
		}})
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// settings returns the settings for all roles of this process: the folder's stores and,
// from the environment, the settings for external services.
func (o *Options) settings(f *Folder, s *Stores) (config.Config, error) {
	c, err := config.Embedded(os.Environ())
	c.DatabaseURL, c.NATSURL, c.RecordReplicas = s.DatabaseURL, s.NATSURLs[string(config.API)], 1
	c.ContentURL, c.ContentKeyFile = f.ContentURL(), f.ContentKeyFile()
	c.CheckpointKeyFile, c.ArchiveURL = f.CheckpointKeyFile(), f.ArchiveURL()
	if o.Demo { // the demo uses the stand-in instead of SendGrid
		c.SendGridAPIKey, c.SendGridBaseURL, c.AlertFrom = "", "", ""
	}
	c.NATSCAFile, c.NATSCertFile, c.NATSKeyFile, c.NATSCredentialsFile = "", "", "", "" // the embedded server listens on loopback
	if o.Demo {                                                                         // it serves only this machine
		c.TLSCertFile, c.TLSKeyFile, c.ACMEDomains, c.BehindProxy, c.MetricsExposed = "", "", "", false, false
		c.TwoPersonDays = 0              // its accounts are new
		c.StaffSecondFactor = "optional" // its passwords are public; printAccounts says so
	}
	if c.ACMEDomains != "" {
		c.ACMEFolder = cmp.Or(c.ACMEFolder, f.join("acme"))
	}
	c.ListenAddr = o.Listen
	return c, err
}

// check returns all faults of the settings in one error, and fills in defaults.
func check(c *config.Config, parsed error) error {
	err := errors.Join(parsed, c.Check(config.API))
	if c.SendGridAPIKey != "" {
		notify := *c
		notify.ListenAddr, notify.MetricsAddr = "", ""
		err = errors.Join(err, notify.Check(config.Notify))
	}
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n") // both checks report some of the same faults
	slices.Sort(lines)
	return fmt.Errorf("%w:\n%s", ErrSettings, strings.Join(slices.Compact(lines), "\n"))
}

// as returns the settings of one role, with its own NATS user. The workers of this process
// serve no HTTP.
func (s *Stores) as(p config.Process, c config.Config) config.Config {
	c.NATSURL = s.NATSURLs[string(p)]
	if p != config.API {
		c.ListenAddr, c.MetricsAddr = "", ""
	}
	return c
}

// keepPostgres starts Postgres again if it ends unexpectedly. All other parts wait until it
// answers again.
func (s *Stores) keepPostgres(ctx context.Context, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.postgres.Done():
		}
		log.Error("Postgres has ended, starting it again")
		for err := s.postgres.Restart(ctx); err != nil && ctx.Err() == nil; err = s.postgres.Restart(ctx) {
			log.Error("Postgres could not be started; trying again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// keepSpace makes NATS refuse events before the disk is full.
func (s *Stores) keepSpace(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	return s.nats.WatchSpace(ctx, tick.C)
}

// checks returns the checks of /readyz that only this process has.
func (s *Stores) checks() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{"disk": func(context.Context) error { return s.nats.CheckSpace() }}
}

// free returns the free space in bytes for a gauge, -1 if it is unknown.
func (s *Stores) free() float64 {
	n, err := s.nats.FreeBytes()
	if err != nil {
		return -1
	}
	return float64(n)
}
