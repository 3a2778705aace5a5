package up

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/embedded"
	"postern/internal/embedded/postgres"
	"postern/internal/eventlog"
	"postern/internal/events"
	"postern/internal/proof/checkpoint"
	"postern/internal/recorder/migrate"
	"postern/internal/recorder/position"
	"postern/internal/store"
)

// stopTimeout is the timeout for stopping the stores cleanly.
const stopTimeout = 30 * time.Second

// Stores are the running Postgres and NATS of a folder.
type Stores struct {
	Addresses
	folder   *Folder
	postgres *postgres.Server
	nats     *embedded.NATS
}

// Start starts the stores of a folder that this process owns. It takes over a Postgres that
// a crash of the former owner left running, updates the schema and the stream, and writes
// the addresses to run.json.
//
// If parts of the folder are lost, the error is a [*LostError], and nothing was made to
// replace them. The parts in renew may be lost: new ones are made.
func Start(ctx context.Context, f *Folder, log *slog.Logger, renew ...Part) (_ *Stores, err error) {
	s := &Stores{folder: f, Addresses: Addresses{PID: os.Getpid(), NATSURLs: map[string]string{}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	lost, err := s.lost(ctx, log)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(lost, func(p Part) bool { return !slices.Contains(renew, p) }) {
		return nil, &LostError{Folder: f.path, Lost: lost}
	}
	if err := f.refuseUnmade(renew); err != nil {
		return nil, err
	}
	if err := f.createKeys(); err != nil {
		return nil, err
	}
	if err := s.startPostgres(ctx, log); err != nil {
		return nil, err
	}
	if err := s.deriveManifest(ctx); err != nil {
		return nil, err
	}
	if err := s.startNATS(ctx, log); err != nil {
		return nil, err
	}
	if err := migrate.Up(ctx, s.DatabaseURL, log); err != nil {
		return nil, err
	}
	if err := f.createFolders(); err != nil {
		return nil, err
	}
	// A crash before this line leaves a folder whose first start is continued by the next
	// start. After it, no part of the folder may be missing.
	if f.manifest.State == making {
		f.manifest.State = made
		if err := f.writeManifest(); err != nil {
			return nil, err
		}
	}
	if err := position.DeleteVerdict(ctx, s.DatabaseURL); err != nil {
		return nil, err
	}
	if err := f.publish(s.Addresses); err != nil {
		return nil, err
	}
	return s, nil
}

// refuseUnmade refuses a folder without a manifest if some parts were never made and this
// process may not make them.
func (f *Folder) refuseUnmade(renew []Part) error {
	if f.manifest != nil || f.mayMake {
		return nil
	}
	unmade, err := f.missing([]Part{ContentKey, CheckpointKey, Postgres, NATS})
	if slices.ContainsFunc(unmade, func(p Part) bool { return !slices.Contains(renew, p) }) {
		return f.notMade()
	}
	return err
}

// deriveManifest makes the manifest of a folder without one. The database shows what added
// the data of the folder; --demo refuses a folder with other data than the demo's.
func (s *Stores) deriveManifest(ctx context.Context) error {
	f := s.folder
	if f.manifest != nil {
		return nil
	}
	var o origin
	err := s.ask(ctx, func(pool *pgxpool.Pool) (err error) {
		o, err = originOf(ctx, pool)
		return err
	})
	if err != nil {
		return err
	}
	if f.demo && o != fromDemo && o != unused {
		return f.notOfDemo(string(o))
	}
	f.manifest = &manifest{State: making, MadeAt: time.Now().UTC(), Demo: o == fromDemo || o == unused && f.demo}
	return nil
}

// lost returns the parts that the folder has lost. For a folder without a manifest it also
// reads the database, and leaves that running.
func (s *Stores) lost(ctx context.Context, log *slog.Logger) ([]Part, error) {
	f := s.folder
	lost, err := f.lost()
	if err != nil || f.manifest != nil || slices.Contains(lost, Postgres) {
		return lost, err
	}
	if there, err := f.has(Postgres); err != nil || !there {
		return lost, err
	}
	if err := s.startPostgres(ctx, log); err != nil {
		return nil, err
	}
	var more []Part
	err = s.ask(ctx, func(pool *pgxpool.Pool) (err error) {
		more, err = f.lostByHistory(ctx, pool)
		return err
	})
	return slices.DeleteFunc(Parts(), func(p Part) bool { return !slices.Contains(lost, p) && !slices.Contains(more, p) }), err
}

// ask opens the database as its owner for a few queries.
func (s *Stores) ask(ctx context.Context, ask func(*pgxpool.Pool) error) error {
	pool, err := store.Open(ctx, s.DatabaseURL, store.RoleAdmin, 1, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	return ask(pool)
}

// startPostgres starts Postgres unless it runs.
func (s *Stores) startPostgres(ctx context.Context, log *slog.Logger) (err error) {
	if s.postgres != nil {
		return nil
	}
	s.postgres, err = postgres.Start(ctx, postgres.Config{
		Dir: s.folder.join(string(Postgres)), BinDir: os.Getenv("PG_BIN"), Logger: log})
	if err != nil {
		return err
	}
	s.DatabaseURL = s.postgres.URL()
	return nil
}

func (s *Stores) startNATS(ctx context.Context, log *slog.Logger) error {
	var users []embedded.User
	for _, process := range eventlog.Processes() {
		p := eventlog.PermissionsOf(process)
		users = append(users, embedded.User{
			Name: process, Password: rand.Text(), Publish: p.Publish, Subscribe: p.Subscribe})
	}
	var err error
	s.nats, err = embedded.StartNATS(ctx, embedded.NATSConfig{
		StoreDir: s.folder.join(string(NATS)), Listen: "127.0.0.1:0", Users: users, Logger: log})
	if err != nil {
		return err
	}
	for _, u := range users {
		s.NATSURLs[u.Name] = s.nats.ClientURL(u.Name)
	}
	return s.ensureStream(ctx, log)
}

func (s *Stores) ensureStream(ctx context.Context, log *slog.Logger) error {
	admin, err := eventlog.Connect(ctx, eventlog.Config{URL: s.NATSURLs[events.Admin], Name: "postern up", Logger: log})
	if err != nil {
		return err
	}
	defer admin.Close()
	return admin.Ensure(ctx, 1)
}

// Serving adds the URL of the HTTP server to run.json.
func (s *Stores) Serving(url string) error {
	s.URL = url
	return s.folder.publish(s.Addresses)
}

// EmptyStream renames the damaged folder of NATS to a name with the time, and starts an
// empty stream. This is the first half of a repair.
func (s *Stores) EmptyStream(ctx context.Context, log *slog.Logger) error {
	if err := s.nats.Shutdown(); err != nil {
		return err
	}
	aside := s.folder.join("nats.damaged-" + time.Now().UTC().Format("20060102T150405Z"))
	if err := os.Rename(s.folder.join(string(NATS)), aside); err != nil {
		return fmt.Errorf("renaming the damaged stream: %w", err)
	}
	if err := s.startNATS(ctx, log); err != nil {
		return err
	}
	return s.folder.publish(s.Addresses)
}

// PostgresDied returns a channel that is closed if Postgres ends unexpectedly.
func (s *Stores) PostgresDied() <-chan struct{} { return s.postgres.Done() }

// Stop stops both stores. All acknowledged data is on disk.
func (s *Stores) Stop() error {
	var errs []error
	if s.nats != nil {
		errs = append(errs, s.nats.Shutdown())
	}
	if s.postgres != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		errs = append(errs, s.postgres.Stop(ctx))
	}
	return errors.Join(errs...)
}

// createKeys makes the missing keys that are stored in the folder. A key whose path the
// environment sets must exist: a new one could not decrypt any content.
func (f *Folder) createKeys() error {
	if f.keeps(ContentKey) {
		if _, err := content.CreateKeyFile(f.ContentKeyFile()); err != nil {
			return err
		}
	}
	if f.keeps(CheckpointKey) {
		if _, err := checkpoint.CreateKeyFile(f.CheckpointKeyFile(), ""); err != nil {
			return err
		}
	}
	return nil
}

// createFolders makes the missing folders of the content and the archive that are stored in
// the folder.
func (f *Folder) createFolders() error {
	for _, p := range []Part{Content, Archive} {
		if !f.keeps(p) {
			continue
		}
		if err := os.Mkdir(f.join(string(p)), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("making the folder of the %s: %w", p, err)
		}
	}
	return nil
}

// ContentURL returns the address of the encrypted content: the folder's own, unless the
// environment sets another one.
func (f *Folder) ContentURL() string {
	return cmp.Or(os.Getenv("CONTENT_URL"), f.join(string(Content)))
}

// ContentKeyFile returns the path of the key of all content: the folder's own, unless the
// environment sets another one.
func (f *Folder) ContentKeyFile() string {
	return cmp.Or(os.Getenv("CONTENT_KEY_FILE"), f.join(string(ContentKey)))
}

// CheckpointKeyFile returns the path of the key that signs checkpoints of the record: the
// folder's own, unless the environment sets another one.
func (f *Folder) CheckpointKeyFile() string {
	return cmp.Or(os.Getenv("CHECKPOINT_KEY_FILE"), f.join(string(CheckpointKey)))
}

// ArchiveURL returns the address for checkpoints and sealed segments: the folder's own,
// unless the environment sets another one. A folder beside the stores is no protection from
// an attacker with access to the machine.
func (f *Folder) ArchiveURL() string {
	return cmp.Or(os.Getenv("ARCHIVE_URL"), f.join(string(Archive)))
}

// freeSpace returns the free space on the disk of the record, in bytes.
func (s *Stores) freeSpace() (int64, error) { return embedded.FreeBytes(s.folder.join(string(NATS))) }
