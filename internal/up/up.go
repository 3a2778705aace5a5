package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/internal/config"
	"postern/internal/roles"
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

	settings := func(p config.Process) config.Config { return o.settings(p, folder, stores) }
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return stores.keepPostgres(ctx, o.Logger) })
	var mount func(http.Handler) http.Handler
	notify, web := settings(config.Notify), settings(config.API)
	if o.Demo {
		demo, err := startDemo(ctx, group)
		if err != nil {
			return err
		}
		mount = demo.mount
		for _, c := range []*config.Config{&notify, &web} {
			c.SendGridBaseURL, c.SendGridAPIKey, c.AlertFrom = demo.url, demo.key, demo.from
		}
	}
	group.Go(func() error { return roles.Recorder(ctx, settings(config.Recorder), o.Logger) })
	group.Go(func() error { return roles.Fanout(ctx, settings(config.Fanout), o.Logger) })
	group.Go(func() error {
		if notify.SendGridAPIKey == "" {
			o.Logger.Warn("no alerts are sent: set SENDGRID_API_KEY and ALERT_FROM, or run with --demo")
			return nil
		}
		// An error ends the whole group, and what it runs is waited for.
		if err := notify.Check(config.Notify); err != nil {
			return fmt.Errorf("wrong settings:\n%w", err)
		}
		return roles.Notify(ctx, notify, o.Logger)
	})
	group.Go(func() error {
		return roles.ServeAPI(ctx, web, o.Logger, mount, func(url string) error {
			if err := stores.Serving(url); err != nil {
				return err
			}
			if o.Demo {
				if err := furnish(ctx, stores, o.Out, url); err != nil {
					return fmt.Errorf("setting up the demo: %w", err)
				}
			}
			_, err := fmt.Fprintf(o.Out, "ready url=%s\n", url)
			return err
		})
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
		PublicURL: os.Getenv("PUBLIC_URL"), ClamdAddr: os.Getenv("CLAMD_ADDR"),
		SendGridAPIKey: os.Getenv("SENDGRID_API_KEY"), SendGridBaseURL: os.Getenv("SENDGRID_BASE_URL"), AlertFrom: os.Getenv("ALERT_FROM"),
		SendGridWebhookPublicKey: os.Getenv("SENDGRID_WEBHOOK_PUBLIC_KEY"),
	}
	if c.PublicURL == "" {
		c.PublicURL = "http://" + o.Listen
	}
	if p == config.API {
		c.ListenAddr = o.Listen
	}
	return c
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
