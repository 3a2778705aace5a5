package folder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"gocloud.dev/blob/driver"
)

// NewTypedWriter implements driver.Bucket. With IfNotExist exactly one of several writers of
// a key succeeds, also across processes.
func (b *bucket) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	if len(opts.Metadata) > 0 {
		return nil, fmt.Errorf("metadata: %w", errUnimplemented)
	}
	if key == "" {
		return nil, errors.New("a blob needs a key")
	}
	temp := path.Join(tempDir, rand.Text())
	f, err := b.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	w := &writer{ctx: ctx, bucket: b, f: f, temp: temp, name: escape(key), createOnly: opts.IfNotExist}
	if err := before(opts.BeforeWrite); err != nil {
		return nil, errors.Join(err, f.Close(), b.root.Remove(temp))
	}
	return w, nil
}

// writer implements driver.Writer. The blob gets its name in Close.
type writer struct {
	ctx        context.Context
	bucket     *bucket
	f          *os.File
	temp, name string
	createOnly bool
	failed     error // an error of Write; then Close stores nothing
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		w.failed = err
	}
	return n, err
}

// Close stores the written data as the blob. It stores nothing if the context is done, a
// write has failed, or the disk does not confirm the sync.
func (w *writer) Close() error {
	err := errors.Join(w.failed, w.ctx.Err())
	if err == nil {
		err = w.bucket.sync(w.f)
	}
	if err = errors.Join(err, w.f.Close()); err == nil {
		// A crash up to here leaves a temporary file, and no blob.
		err = w.commit()
	}
	// A crash before this leaves a second name of the complete blob, in the temporary
	// folder. Removing that name later does not affect the blob.
	if e := w.bucket.root.Remove(w.temp); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// commit gives the synced file its name. A crash between the naming and the folder's fsync
// leaves the complete blob or none; the write has not returned then.
func (w *writer) commit() error {
	b, dir := w.bucket, path.Dir(w.name)
	if err := b.makeDir(dir); err != nil {
		return err
	}
	if !w.createOnly {
		if err := b.root.Rename(w.temp, w.name); err != nil {
			return err
		}
		return b.syncDir(dir)
	}
	err := b.root.Link(w.temp, w.name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// This is also needed if another writer was first: the caller continues with the
	// existing blob, whose name may not be on disk yet.
	if e := b.syncDir(dir); e != nil {
		return e
	}
	if err != nil {
		return errExists
	}
	return nil
}
