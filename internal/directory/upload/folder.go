package upload

import (
	"context"
	"io"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"postern/internal/content"
)

// folder presents the files of an upload as a file system.
type folder struct {
	ctx   context.Context // of the work, which is one call
	store *content.Store
	id    uuid.UUID
	key   content.Key
	files []File
}

// Open implements fs.FS. The file is decrypted while it is read.
func (f folder) Open(name string) (fs.File, error) {
	for n, one := range f.files {
		if one.Name != name {
			continue
		}
		r, err := f.store.Get(f.ctx, content.ImportFileOf(f.id, n), f.key)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return opened{r, info{one}}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Stat implements fs.StatFS.
func (f folder) Stat(name string) (fs.FileInfo, error) {
	for _, one := range f.files {
		if one.Name == name {
			return info{one}, nil
		}
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// ReadDir implements fs.ReadDirFS. An upload has no folders inside.
func (f folder) ReadDir(name string) (entries []fs.DirEntry, err error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	for _, one := range f.files {
		entries = append(entries, fs.FileInfoToDirEntry(info{one}))
	}
	return entries, nil
}

type opened struct {
	io.ReadCloser
	info info
}

func (o opened) Stat() (fs.FileInfo, error) { return o.info, nil }

type info struct{ file File }

func (i info) Name() string     { return i.file.Name }
func (i info) Size() int64      { return i.file.Size }
func (info) Mode() fs.FileMode  { return 0o400 }
func (info) ModTime() time.Time { return time.Time{} }
func (info) IsDir() bool        { return false }
func (info) Sys() any           { return nil }

// lazy is a file of a folder that is opened at the first read. An object store would
// close a reader that stays idle while the files before it are read.
type lazy struct {
	dir  folder
	name string
	file fs.File // nil if not opened yet
}

// Read implements io.Reader.
func (l *lazy) Read(p []byte) (int, error) {
	if l.file == nil {
		var err error
		if l.file, err = l.dir.Open(l.name); err != nil {
			return 0, err
		}
	}
	return l.file.Read(p)
}

// Close closes the file if it was opened.
func (l *lazy) Close() {
	if l.file != nil {
		_ = l.file.Close()
	}
}
