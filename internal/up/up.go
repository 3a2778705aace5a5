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
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/internal/config"
	"postern/internal/retention"
	"postern/internal/roles"
	"postern/internal/telemetry"
)

// Options are those of `postern up`.
type Options struct {
	Data   string
	Listen string
	Demo   bool
	Out    io.Writer // accounts and the ready line
	Logger *slog.Logger
}

// Run runs everything over the data folder until ctx ends, and then stops all
// that it started. Killed instead, it leaves a folder that the next Run goes on
// with.
func Run(ctx context.Context, o Options) (err error) {
	folder, err := Own(o.Data)
	if errors.Is(err, ErrInUse) {
		return fmt.Errorf("%w: is another `postern up` running? Stop it, or choose another folder with --data", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Release()) }()
	stores, err := Start(ctx, folder, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.Stop()) }()

	tell, err := telemetry.Start(ctx, "postern", os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	if err != nil {
		return err
	}
	defer roles.CloseTelemetry(tell)
	settings := func(p config.Process) config.Config { return o.settings(p, folder, stores) }
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return stores.keepPostgres(ctx, o.Logger) })
	group.Go(func() error { return stores.keepSpace(ctx) })
	tell.WatchDisk(stores.free)
	var mount func(http.Handler) http.Handler
	var demo *standIn
	notify, web := settings(config.Notify), settings(config.API)
	if web.RetentionYears, err = retentionYears(); err != nil {
		return err
	}
	if o.Demo {
		if demo, err = startDemo(ctx, group); err != nil {
			return err
		}
		mount = demo.mount
		for _, c := range []*config.Config{&notify, &web} {
			c.SendGridBaseURL, c.SendGridAPIKey, c.AlertFrom = demo.url, demo.key, demo.from
		}
		web.SendGridWebhookPublicKey = demo.webhook.PublicKey()
	}
	group.Go(func() error { return roles.Recorder(ctx, settings(config.Recorder), tell, o.Logger) })
	group.Go(func() error { return roles.Fanout(ctx, settings(config.Fanout), tell, o.Logger) })
	group.Go(func() error {
		if notify.SendGridAPIKey == "" {
			o.Logger.Warn("no alerts are sent: set SENDGRID_API_KEY and ALERT_FROM, or run with --demo")
			return nil
		}
		// An error ends the whole group, and what it runs is waited for.
		if err := notify.Check(config.Notify); err != nil {
			return fmt.Errorf("wrong settings:\n%w", err)
		}
		return roles.Notify(ctx, notify, tell, o.Logger)
	})
	group.Go(func() error {
		return roles.ServeAPI(ctx, web, tell, o.Logger, roles.Front{Mount: mount, Checks: stores.checks(), Room: stores.room, Ready: func(url string) error {
			if err := stores.Serving(url); err != nil {
				return err
			}
			if o.Demo {
				if err := furnish(ctx, stores, o.Out, url); err != nil {
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

// settings are what a role of this process is run with: the folder's stores, as
// the role's own NATS user, and from the environment what concerns the outside.
func (o *Options) settings(p config.Process, f *Folder, s *Stores) config.Config {
	c := config.Config{
		DatabaseURL: s.DatabaseURL, NATSURL: s.NATSURLs[string(p)], RecordReplicas: 1,
		ContentURL: f.ContentURL(), ContentKeyFile: f.ContentKeyFile(),
		CheckpointKeyFile: f.CheckpointKeyFile(), ArchiveURL: f.ArchiveURL(),
		PublicURL: os.Getenv("PUBLIC_URL"), ClamdAddr: os.Getenv("CLAMD_ADDR"),
		SendGridAPIKey: os.Getenv("SENDGRID_API_KEY"), SendGridBaseURL: os.Getenv("SENDGRID_BASE_URL"), AlertFrom: os.Getenv("ALERT_FROM"),
		SendGridWebhookPublicKey: os.Getenv("SENDGRID_WEBHOOK_PUBLIC_KEY"), AlertUnknownWait: config.UnknownWait,
	}
	if text := os.Getenv("ALERT_UNKNOWN_WAIT"); text != "" {
		c.AlertUnknownWait, _ = time.ParseDuration(text) // a wrong one is 0, which Check refuses
	}
	var err error
	if c.AlertFailureLimit, err = strconv.Atoi(cmp.Or(os.Getenv("ALERT_FAILURE_LIMIT"), "20")); err != nil {
		c.AlertFailureLimit = -1 // which the check of the settings names
	}
	if c.PublicURL == "" {
		c.PublicURL = "http://" + o.Listen
	}
	if p == config.API {
		c.ListenAddr = o.Listen
	}
	return c
}

// retentionYears is for how long content is kept.
func retentionYears() (int, error) {
	text := os.Getenv("RETENTION_YEARS")
	if text == "" {
		return retention.Floor, nil
	}
	years, err := strconv.Atoi(text)
	if err != nil || years < 1 || years > 1000 {
		return 0, fmt.Errorf("RETENTION_YEARS is %q; it can be 1 to 1000, and %d is what is promised", text, retention.Floor)
	}
	return years, nil
}

// keepPostgres starts Postgres again when it ends by itself; everything else
// waits for it meanwhile.
func (s *Stores) keepPostgres(ctx context.Context, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.postgres.Done():
		}
		log.Error("Postgres has ended, starting it again")
		for err := s.postgres.Restart(ctx); err != nil && ctx.Err() == nil; err = s.postgres.Restart(ctx) {
			log.Error("Postgres can't be started", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// keepSpace has NATS refuse what is published before the disk is full.
func (s *Stores) keepSpace(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	return s.nats.KeepSpace(ctx, tick.C)
}

// checks are what /readyz looks at in this process alone.
func (s *Stores) checks() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{"disk": func(context.Context) error { return s.nats.Space() }}
}

// free is a gauge: -1 where nobody knows.
func (s *Stores) free() float64 {
	n, err := s.nats.Free()
	if err != nil {
		return -1
	}
	return float64(n)
}
