package up

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"postern/internal/checkpoint"
	"postern/internal/content"
	"postern/internal/embedded"
	"postern/internal/eventlog"
	"postern/internal/position"
	"postern/internal/store"
)

// stopPatience bounds how long the stores may take to stop cleanly.
const stopPatience = 30 * time.Second

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
func Start(ctx context.Context, f *Folder, log *slog.Logger) (_ *Stores, err error) {
	s := &Stores{folder: f, Addresses: Addresses{PID: os.Getpid(), NATSURLs: map[string]string{}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := f.createKeys(); err != nil {
		return nil, err
	}
	s.postgres, err = embedded.StartPostgres(ctx, embedded.PostgresConfig{
		Dir: f.join("postgres"), BinDir: os.Getenv("PG_BIN"), Logger: log})
	if err != nil {
		return nil, err
	}
	s.DatabaseURL = s.postgres.URL()
	if err := s.startNATS(ctx, log); err != nil {
		return nil, err
	}
	if err := store.Migrate(ctx, s.DatabaseURL, log); err != nil {
		return nil, err
	}
	if err := position.Unchecked(ctx, s.DatabaseURL); err != nil {
		return nil, err
	}
	if err := f.publish(s.Addresses); err != nil {
		return nil, err
	}
	return s, nil
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
		StoreDir: s.folder.join("nats"), Listen: "127.0.0.1:0", Users: users, Logger: log})
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
	if err := os.Rename(s.folder.join("nats"), aside); err != nil {
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
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		errs = append(errs, s.postgres.Stop(ctx))
	}
	return errors.Join(errs...)
}

// createKeys makes the keys of the folder itself. One that the environment names
// elsewhere must be there: a new one in its place could read nothing.
func (f *Folder) createKeys() error {
	if own := f.join(contentKey); f.ContentKeyFile() == own {
		if _, err := content.CreateKeyFile(own); err != nil {
			return err
		}
	}
	if own := f.join(checkpointKey); f.CheckpointKeyFile() == own {
		if _, err := checkpoint.CreateKeyFile(own, ""); err != nil {
			return err
		}
	}
	return nil
}

const (
	contentKey    = "content.key"
	checkpointKey = "checkpoint.key"
)

// ContentURL is where the encrypted content is: the folder's own, unless the
// environment names another place.
func (f *Folder) ContentURL() string { return cmp.Or(os.Getenv("CONTENT_URL"), f.join("content")) }

// ContentKeyFile is the file of the key of all content, likewise.
func (f *Folder) ContentKeyFile() string {
	return cmp.Or(os.Getenv("CONTENT_KEY_FILE"), f.join(contentKey))
}

// CheckpointKeyFile is the file of the key that signs checkpoints of the record, likewise.
func (f *Folder) CheckpointKeyFile() string {
	return cmp.Or(os.Getenv("CHECKPOINT_KEY_FILE"), f.join(checkpointKey))
}

// ArchiveURL is where checkpoints and sealed segments go, likewise: a folder beside the
// stores is no protection from whoever has the machine.
func (f *Folder) ArchiveURL() string { return cmp.Or(os.Getenv("ARCHIVE_URL"), f.join("archive")) }

// room is how much is free where NATS keeps the record.
func (s *Stores) room() (int64, error) { return embedded.FreeBytes(s.folder.join("nats")) }
