// Package attachment decides which files may be attached to a message, and stores them.
//
// A file is checked by its bytes only: at most [limits.AttachmentSize], not empty, of a type in the table
// in types.go, and not known to the virus scanner. The declared content type is ignored.
// The name is cleaned, and gets an extension of the detected type if it has none. A text
// may be in UTF-8, UTF-16 or Windows-1252, and is stored unchanged; [Text] decodes it. The
// file is stored only after all checks, so that a refused upload leaves nothing behind.
//
// The allow-list excludes files that a browser or an office program would execute. It
// can't prevent a file from also being of another type (HTML may follow a PDF's first
// bytes), so attachments must be served as downloads with nosniff.
package attachment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/content/clamd"
	"postern/internal/limits"
	"postern/internal/problem"
)

// MemoryPerUpload is the memory that an upload needs while it runs, in bytes: reading doubles its
// buffer as it grows.
const MemoryPerUpload = int64(limits.AttachmentSize) * 5 / 2

var (
	// ErrTooLarge is the error for a file with more than [limits.AttachmentSize].
	ErrTooLarge error = problem.Field(problem.AttachmentSize, "body.file",
		fmt.Sprintf("the file is larger than %s (%d bytes): send a smaller one, or split it", limits.AttachmentSize, int64(limits.AttachmentSize)))
	// ErrEmpty is the error for a file without any bytes.
	ErrEmpty error = problem.Field(problem.AttachmentRefused, "body.file", "the file is empty: choose another")
)

// Uploader stores attachments. It is safe for concurrent use. Each running upload holds
// its file in memory, up to [MemoryPerUpload].
type Uploader struct {
	Store   *content.Store
	Scanner *clamd.Client // if nil, files are not scanned
}

// Uploaded is a stored attachment, with the values for its row.
type Uploaded struct {
	ID         uuid.UUID
	Name       string // cleaned; it may contain a diagnosis: store it sealed
	Size       int64  // in bytes
	MediaType  string // as detected, not as declared
	SHA256     [sha256.Size]byte
	WrappedKey []byte // of content.Store.NewKey(ID)
}

// Upload checks a file and stores it as content.AttachmentOf(id). The id must be new; for
// a used id it returns content.ErrExists.
//
// The sender can fix these errors: ErrTooLarge, ErrEmpty, *TypeError,
// *clamd.InfectedError, clamd.ErrNoAnswer. If Upload returns an error, nothing is stored.
// A crash before the caller's row is committed leaves a blob whose key is lost. If the
// row can't be stored, the caller deletes the blob.
func (u Uploader) Upload(ctx context.Context, id uuid.UUID, name string, r io.Reader) (Uploaded, error) {
	data, err := read(r)
	if err != nil {
		return Uploaded{}, err
	}
	kind, err := kindOf(data, name)
	if err != nil {
		return Uploaded{}, err
	}
	if u.Scanner != nil {
		if err := u.Scanner.Scan(ctx, data); err != nil {
			return Uploaded{}, fmt.Errorf("the file %w", err)
		}
	}
	key, wrapped, err := u.Store.NewKey(id)
	if err != nil {
		return Uploaded{}, err
	}
	info, err := u.Store.Create(ctx, content.AttachmentOf(id), key, bytes.NewReader(data))
	if err != nil {
		return Uploaded{}, err
	}
	return Uploaded{
		ID:         id,
		Name:       kind.nameFor(name),
		Size:       info.Size,
		MediaType:  kind.mediaType,
		SHA256:     info.SHA256,
		WrappedKey: wrapped,
	}, nil
}

// read reads a file and checks its size.
func read(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(limits.AttachmentSize)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the file: %w", err)
	case len(data) > int(limits.AttachmentSize):
		return nil, ErrTooLarge
	case len(data) == 0:
		return nil, ErrEmpty
	}
	return data, nil
}
