package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"postern/internal/access"
	"postern/internal/clinic/clinicstore"
	"postern/internal/config"
	"postern/internal/content"
	"postern/internal/eventlog"
	"postern/internal/eventlog/facts"
	"postern/internal/events"
	"postern/internal/process"
	"postern/internal/process/up"
	"postern/internal/recorder"
	"postern/internal/recorder/position"
	"postern/internal/store"
)

// waitForRecorder is how long a verb waits until its change is projected.
const waitForRecorder = 30 * time.Second

// system is the system on which a verb works.
type system struct {
	pool     *pgxpool.Pool
	log      *eventlog.Log
	position *position.Watcher
	stores   *up.Stores // nil unless the verb started them
	folder   *up.Folder // of the embedded system, in this process or another; nil: the environment names the stores
	url      string     // of the HTTP server of an embedded system that runs in another process; "": none

	closers []func() error
}

// open connects to the system, or starts it without its web server and workers. The parts in
// renew may be lost: new ones are made.
func (env *environment) open(ctx context.Context, renew ...up.Part) (_ *system, err error) {
	s := &system{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	stores, err := env.addresses(ctx, s, renew)
	if err != nil {
		return nil, err
	}
	return s, s.connect(ctx, env, stores)
}

// addresses returns the settings of the stores.
func (env *environment) addresses(ctx context.Context, s *system, renew []up.Part) (stores config.Config, err error) {
	named, err := config.Stores(os.Environ())
	if err != nil {
		return config.Config{}, usageError{err}
	}
	if named.DatabaseURL != "" && named.NATSURL != "" {
		return named, nil
	}
	if named.DatabaseURL != "" || named.NATSURL != "" {
		return config.Config{}, usageError{errors.New("set both DATABASE_URL and NATS_URL, or neither for the embedded system")}
	}
	folder, err := up.Open(env.data)
	if errors.Is(err, up.ErrInUse) {
		if s.folder, err = up.Locate(env.data); err != nil {
			return config.Config{}, err
		}
		a, err := up.Running(ctx, env.data)
		s.url = a.URL
		return config.Config{DatabaseURL: a.DatabaseURL, NATSURL: a.NATSURLs[events.Admin]}, err
	}
	if err != nil {
		return config.Config{}, err
	}
	s.folder = folder
	s.closers = append(s.closers, folder.Release)
	if s.stores, err = up.Start(ctx, folder, env.logger(), renew...); err != nil {
		return config.Config{}, err
	}
	s.closers = append(s.closers, s.stores.Stop)
	return config.Config{DatabaseURL: s.stores.DatabaseURL, NATSURL: s.stores.NATSURLs[events.Admin]}, nil
}

func (s *system) connect(ctx context.Context, env *environment, stores config.Config) error {
	log := env.logger()
	var err error
	if s.pool, err = store.Open(ctx, stores.DatabaseURL, store.RoleAdmin, 8, log); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { s.pool.Close(); return nil })
	if s.log, err = process.ConnectLog(ctx, stores, "postern", log); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { s.log.Close(); return nil })
	if s.folder == nil {
		if err := s.mustExist(ctx); err != nil {
			return err
		}
	}
	s.position = position.NewWatcher(s.pool, log)
	s.background(ctx, s.position.Run)
	if s.stores != nil {
		s.background(ctx, recorder.New(recorder.Config{Log: s.log, Pool: s.pool, Logger: log}).Run)
	}
	return nil
}

// vacuum vacuums and analyzes tables, if the login user may.
func (s *system) vacuum(ctx context.Context, tables ...string) error {
	return store.Vacuum(ctx, s.pool.Config().ConnString(), tables...)
}

// mustExist refuses a database without the tables of a system, and a NATS without its stream.
func (s *system) mustExist(ctx context.Context) error {
	var tables bool
	if err := s.pool.QueryRow(ctx, `SELECT to_regclass('record.position') IS NOT NULL`).Scan(&tables); err != nil {
		return fmt.Errorf("looking for the tables: %w", err)
	}
	if !tables {
		return fmt.Errorf("%w in the database that DATABASE_URL names: it has no tables of Postern. Name the right database, or make a system with `postern migrate`", up.ErrNoSystem)
	}
	stream, err := s.log.Exists(ctx)
	if err != nil {
		return err
	}
	if !stream {
		return fmt.Errorf("%w at NATS_URL: there is no stream %s. Name the right servers. If the stream is lost, make an empty one with `postern migrate`, and restore it with `postern repair`",
			up.ErrNoSystem, eventlog.Stream)
	}
	return nil
}

// background runs f until the system is closed.
func (s *system) background(ctx context.Context, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error { return f(ctx) })
	s.closers = append(s.closers, func() error { cancel(); return group.Wait() })
}

// close undoes open, the last first.
func (s *system) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// wait waits until the recorder has projected seq.
func (s *system) wait(ctx context.Context, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, waitForRecorder)
	defer cancel()
	if err := s.position.Wait(ctx, seq); err != nil {
		return fmt.Errorf("it is recorded, but not in the tables yet: %w (is a recorder running?)", err)
	}
	return nil
}

func (s *system) gate() (*access.Gate, error) {
	return access.New(access.Config{Pool: s.pool, Clinic: clinicstore.New(clinicstore.Config{Pool: s.pool, Name: config.ClinicName(os.Environ())}).Name, Facts: facts.Publisher{Source: "/postern", Send: s.log.Publish, Reached: s.wait}})
}

// publicURL returns the address at which people reach the portal, "" if it is not known.
func (s *system) publicURL() string { return cmp.Or(os.Getenv("PUBLIC_URL"), s.url) }

// with opens the system, calls f, and closes the system.
func (env *environment) with(ctx context.Context, f func(*system) error, renew ...up.Part) error {
	s, err := env.open(ctx, renew...)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.close())
}

// checkpointKeyFile and archiveURL return the setting from the environment, or the path in the
// data folder of the embedded system.
func (env *environment) checkpointKeyFile(s *system) string {
	if s.folder == nil {
		return os.Getenv("CHECKPOINT_KEY_FILE")
	}
	return s.folder.CheckpointKeyFile()
}

func (env *environment) archiveURL(s *system) string {
	if s.folder == nil {
		return os.Getenv("ARCHIVE_URL")
	}
	return s.folder.ArchiveURL()
}

// contentStore opens the content store, or returns nil if the environment does not set it. Close
// it, even if it is nil, with closeStore.
func (env *environment) contentStore(ctx context.Context, s *system) (kept *content.Store, closeStore func(), err error) {
	url, keyFile := os.Getenv("CONTENT_URL"), os.Getenv("CONTENT_KEY_FILE")
	if s.folder != nil {
		url, keyFile = s.folder.ContentURL(), s.folder.ContentKeyFile()
	}
	if url == "" || keyFile == "" {
		return nil, func() {}, nil
	}
	if kept, err = content.Open(ctx, url, keyFile); err != nil {
		return nil, func() {}, err
	}
	return kept, func() { _ = kept.Close() }, nil
}
