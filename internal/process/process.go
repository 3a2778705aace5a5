// Package process wires each process from its settings and runs it: the four
// commands run one role each, `postern up` all of them in one process.
//
// A role may be started before anything that it needs: it waits, and says once
// what for. It runs until its context ends, over restarts of NATS and Postgres,
// and then finishes the work in hand or hands it back.
package process

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"postern/internal/config"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/health"
	"postern/internal/recorder/position"
	"postern/internal/store"
	"postern/internal/telemetry"
)

// base is what every role stands on.
type base struct {
	config.Config
	process   config.Process
	telemetry *telemetry.Telemetry
	logger    *slog.Logger
	pool      *pgxpool.Pool
	log       *eventlog.Log
	publish   func(context.Context, ...events.Event) (uint64, error)
	position  *position.Watcher
	health    *health.Status
}

// open connects a role and waits until schema and stream are there, making them
// where its users may.
func open(ctx context.Context, c config.Config, p config.Process, role store.Role, conns int32, tell *telemetry.Telemetry, logger *slog.Logger) (*base, error) {
	logger = logger.With("process", string(p))
	logger.Info("starting", "config", c)
	if err := store.TryMigrate(ctx, c.DatabaseURL, logger); err != nil {
		return nil, err
	}
	b := &base{Config: c, process: p, telemetry: tell, logger: logger}
	var err error
	if b.pool, err = store.Open(ctx, c.DatabaseURL, role, conns, logger); err != nil {
		return nil, err
	}
	if b.log, err = eventlog.Connect(ctx, eventlog.Config{URL: c.NATSURL, Name: string(p), Logger: logger}); err != nil {
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
	b.health = &health.Status{Pool: b.pool, Log: b.log, Position: b.position, Now: time.Now}
	return b, nil
}

// last gives the sequence of the last event on the record.
func (b *base) last(ctx context.Context) (uint64, error) {
	state, err := b.log.State(ctx)
	return state.Last, err
}

// warnOfReplicas warns at the start where a failover of Postgres would lose commits.
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

// warnOfFewReplicas says where the stream has fewer replicas than it should have, and this
// process may not add them.
func (b *base) warnOfFewReplicas(ctx context.Context) {
	if n, err := b.log.Replicas(ctx); err == nil && n < b.RecordReplicas {
		b.logger.Warn("the record has fewer replicas than RECORD_REPLICAS: run `postern migrate` with the same setting", "replicas", n, "wanted", b.RecordReplicas)
	}
}

// reachWithin is how long a start may take over a bucket that does not answer.
const reachWithin = 5 * time.Second

// reach says at the start what is wrong with a bucket's settings. The process goes
// on all the same: what needs the bucket tries again, and nothing else waits for it.
func (b *base) reach(ctx context.Context, what, address string, try func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	if err := try(ctx); err != nil {
		b.logger.Error("the "+what+" can't be reached", "address", address, "error", err)
	}
}

func (b *base) close() {
	b.log.Close()
	b.pool.Close()
}

// run runs the parts of a role until ctx ends or one of them fails. The watcher
// of the position outlives the others: handlers that are finishing need it.
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
