package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A Folder is the data folder of an embedded system.
type Folder struct {
	path string
	lock *os.File
}

// Addresses say how to reach a running system. They hold credentials.
type Addresses struct {
	PID         int               `json:"pid"`
	URL         string            `json:"url,omitempty"` // where HTTP is served, once it is
	DatabaseURL string            `json:"database_url"`
	NATSURLs    map[string]string `json:"nats_urls"` // by user
}

// ErrInUse says that another process owns the folder.
var ErrInUse = errors.New("another process is using the data folder")

// Own makes the folder if need be and takes its lock. Where another process has
// it, the error wraps ErrInUse.
func Own(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	if err := os.MkdirAll(path, 0o711); err != nil { // #nosec G301 -- Postgres's own user passes through
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the operator's path
	if err != nil {
		return nil, fmt.Errorf("opening the data folder's lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { // #nosec G115 -- a descriptor
		_ = lock.Close()
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	return &Folder{path: path, lock: lock}, nil
}

// Look gives a folder that another process owns: for asking where things are.
func Look(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	return &Folder{path: path}, nil
}

// Release lets the folder go.
func (f *Folder) Release() error {
	err := os.Remove(f.join("run.json"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.lock.Close())
}

func (f *Folder) join(name string) string { return filepath.Join(f.path, name) }

// publish writes run.json whole or not at all.
func (f *Folder) publish(a Addresses) error {
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding run.json: %w", err)
	}
	half := f.join("run.json.new")
	if err := os.WriteFile(half, data, 0o600); err != nil {
		return fmt.Errorf("writing run.json: %w", err)
	}
	if err := os.Rename(half, f.join("run.json")); err != nil {
		return fmt.Errorf("writing run.json: %w", err)
	}
	return nil
}

// Running gives the addresses of the system that another process runs over the
// folder, waiting a while for one that is just starting.
func Running(ctx context.Context, path string) (Addresses, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var a Addresses
		data, err := os.ReadFile(filepath.Join(path, "run.json")) // #nosec G304 -- the operator's path
		if err == nil {
			err = json.Unmarshal(data, &a)
		}
		// A file left by a kill -9 names a process that is gone.
		if err == nil && syscall.Kill(a.PID, 0) != syscall.ESRCH {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return Addresses{}, fmt.Errorf("the data folder %s is in use, but how to reach its system is not written there", path)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
