package roles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"postern/internal/api"
	"postern/internal/config"
	"postern/internal/content"
	"postern/internal/content/clamd"
	"postern/internal/desk"
	"postern/internal/letter"
	"postern/internal/notify/sendgrid"
	"postern/internal/store"
	"postern/internal/web"
)

const (
	// drain is how long requests may take to end once the process is to stop.
	drain      = 15 * time.Second
	sweepEvery = 5 * time.Minute
)

// API runs the web process.
func API(ctx context.Context, c config.Config, logger *slog.Logger) error {
	return ServeAPI(ctx, c, logger, nil, func(url string) error {
		logger.Info("serving", "url", url)
		return nil
	})
}

// ServeAPI is [API] for a process that serves more: where mount is set it may add
// to what is served, and ready is told the address once it is.
func ServeAPI(ctx context.Context, c config.Config, logger *slog.Logger, mount func(http.Handler) http.Handler, ready func(url string) error) error {
	b, err := open(ctx, c, config.API, store.RoleAPI, 24, logger)
	if err != nil {
		return err
	}
	defer b.close()
	kept, err := content.Open(ctx, c.ContentURL, c.ContentKeyFile)
	if err != nil {
		return err
	}
	defer func() { _ = kept.Close() }()
	var scanner *clamd.Client
	if c.ClamdAddr != "" {
		scanner = clamd.New(c.ClamdAddr)
	}
	letters, closeLetters, err := lettersOf(c, b.logger)
	if err != nil {
		return err
	}
	defer closeLetters()
	d, err := desk.New(desk.Config{Pool: b.pool, Content: kept, Scanner: scanner, Publish: b.log.Publish, Position: b.position,
		Source: "/api", Secure: strings.HasPrefix(c.PublicURL, "https://"), Fail: api.Unavailable, Letters: letters})
	if err != nil {
		return err
	}
	defer d.Close()
	a := api.New(api.Config{Desk: d, Logger: b.logger, Checks: map[string]func(context.Context) error{"nats": b.connected}})
	a.Registry().MustRegister(d.Letters.Metrics())
	server := api.NewServer(a)
	server.Addr = c.ListenAddr
	server.Handler = front(server.Handler, web.New(d, b.logger))
	if mount != nil {
		server.Handler = mount(server.Handler)
	}
	return b.run(ctx, d.Letters.Run,
		func(ctx context.Context) error { return serve(ctx, server, ready) },
		func(ctx context.Context) error { return sweep(ctx, b.logger, d.Sweep) })
}

// lettersOf is how portal users are sent links to set a password: not at all where
// SendGrid is not set up.
func lettersOf(c config.Config, logger *slog.Logger) (letters letter.Config, closeAll func(), err error) {
	letters = letter.Config{PublicURL: c.PublicURL, Logger: logger}
	if c.SendGridAPIKey == "" {
		logger.Warn("no links to set a password are sent: set SENDGRID_API_KEY and ALERT_FROM")
		return letters, func() {}, nil
	}
	client, err := sendgrid.New(sendgrid.Config{BaseURL: c.SendGridBaseURL, APIKey: c.SendGridAPIKey, From: c.AlertFrom, PublicURL: c.PublicURL})
	if err != nil {
		return letter.Config{}, nil, err
	}
	letters.SendInvitation, letters.SendReset = client.SendInvitation, client.SendReset
	return letters, client.Close, nil
}

// front leads what is asked of the API to it, and everything else to the pages.
func front(api, pages http.Handler) http.Handler {
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

// serve listens until ctx ends, and then lets requests finish.
func serve(ctx context.Context, server *http.Server, ready func(url string) error) error {
	listener, err := net.Listen("tcp", server.Addr)
	if err != nil {
		return fmt.Errorf("listening at %s: %w", server.Addr, err)
	}
	if ready != nil {
		if err := ready("http://" + listener.Addr().String()); err != nil {
			return err
		}
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		stopped <- server.Shutdown(grace)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	if err := <-stopped; err != nil {
		return errors.Join(fmt.Errorf("ending requests: %w", err), server.Close())
	}
	return nil
}

// sweep deletes now and then what has expired.
func sweep(ctx context.Context, logger *slog.Logger, sweep func(context.Context) error) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := sweep(ctx); err != nil && ctx.Err() == nil {
				logger.Warn("sweeping what has expired", "error", err)
			}
		}
	}
}
