package folder

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"strings"

	"gocloud.dev/blob/driver"
)

// defaultPage is the number of blobs on a page of a listing.
const defaultPage = 10_000

// NewRangeReader implements driver.Bucket.
func (b *bucket) NewRangeReader(_ context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	name := escape(key)
	info, err := b.stat(name)
	if err != nil {
		return nil, err
	}
	f, err := b.root.Open(name)
	if err != nil {
		return nil, err
	}
	if err := before(opts.BeforeRead); err != nil {
		_ = f.Close()
		return nil, err
	}
	if length < 0 {
		length = max(0, info.Size()-offset)
	}
	attrs := driver.ReaderAttributes{ContentType: contentType, ModTime: info.ModTime(), Size: info.Size()}
	return &reader{SectionReader: io.NewSectionReader(f, offset, length), f: f, attrs: attrs}, nil
}

// reader implements driver.Reader.
type reader struct {
	*io.SectionReader
	f     *os.File
	attrs driver.ReaderAttributes
}

func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attrs }
func (r *reader) As(any) bool                          { return false }
func (r *reader) Close() error                         { return r.f.Close() }

// Attributes implements driver.Bucket.
func (b *bucket) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	info, err := b.stat(escape(key))
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{
		ContentType: contentType,
		ModTime:     info.ModTime(),
		Size:        info.Size(),
		ETag:        fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()),
	}, nil
}

// ListPaged implements driver.Bucket. It reads every name under the prefix for every page,
// because only tests and sweeps list blobs.
func (b *bucket) ListPaged(_ context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if err := before(opts.BeforeList); err != nil {
		return nil, err
	}
	keys, err := b.keys(opts.Prefix, opts.Delimiter)
	if err != nil {
		return nil, err
	}
	if len(opts.PageToken) > 0 {
		keys = keys[sort.Search(len(keys), func(i int) bool { return keys[i] > string(opts.PageToken) }):]
	}
	size := opts.PageSize
	if size == 0 {
		size = defaultPage
	}
	page := &driver.ListPage{}
	for i, key := range keys {
		if i == size {
			page.NextPageToken = []byte(keys[i-1])
			break
		}
		if isGroup(key, opts.Prefix, opts.Delimiter) {
			page.Objects = append(page.Objects, &driver.ListObject{Key: key, IsDir: true})
			continue
		}
		// A blob that was deleted after its name was read is listed without time and size.
		object := &driver.ListObject{Key: key}
		if info, err := b.stat(escape(key)); err == nil {
			object.ModTime, object.Size = info.ModTime(), info.Size()
		}
		page.Objects = append(page.Objects, object)
	}
	return page, nil
}

// keys returns the keys under the prefix in order. Keys with the delimiter after the prefix
// are cut after it, and each result is returned once.
func (b *bucket) keys(prefix, delimiter string) ([]string, error) {
	found := map[string]struct{}{}
	err := fs.WalkDir(b.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == tempDir:
			return fs.SkipDir
		case e.IsDir():
			if dir := unescape(name) + "/"; name != "." && !strings.HasPrefix(dir, prefix) && !strings.HasPrefix(prefix, dir) {
				return fs.SkipDir
			}
			return nil
		}
		key := unescape(name)
		if !e.Type().IsRegular() || !strings.HasPrefix(key, prefix) {
			return nil
		}
		if delimiter != "" {
			if head, _, cut := strings.Cut(key[len(prefix):], delimiter); cut {
				key = prefix + head + delimiter
			}
		}
		found[key] = struct{}{}
		return nil
	})
	keys := make([]string, 0, len(found))
	for key := range found {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys, err
}

// isGroup reports whether a listed key is a common prefix of several keys.
func isGroup(key, prefix, delimiter string) bool {
	return delimiter != "" && strings.HasSuffix(key[len(prefix):], delimiter)
}
