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
	"postern/internal/store"
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
	d, err := desk.New(desk.Config{Pool: b.pool, Content: kept, Scanner: scanner, Publish: b.log.Publish, Position: b.position,
		Source: "/api", Secure: strings.HasPrefix(c.PublicURL, "https://"), Fail: api.Unavailable})
	if err != nil {
		return err
	}
	a := api.New(api.Config{Desk: d, Logger: b.logger, Checks: map[string]func(context.Context) error{"nats": b.connected}})
	server := api.NewServer(a)
	server.Addr = c.ListenAddr
	if mount != nil {
		server.Handler = mount(server.Handler)
	}
	return b.run(ctx,
		func(ctx context.Context) error { return serve(ctx, server, ready) },
		func(ctx context.Context) error { return sweep(ctx, b.logger, d.Sweep) })
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
