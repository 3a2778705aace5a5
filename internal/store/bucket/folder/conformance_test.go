package folder

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/drivertest"
)

// gocloud's complete conformance suite runs on the folder. The folder stores only a blob's
// bytes. The suite also tests attributes, so the wrapper below stores those, and nothing
// else.
func TestConformance(t *testing.T) {
	drivertest.RunConformanceTests(t, func(_ context.Context, t *testing.T) (drivertest.Harness, error) {
		return &harness{dir: t.TempDir(), attributes: &attributes{}}, nil
	}, nil)
}

type harness struct {
	dir        string
	attributes *attributes
}

func (h *harness) MakeDriver(context.Context) (driver.Bucket, error) {
	b, err := open(h.dir)
	return attributed{b, h.attributes}, err
}

func (*harness) MakeDriverForNonexistentBucket(context.Context) (driver.Bucket, error) {
	return nil, nil // opening a folder creates it
}

func (*harness) HTTPClient() *http.Client         { return nil }
func (*harness) SupportsCopy() bool               { return false }
func (*harness) SupportsNonSlashDelimiters() bool { return true }
func (*harness) Close()                           {}

// attributes holds the attributes that the suite set for each key.
type attributes struct{ sync.Map }

// attributed is a folder with separately stored attributes.
type attributed struct {
	driver.Bucket
	kept *attributes
}

func (b attributed) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	plain := *opts
	plain.Metadata = nil
	w, err := b.Bucket.NewTypedWriter(ctx, key, contentType, &plain)
	return attributedWriter{w, func() {
		b.kept.Store(key, driver.Attributes{
			CacheControl:       opts.CacheControl,
			ContentDisposition: opts.ContentDisposition,
			ContentEncoding:    opts.ContentEncoding,
			ContentLanguage:    opts.ContentLanguage,
			ContentType:        contentType,
			Metadata:           opts.Metadata,
		})
	}}, err
}

type attributedWriter struct {
	driver.Writer
	keep func()
}

func (w attributedWriter) Close() error {
	err := w.Writer.Close()
	if err == nil {
		w.keep()
	}
	return err
}

func (b attributed) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := b.Bucket.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	if kept, ok := b.kept.Load(key); ok {
		k := kept.(driver.Attributes)
		k.ModTime, k.Size, k.ETag = a.ModTime, a.Size, a.ETag
		return &k, nil
	}
	return a, nil
}

func (b attributed) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	r, err := b.Bucket.NewRangeReader(ctx, key, offset, length, opts)
	if err != nil {
		return nil, err
	}
	if kept, ok := b.kept.Load(key); ok {
		r.Attributes().ContentType = kept.(driver.Attributes).ContentType
	}
	return r, nil
}
