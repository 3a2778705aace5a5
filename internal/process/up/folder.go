package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Folder is the data folder of an embedded system.
type Folder struct {
	path     string
	lock     *os.File  // nil if another process owns the folder
	manifest *manifest // nil if the folder is older than manifests
	mayMake  bool      // `postern up` owns the folder, so parts that never existed may be made
	fresh    bool      // this process made the folder
	demo     bool      // this process runs the demo
}

// Addresses holds the addresses of a running system. They include credentials.
type Addresses struct {
	PID         int               `json:"pid"`
	URL         string            `json:"url,omitempty"` // of the HTTP server, once it serves
	DatabaseURL string            `json:"database_url"`
	NATSURLs    map[string]string `json:"nats_urls"` // by user
}

// ErrInUse is the error if another process owns the folder.
var ErrInUse = errors.New("another process is using the data folder")

// ErrNoSystem is the error for a verb on a folder without a system.
var ErrNoSystem = errors.New("there is no Postern system")

// Create takes the lock of a data folder for `postern up`, the only command that makes one. A
// folder that does not exist, or is empty, becomes a data folder. With demo, an existing
// data folder must have been made by a demo. A folder with other files is refused. If
// another process owns the folder, the error wraps [ErrInUse].
func Create(path string, demo bool) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	exists, err := holdsSystem(path)
	if err != nil {
		return nil, err
	}
	if !exists {
		if err := mustBeFree(path); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(path, 0o711); err != nil { // #nosec G301 -- Postgres's own user passes through
			return nil, fmt.Errorf("making the data folder: %w", err)
		}
	}
	f, err := lockFolder(path)
	if err != nil {
		return nil, err
	}
	f.mayMake, f.demo = true, demo
	if f.manifest == nil && !exists {
		// A crash before this line leaves an empty folder. A crash after it leaves a folder
		// whose first start is continued by the next start.
		f.fresh, f.manifest = true, &manifest{State: making, MadeAt: time.Now().UTC(), Demo: demo}
		err = f.writeManifest()
	}
	if err == nil && f.manifest != nil && f.manifest.Demo != demo {
		switch {
		case f.manifest.State == making: // it has never served
			f.manifest.Demo = demo
			err = f.writeManifest()
		case demo:
			err = f.notOfDemo("it was made without --demo")
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.lock.Close())
	}
	return f, nil
}

// Open takes the lock of a data folder that has a system, for every verb except `postern
// up`. If there is no system, the error wraps [ErrNoSystem], and nothing was made. If
// another process owns the folder, the error wraps [ErrInUse].
func Open(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	exists, err := holdsSystem(path)
	if err != nil {
		return nil, err
	}
	if !exists {
		return nil, noSystem(path)
	}
	f, err := lockFolder(path)
	if err != nil {
		return nil, err
	}
	if f.manifest != nil && f.manifest.State == making {
		return nil, errors.Join(f.notMade(), f.lock.Close())
	}
	return f, nil
}

// lockFolder takes the lock and reads the manifest.
func lockFolder(path string) (*Folder, error) {
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the operator's path
	if err != nil {
		return nil, fmt.Errorf("opening the data folder's lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115 -- a descriptor
		_ = lock.Close()
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	f := &Folder{path: path, lock: lock}
	if f.manifest, err = readManifest(f.join(manifestFile)); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// holdsSystem reports whether a folder is a data folder, from files that only a data folder
// has.
func holdsSystem(path string) (bool, error) {
	for _, name := range []string{manifestFile, string(ContentKey), string(CheckpointKey), "postgres/postern.lock", "nats/postern.lock"} {
		_, err := os.Lstat(filepath.Join(path, name))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return false, fmt.Errorf("looking into the data folder: %w", err)
		}
	}
	return false, nil
}

// mustBeFree refuses a folder with other files. It ignores files of the file system or a
// desktop, and the lock of a start that ended at once.
func mustBeFree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking into the data folder: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "lock" && name != "lost+found" && !strings.HasPrefix(name, ".") {
			return fmt.Errorf("%s is not a data folder of Postern: it has no Postern system, but it holds %q. Give a new or empty folder with --data", path, name)
		}
	}
	return nil
}

func noSystem(path string) error {
	why := "the folder has none"
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		why = "the folder does not exist"
	} else if err == nil && !info.IsDir() {
		why = "it is not a folder"
	}
	return fmt.Errorf("%w in %s: %s. Give the right data folder with --data, or make a system with `postern up --data %s`", ErrNoSystem, path, why, path)
}

func (f *Folder) notMade() error {
	return fmt.Errorf("%w in %s yet: its first start did not finish. Run `postern up --data %s` to continue it", ErrNoSystem, f.path, f.path)
}

func (f *Folder) notOfDemo(why string) error {
	return fmt.Errorf("--demo refuses the data folder %s: %s, and the passwords of the demo's accounts are public. "+
		"Start it without --demo, or give a new folder with --data", f.path, why)
}

func (f *Folder) writeManifest() error { return f.manifest.write(f.join(manifestFile)) }

// Locate returns a folder that another process may own, to get the paths of its parts.
func Locate(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	return &Folder{path: path}, nil
}

// Release removes run.json and releases the folder.
func (f *Folder) Release() error {
	err := os.Remove(f.join("run.json"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.lock.Close())
}

// Path returns the absolute path of the folder.
func (f *Folder) Path() string { return f.path }

func (f *Folder) join(name string) string { return filepath.Join(f.path, name) }

// publish writes run.json atomically.
func (f *Folder) publish(a Addresses) error {
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding run.json: %w", err)
	}
	temporary := f.join("run.json.new")
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return fmt.Errorf("writing run.json: %w", err)
	}
	if err := os.Rename(temporary, f.join("run.json")); err != nil {
		return fmt.Errorf("writing run.json: %w", err)
	}
	return nil
}

// Running returns the addresses of the system that another process runs over the folder.
// It waits up to 30 seconds for a system that is starting.
func Running(ctx context.Context, path string) (Addresses, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var a Addresses
		data, err := os.ReadFile(filepath.Join(path, "run.json")) // #nosec G304 -- the operator's path
		if err == nil {
			err = json.Unmarshal(data, &a)
		}
		// After a kill -9 the file has the id of a process that has ended.
		if err == nil && syscall.Kill(a.PID, 0) != syscall.ESRCH {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return Addresses{}, fmt.Errorf("the data folder %s is in use, but it has no run.json with the addresses of its system", path)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
