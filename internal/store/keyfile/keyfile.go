// Package keyfile reads and creates files that hold a secret key. Only the owner may read
// such a file. It is created completely or not at all, and Create never overwrites it.
package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Read returns the content of a key file, and refuses a file that others may read. Its
// errors name the file and say what to do. If the file does not exist, the error is
// [fs.ErrNotExist].
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, readable(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: move it away, and restore the key file from its backup", path)
	}
	if mode := info.Mode(); mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %v, so others may read it: run chmod 600 on it", path, mode)
	}
	data, err := os.ReadFile(path) // #nosec G304 -- the operator's own configuration
	if err != nil {
		return nil, readable(err)
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%s is empty: restore it from its backup", path)
	}
	return data, nil
}

func readable(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: make the user that runs postern its owner (chown), and keep its mode 600", err)
	}
	return err
}

// Create creates a key file durably, with mode 0600, and reports whether it did. Of several
// processes at once, one creates the file and all find the same key.
func Create(path string, data []byte) (created bool, err error) {
	temporary, err := write(path, data)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(temporary)) }()
	// A crash before the link leaves a temporary file with an unused key. A crash after
	// it leaves the complete key file.
	err = os.Link(temporary, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	created = err == nil
	return created, Sync(path)
}

// Replace replaces the content of a key file atomically, or creates the file. The file keeps its
// owner, so that root may replace the file of another user.
func Replace(path string, data []byte) error {
	replaced, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temporary, err := write(path, data)
	if err != nil {
		return err
	}
	if replaced != nil {
		err = keepOwner(temporary, replaced)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return Sync(path)
}

// keepOwner gives a new file to the owner of the file that it replaces.
func keepOwner(path string, replaced fs.FileInfo) error {
	made, err := os.Stat(path)
	if err != nil {
		return err
	}
	was, ok := replaced.Sys().(*syscall.Stat_t)
	is, ok2 := made.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || was.Uid == is.Uid && was.Gid == is.Gid {
		return nil
	}
	err = os.Chown(path, int(was.Uid), int(was.Gid))
	if err != nil && was.Uid != is.Uid {
		return fmt.Errorf("%w: run this as the user that owns the key file, or as root", err)
	}
	return nil
}

// write writes a temporary file beside path and syncs it.
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

// Sync makes the directory entry of a file durable.
func Sync(path string) error {
	d, err := os.Open(filepath.Dir(path)) // #nosec G304 -- the operator's own configuration
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
