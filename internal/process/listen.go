package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"postern/internal/certificate"
	"postern/internal/certificate/acme"
	"postern/internal/config"
	"postern/internal/health"
	"postern/internal/inbound"
	"postern/internal/serving"
	"postern/internal/serving/loopback"
	"postern/internal/telemetry"
)

// certificatesOf returns the certificates for LISTEN_ADDR of a process, nil if it serves plain
// HTTP.
func certificatesOf(c config.Config, p config.Process, tell *telemetry.Telemetry, logger *slog.Logger) (serving.Certificates, error) {
	var all serving.Certificates
	var err error
	switch {
	case c.ListenAddr == "":
		return nil, nil
	case c.TLSCertFile != "":
		all, err = certificate.Load(c.TLSCertFile, c.TLSKeyFile, logger)
	case p == config.API && c.ACMEDomains != "":
		all, err = acme.New(acme.Config{Names: c.ACMENames(), Email: c.ACMEEmail, Directory: c.ACMEDirectory, CAFile: c.ACMECAFile, Folder: c.ACMEFolder, Logger: logger})
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	tell.WatchCertificate(all.Expires)
	return all, nil
}

// warningsOf returns what an operator should correct about the certificates.
func warningsOf(certificates serving.Certificates) []health.Fault {
	if certificates == nil {
		return nil
	}
	if err := certificates.Fault(); err != nil {
		return []health.Fault{{Part: health.PartCertificate, Reason: err.Error()}}
	}
	return nil
}

// serve serves until ctx ends, and then waits for running requests. With certificates it serves
// https; it reads them again on SIGHUP.
func serve(ctx context.Context, server *http.Server, certificates serving.Certificates, ready func(url string) error) error {
	listener, err := net.Listen("tcp", server.Addr)
	if err != nil {
		return fmt.Errorf("listening at %s: %w", server.Addr, err)
	}
	run, url := func() error { return server.Serve(listener) }, "http://"+listener.Addr().String()
	if certificates != nil {
		server.TLSConfig = certificates.TLS()
		run, url = func() error { return server.ServeTLS(listener, "", "") }, "https://"+listener.Addr().String()
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		go reloadOnHangup(ctx, certificates)
		go func() { _ = certificates.Run(ctx) }()
	}
	if ready != nil {
		if err := ready(url); err != nil {
			return err
		}
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		stopped <- server.Shutdown(grace)
	})
	defer stop()
	if err := run(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	if err := <-stopped; err != nil {
		return errors.Join(fmt.Errorf("ending requests: %w", err), server.Close())
	}
	return nil
}

// reloadOnHangup reads the certificates again on each SIGHUP.
func reloadOnHangup(ctx context.Context, certificates serving.Certificates) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			certificates.Reload()
		}
	}
}

// serveOperators answers at METRICS_ADDR, if the process has one.
func (b *base) serveOperators(o serving.Operators) func(context.Context) error {
	return func(ctx context.Context) error {
		if b.MetricsAddr == "" {
			<-ctx.Done()
			return nil
		}
		server := inbound.NewServer(o.Handler(), nil, b.logger)
		server.Addr = b.MetricsAddr
		return serve(ctx, server, nil, nil)
	}
}

// isLocal reports whether LISTEN_ADDR can be reached from this machine alone.
func (b *base) isLocal(ctx context.Context) bool { return loopback.Check(ctx, b.ListenAddr) == nil }
