// Package folder stores blobs in a folder: a gocloud.dev/blob driver in which a write
// returns only when the blob is on disk.
//
// gocloud's own fileblob renames without fsync, so that a power cut can leave a name
// without content. Here a blob is written to a temporary file in the same folder and
// fsynced. Then it gets its name, and the folder of the name is fsynced before the write
// returns. A crash before that leaves a temporary file, which the next Open removes once
// it is a day old. A crash after it leaves the complete blob.
//
// A blob is one plain file. Its key is the file's path, with the bytes that file systems
// treat specially percent-encoded, so that the folder can be copied to another kind of
// bucket with common tools. Every path is opened through os.Root, so no key or symbolic
// link leads out of the folder. Attributes (content type, metadata) are not stored, and
// metadata is refused.
//
// A bucket is safe for concurrent use, also by several processes on one folder. The file
// system must support hard links, and distinguish a from A if keys do. A key can't be the
// folder of other keys (a, and a/b).
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
	// tempDir holds the files of unfinished writes. No key maps into it, because escape
	// makes no segment that begins with a dot.
	tempDir = ".tmp"

	// staleAfter is the time after its last write at which a temporary file counts as
	// left by a crash. A running upload that pauses for longer fails when it ends, and
	// stores nothing.
	staleAfter = 24 * time.Hour

	// contentType is the reported content type of every blob.
	contentType = "application/octet-stream"
)

var (
	errExists        = errors.New("the blob exists already")
	errUnimplemented = errors.New("not supported by a folder")
)

// Open opens the folder dir as a bucket, creates it (mode 0700) if it doesn't exist, and
// removes the temporary files that crashes left in it.
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
	sync func(*os.File) error // (*os.File).Sync; tests replace it

	// durable has the first-level folders whose names are known to be on disk. Deeper
	// ones are not stored in it, because there may be one for each blob.
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

// prepare makes the folder's own name durable in its parent, and removes stale files.
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
			continue // another process has removed it
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

// makeDir creates dir and its parents, and makes their names durable. That includes existing
// folders, because another process may have created one without syncing it yet.
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

// stat returns the FileInfo of a blob's file. A folder is not a blob.
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

// Copy is not supported, because nothing uses it.
func (*bucket) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return errUnimplemented
}

// SignedURL is not supported, because only our own processes serve content.
func (*bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errUnimplemented
}

// As and ErrorAs offer no driver-specific types.
func (*bucket) As(any) bool             { return false }
func (*bucket) ErrorAs(error, any) bool { return false }

// Close implements driver.Bucket.
func (b *bucket) Close() error { return b.root.Close() }

// before calls a driver's callback, if there is one.
func before(callback func(func(any) bool) error) error {
	if callback == nil {
		return nil
	}
	return callback(func(any) bool { return false })
}
