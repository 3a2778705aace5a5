// Package folder keeps blobs in a folder: a gocloud.dev/blob driver in which
// a blob counts only once it is on disk.
//
// gocloud's own fileblob renames without fsync, so that a power cut can leave
// a name with nothing behind it. Here a blob is written to a temporary file in
// the same folder and fsynced, only then given its name, and the folder that
// holds the name is fsynced before the write is reported as done. A crash
// before that leaves a temporary file, which the next Open removes once it is
// a day old; a crash after it leaves the blob, whole.
//
// A blob is one plain file and its key is the file's path, with the bytes that
// file systems treat specially percent-encoded, so that the folder can be
// copied to another kind of bucket with ordinary tools. Every path is opened
// through os.Root: neither a key nor a symbolic link leads out of the folder.
// Attributes (content type, metadata) are not kept, and metadata is refused.
//
// A bucket is safe for concurrent use, also by several processes on one
// folder. Its file system must know hard links, and tell a from A if keys do. A
// key can't be the folder of other keys (a, and a/b).
package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

const (
	// tempDir holds what is still being written. No key maps into it: escape
	// lets no segment begin with a dot.
	tempDir = ".tmp"

	// staleAfter is how long a temporary file must have gone unwritten to be
	// taken for a crash's. A live upload that stands still for longer fails
	// when it is to be named, and keeps nothing.
	staleAfter = 24 * time.Hour

	// contentType is what every blob is said to be.
	contentType = "application/octet-stream"
)

var (
	errExists        = errors.New("the blob exists already")
	errUnimplemented = errors.New("not supported by a folder")
)

// Open opens the folder dir as a bucket, creates it (mode 0700) if it isn't
// there, and removes the temporary files that crashes left in it.
func Open(dir string) (*blob.Bucket, error) {
	b, err := open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the content folder: %w", err)
	}
	return blob.NewBucket(b), nil
}

// bucket implements driver.Bucket.
type bucket struct {
	root *os.Root
	sync func(*os.File) error // (*os.File).Sync; tests record it and make it fail

	// durable remembers the first-level folders whose names are known to be on
	// disk. Deeper ones are not remembered: there may be one for each blob.
	durable sync.Map
}

func open(dir string) (*bucket, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	b := &bucket{root: root, sync: (*os.File).Sync}
	if err := b.prepare(filepath.Dir(filepath.Clean(dir))); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return b, nil
}

// prepare makes the folder's own name durable in its parent, and clears up.
func (b *bucket) prepare(parent string) error {
	d, err := os.Open(parent) // #nosec G304 -- the operator's own configuration
	if err != nil {
		return err
	}
	if err := errors.Join(b.sync(d), d.Close()); err != nil {
		return err
	}
	if err := b.root.Mkdir(tempDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return b.removeStale(time.Now().Add(-staleAfter))
}

// removeStale removes temporary files last written before the given time.
func (b *bucket) removeStale(before time.Time) error {
	entries, err := fs.ReadDir(b.root.FS(), tempDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process finished with it
		}
		if err != nil {
			return err
		}
		if !info.ModTime().Before(before) {
			continue
		}
		if err := b.root.Remove(path.Join(tempDir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// makeDir makes dir and all above it, and makes their names durable, whoever
// made them: a folder that another process has just made may not be yet.
func (b *bucket) makeDir(dir string) error {
	if dir == "." {
		return nil
	}
	parent := path.Dir(dir)
	if err := b.makeDir(parent); err != nil {
		return err
	}
	err := b.root.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, known := b.durable.Load(dir); known && err != nil {
		return nil
	}
	if err := b.syncDir(parent); err != nil {
		return err
	}
	if parent == "." {
		b.durable.Store(dir, struct{}{})
	}
	return nil
}

// syncDir makes the names in dir durable.
func (b *bucket) syncDir(dir string) error {
	d, err := b.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(b.sync(d), d.Close())
}

// Delete removes a blob, durably.
func (b *bucket) Delete(_ context.Context, key string, opts *driver.DeleteOptions) error {
	if err := before(opts.BeforeDelete); err != nil {
		return err
	}
	name := escape(key)
	if _, err := b.stat(name); err != nil {
		return err
	}
	if err := b.root.Remove(name); err != nil {
		return err
	}
	return b.syncDir(path.Dir(name))
}

// stat returns the facts of a blob's file; a folder is no blob.
func (b *bucket) stat(name string) (fs.FileInfo, error) {
	info, err := b.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return info, nil
}

// ErrorCode implements driver.Bucket.
func (*bucket) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return gcerrors.NotFound
	case errors.Is(err, errExists):
		return gcerrors.FailedPrecondition
	case errors.Is(err, errUnimplemented):
		return gcerrors.Unimplemented
	default:
		return gcerrors.Unknown
	}
}

// Copy is not supported: nothing here copies a blob.
func (*bucket) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return errUnimplemented
}

// SignedURL is not supported: content is handed out by us alone.
func (*bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errUnimplemented
}

// As and ErrorAs offer no types of the driver's own.
func (*bucket) As(any) bool             { return false }
func (*bucket) ErrorAs(error, any) bool { return false }

// Close implements driver.Bucket.
func (b *bucket) Close() error { return b.root.Close() }

// before calls a driver's callback, where there is one.
func before(callback func(func(any) bool) error) error {
	if callback == nil {
		return nil
	}
	return callback(func(any) bool { return false })
}
