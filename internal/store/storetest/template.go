package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"postern/internal/embedded/postgres"
	"postern/internal/store"
)

// template is the migrated database that every test's database is a copy of.
const template = "template_postern"

// unused is how long an unused template is kept.
const unused = 24 * time.Hour

// copyTemplate fills dir with a stopped cluster that holds the migrated template.
//
// initdb and the migrations take seconds of a core, and sixty test binaries need
// the same result. So the first one keeps it in a folder that is named after
// everything that decides what is in it; a lock lets one binary make it while the
// others wait. A folder appears by a rename, when it is complete: a crash before
// leaves a folder *.new, which the next one removes.
func copyTemplate(ctx context.Context, dir string) error {
	name, err := templateName(ctx)
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(name+".lock", os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- among the temporary files
	if err != nil {
		return fmt.Errorf("opening the lock of the template: %w", err)
	}
	defer lock.Close()                                               // which unlocks it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // #nosec G115 -- file descriptors are small
		return fmt.Errorf("waiting for the template: %w", err)
	}
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		removeUnused()
		err := errors.Join(os.RemoveAll(name+".new"), makeTemplate(ctx, name+".new"))
		if err == nil {
			err = os.Rename(name+".new", name)
		}
		if err != nil {
			return fmt.Errorf("making the template: %w", err)
		}
	}
	// Its age says when it was last used.
	_ = os.Chtimes(name, time.Time{}, time.Now())
	if out, err := exec.CommandContext(ctx, "cp", "-Rp", name+"/.", dir).CombinedOutput(); err != nil { // #nosec G204 -- folders that we made
		return fmt.Errorf("copying the template: %w: %s", err, out)
	}
	return nil
}

// templateName is the path of the folder that holds the template, there or not.
func templateName(ctx context.Context) (string, error) {
	schema, err := store.SchemaDigest()
	if err != nil {
		return "", err
	}
	kind, err := postgres.ClusterKind(ctx, config(""))
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(schema + kind))
	return filepath.Join(os.TempDir(), fmt.Sprintf("storetest-template-%d-%x", os.Getuid(), digest[:8])), nil
}

func makeTemplate(ctx context.Context, dir string) error {
	server, err := postgres.Start(ctx, config(dir))
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, server.URL())
	if err == nil {
		_, err = conn.Exec(ctx, `CREATE DATABASE `+template)
		err = errors.Join(err, conn.Close(ctx))
	}
	if err == nil {
		err = store.Migrate(ctx, named(server.URL(), template), nil)
	}
	return errors.Join(err, server.Stop(ctx))
}

// removeUnused removes templates of other schemas that no test has used for a day.
// What can't be removed stays: it takes space, and nothing else.
func removeUnused() {
	others, _ := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("storetest-template-%d-*", os.Getuid())))
	for _, other := range others {
		if info, err := os.Stat(other); err == nil && time.Since(info.ModTime()) > unused {
			_ = os.RemoveAll(other)
		}
	}
}
