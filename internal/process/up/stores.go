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
	"postern/internal/eventlog"
	"postern/internal/proof/checkpoint"
	"postern/internal/recorder/position"
	"postern/internal/store"
)

// stopTimeout bounds how long the stores may take to stop cleanly.
const stopTimeout = 30 * time.Second

// Stores are the Postgres and the NATS of a folder, running and set up.
type Stores struct {
	Addresses
	folder   *Folder
	postgres *embedded.Postgres
	nats     *embedded.NATS
}

// Start starts the stores of a folder that this process owns, adopts what a
// crash of its former owner left running, brings the schema and the stream up to
// date, and says in run.json how to reach them.
//
// Where parts of the folder were lost, the error is a [*LostError], and nothing was made in
// their place. Parts that renew names may be lost: new ones are made.
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
	if err := s.learn(ctx); err != nil {
		return nil, err
	}
	if err := s.startNATS(ctx, log); err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx, s.DatabaseURL, log); err != nil {
		return nil, err
	}
	if err := f.createFolders(); err != nil {
		return nil, err
	}
	// A crash before this line leaves a folder whose first start the next start continues;
	// after it, a folder in which no part may be missing.
	if f.manifest.State == making {
		f.manifest.State = made
		if err := f.writeManifest(); err != nil {
			return nil, err
		}
	}
	if err := position.Unchecked(ctx, s.DatabaseURL); err != nil {
		return nil, err
	}
	if err := f.publish(s.Addresses); err != nil {
		return nil, err
	}
	return s, nil
}

// refuseUnmade refuses a folder without a manifest in which some parts were never made and
// this process may not make them.
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

// learn gives a manifest to a folder without one. The database says who filled the folder;
// --demo refuses one that it did not fill itself.
func (s *Stores) learn(ctx context.Context) error {
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

// lost gives the parts that the folder has lost. For a folder without a manifest it also asks
// the database, and leaves it running.
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

// ask opens the database, as its owner, for a few questions.
func (s *Stores) ask(ctx context.Context, ask func(*pgxpool.Pool) error) error {
	pool, err := store.Open(ctx, s.DatabaseURL, store.RoleAdmin, 1, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	return ask(pool)
}

// startPostgres starts it unless it runs.
func (s *Stores) startPostgres(ctx context.Context, log *slog.Logger) (err error) {
	if s.postgres != nil {
		return nil
	}
	s.postgres, err = embedded.StartPostgres(ctx, embedded.PostgresConfig{
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
	admin, err := eventlog.Connect(ctx, eventlog.Config{URL: s.NATSURLs[eventlog.Admin], Name: "postern up", Logger: log})
	if err != nil {
		return err
	}
	defer admin.Close()
	return admin.Ensure(ctx, 1)
}

// Serving adds to run.json where HTTP is served.
func (s *Stores) Serving(url string) error {
	s.URL = url
	return s.folder.publish(s.Addresses)
}

// EmptyStream puts the damaged folder of NATS aside, under a name that says
// when, and starts an empty one: the first half of a repair.
func (s *Stores) EmptyStream(ctx context.Context, log *slog.Logger) error {
	if err := s.nats.Shutdown(); err != nil {
		return err
	}
	aside := s.folder.join("nats.damaged-" + time.Now().UTC().Format("20060102T150405Z"))
	if err := os.Rename(s.folder.join(string(NATS)), aside); err != nil {
		return fmt.Errorf("putting the damaged stream aside: %w", err)
	}
	if err := s.startNATS(ctx, log); err != nil {
		return err
	}
	return s.folder.publish(s.Addresses)
}

// PostgresDied is closed when Postgres ends without having been told to.
func (s *Stores) PostgresDied() <-chan struct{} { return s.postgres.Done() }

// Stop stops both stores; what they acknowledged is on disk.
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

// createKeys makes the keys that the folder keeps, where they are not there yet. A key that
// the environment names elsewhere must exist: a new one could read nothing.
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

// createFolders makes the folders of the content and the archive, likewise.
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

// ContentURL is where the encrypted content is: the folder's own, unless the
// environment names another place.
func (f *Folder) ContentURL() string {
	return cmp.Or(os.Getenv("CONTENT_URL"), f.join(string(Content)))
}

// ContentKeyFile is the file of the key of all content, likewise.
func (f *Folder) ContentKeyFile() string {
	return cmp.Or(os.Getenv("CONTENT_KEY_FILE"), f.join(string(ContentKey)))
}

// CheckpointKeyFile is the file of the key that signs checkpoints of the record, likewise.
func (f *Folder) CheckpointKeyFile() string {
	return cmp.Or(os.Getenv("CHECKPOINT_KEY_FILE"), f.join(string(CheckpointKey)))
}

// ArchiveURL is where checkpoints and sealed segments go, likewise: a folder beside the
// stores is no protection from whoever has the machine.
func (f *Folder) ArchiveURL() string {
	return cmp.Or(os.Getenv("ARCHIVE_URL"), f.join(string(Archive)))
}

// room is how much is free where NATS keeps the record.
func (s *Stores) room() (int64, error) { return embedded.FreeBytes(s.folder.join(string(NATS))) }
