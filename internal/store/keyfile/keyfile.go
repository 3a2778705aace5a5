// Package keyfile reads and makes files that hold a secret key. Such a file is
// readable by its owner alone, appears whole or not at all, and is never written
// over.
package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Read gives the content of a key file, and refuses one that others may read. Its errors
// name the file and what to do; one that is not there is [fs.ErrNotExist].
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, readable(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: move it away, and put the key file there from where its copy is kept", path)
	}
	if mode := info.Mode(); mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %v: others may read it; chmod 600 it", path, mode)
	}
	data, err := os.ReadFile(path) // #nosec G304 -- the operator's own configuration
	if err != nil {
		return nil, readable(err)
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%s is empty: put it back from where its copy is kept", path)
	}
	return data, nil
}

func readable(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: give it to the user that runs postern (chown), and keep its mode 600", err)
	}
	return err
}

// Create makes a key file, mode 0600, durably, and says whether it did: of several
// processes at once one creates it and all find the same.
func Create(path string, data []byte) (created bool, err error) {
	half, err := write(path, data)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(half)) }()
	// A crash before the link leaves a temporary file, holding a key that nothing
	// was done with; a crash after it leaves the key file, whole.
	err = os.Link(half, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	created = err == nil
	return created, Sync(path)
}

// Replace puts other content in the place of a key file, all at once.
func Replace(path string, data []byte) error {
	half, err := write(path, data)
	if err != nil {
		return err
	}
	if err := os.Rename(half, path); err != nil {
		return errors.Join(err, os.Remove(half))
	}
	return Sync(path)
}

// write makes a temporary file beside path, on disk.
func write(path string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".key-") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// Sync makes the name of a file durable.
func Sync(path string) error {
	d, err := os.Open(filepath.Dir(path)) // #nosec G304 -- the operator's own configuration
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
