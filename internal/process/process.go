// Package process wires each process from its settings and runs it: each of the four commands
// runs one role, and `postern up` runs all of them in one process.
//
// A role may be started before its dependencies: it waits for them, and logs each reason once.
// It runs until its context ends, also over restarts of NATS and Postgres. Then it finishes its
// current work or gives it back.
//
// # Size
//
// The wiring of all roles is one package, because `postern up` has all of them: what they share
// must be seen in one place.
package process

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"postern/internal/config"
	"postern/internal/content"
	"postern/internal/eventlog"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/health"
	"postern/internal/proof/entrykey"
	"postern/internal/recorder/position"
	"postern/internal/store"
	"postern/internal/telemetry"
	"postern/internal/text/zone"
)

// base has the dependencies that all roles share.
type base struct {
	config.Config
	process   config.Process
	telemetry *telemetry.Telemetry
	logger    *slog.Logger
	pool      *pgxpool.Pool
	log       *eventlog.Log
	publish   func(context.Context, ...events.Event) (uint64, error)
	facts     facts.Publisher // without its source
	position  *position.Watcher
	health    *health.Status
}

// open connects a role, and waits until the schema and the stream exist. It makes them if the
// users of the role may.
func open(ctx context.Context, c config.Config, p config.Process, role store.Role, conns int32, tell *telemetry.Telemetry, logger *slog.Logger) (*base, error) {
	logger = logger.With("process", string(p))
	logger.Info("starting", "config", c)
	LogZone(logger, c)
	if err := store.TryMigrate(ctx, c.DatabaseURL, logger); err != nil {
		return nil, err
	}
	b := &base{Config: c, process: p, telemetry: tell, logger: logger}
	var err error
	if b.pool, err = store.Open(ctx, c.DatabaseURL, role, conns, logger); err != nil {
		return nil, err
	}
	if b.log, err = ConnectLog(ctx, c, string(p), logger); err != nil {
		b.pool.Close()
		return nil, err
	}
	err = b.log.Ensure(ctx, c.RecordReplicas)
	switch {
	case errors.Is(err, eventlog.ErrMoreReplicas):
		logger.Warn("RECORD_REPLICAS is not what the record has", "reason", err)
		err = nil
	case err != nil && !errors.Is(err, eventlog.ErrUnsafeStream):
		logger.Debug("this process does not make the stream", "reason", err)
		if err = b.log.WaitReady(ctx); err == nil {
			b.warnOfFewReplicas(ctx)
		}
	}
	if err != nil {
		b.close()
		return nil, err
	}
	b.warnOfReplicas(ctx)
	b.publish = tell.Publishing(b.log.Publish)
	b.position = position.NewWatcher(b.pool, logger)
	b.facts = facts.Publisher{Send: b.publish, EntryKey: entrykey.Seals(b.pool).Key}
	b.health = health.New(health.Config{Pool: b.pool, Log: b.log, Position: b.position, Now: zone.Now})
	return b, nil
}

// LogZone says at the start which time zone people see.
func LogZone(logger *slog.Logger, c config.Config) {
	from := "TIME_ZONE"
	if c.TimeZone == "" {
		from = "this machine; set TIME_ZONE if the clinic has another"
	}
	logger.Info("times for people are in the clinic's time zone", "zone", zone.Long(time.Now()), "from", from)
}

// ConnectLog connects to the record by the settings of NATS; see [eventlog.Connect].
func ConnectLog(ctx context.Context, c config.Config, name string, logger *slog.Logger) (*eventlog.Log, error) {
	return eventlog.Connect(ctx, eventlog.Config{URL: c.NATSURL, Name: name, Logger: logger, CredentialsFile: c.NATSCredentialsFile,
		TLS: eventlog.TLS{CAFile: c.NATSCAFile, CertFile: c.NATSCertFile, KeyFile: c.NATSKeyFile}})
}

// ensureEntryKey makes the key that hides the people whom events name, if there is none.
func (b *base) ensureEntryKey(kept *content.Store) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			err := entrykey.Ensure(ctx, b.pool, kept)
			if err == nil || ctx.Err() != nil {
				return nil
			}
			b.logger.Warn("events name people to everyone who may read the record until this succeeds", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

// vacuum vacuums and analyzes tables, if the login user may.
func (b *base) vacuum(ctx context.Context, tables ...string) error {
	return store.Vacuum(ctx, b.DatabaseURL, tables...)
}

// last returns the sequence of the last event on the record.
func (b *base) last(ctx context.Context) (uint64, error) {
	state, err := b.log.State(ctx)
	return state.Last, err
}

// warnOfReplicas warns at the start if a failover of Postgres would lose commits.
func (b *base) warnOfReplicas(ctx context.Context) {
	r, err := store.ReadReplication(ctx, b.pool)
	if err != nil {
		b.logger.Warn("the replicas of Postgres are not known", "error", err)
		return
	}
	if warning := r.Warning(); warning != "" {
		b.logger.Warn(warning, "replicas", r.Replicas)
	}
}

// warnOfFewReplicas warns if the stream has too few replicas, and this process may not add any.
func (b *base) warnOfFewReplicas(ctx context.Context) {
	if n, err := b.log.Replicas(ctx); err == nil && n < b.RecordReplicas {
		b.logger.Warn("the record has fewer replicas than RECORD_REPLICAS: run `postern migrate` with the same setting", "replicas", n, "wanted", b.RecordReplicas)
	}
}

// reachTimeout is how long a start waits for a bucket that does not answer.
const reachTimeout = 5 * time.Second

// reach logs at the start if a bucket can't be reached, for example because of wrong settings.
// The process continues: users of the bucket retry, and nothing else waits for it.
func (b *base) reach(ctx context.Context, what, address string, try func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if err := try(ctx); err != nil {
		b.logger.Error("the "+what+" can't be reached", "address", address, "error", err)
	}
}

func (b *base) close() {
	b.log.Close()
	b.pool.Close()
}

// run runs the parts of a role until ctx ends or one of them fails. The watcher of the position
// ends last, because handlers that are finishing need it.
func (b *base) run(ctx context.Context, parts ...func(context.Context) error) error {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watcher errgroup.Group
	watcher.Go(func() error { return b.position.Run(watching) })
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		group.Go(func() error { return part(ctx) })
	}
	err := group.Wait()
	stop()
	_ = watcher.Wait()
	b.logger.Info("stopped")
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
