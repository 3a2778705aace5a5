// Package attachment says what may be attached to a message, and stores it.
//
// A file is judged by its bytes alone: at most 4 MiB, not empty, of a type in
// the table in types.go, and nothing that the virus scanner knows. Its declared
// content type is never looked at, and its name is cleaned and made to end in
// an extension of the type that was found. A text may be in UTF-8, UTF-16 or
// Windows-1252, and is stored as it came; [Text] reads it. Only then is anything stored, so
// that a refused upload leaves nothing behind.
//
// The allow-list keeps out what a browser or an office program would run. It
// can't keep a file from also being something else (HTML may follow a PDF's
// first bytes): attachments must be served as downloads with nosniff.
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
	"postern/internal/problem"
)

// Holds is how many bytes an upload under way holds in memory.
const Holds = 10 << 20

// MaxSize is the most bytes that an attachment may have: 4 MiB, to the byte.
const MaxSize = 4 << 20

var (
	// ErrTooLarge says that the file has more than MaxSize bytes.
	ErrTooLarge error = problem.Field(problem.AttachmentSize, "body.file", "the file is larger than 4 MiB (4,194,304 bytes): send a smaller one, or split it")
	// ErrEmpty says that the file has no bytes.
	ErrEmpty error = problem.Field(problem.AttachmentRefused, "body.file", "the file is empty: choose another")
)

// Uploader stores attachments. It is safe for concurrent use; each upload under
// way holds its file in memory, up to some 10 MiB.
type Uploader struct {
	Store   *content.Store
	Scanner *clamd.Client // nil: files are not scanned
}

// Uploaded is an attachment that is stored: what its row keeps.
type Uploaded struct {
	ID         uuid.UUID
	Name       string // cleaned; it can say a diagnosis: keep it sealed
	Size       int64  // in bytes
	MediaType  string // of the table, whatever was declared
	SHA256     [sha256.Size]byte
	WrappedKey []byte // of content.Store.NewKey(ID)
}

// Upload checks a file and stores it as content.AttachmentOf(id). The id is a
// new one; an id that is taken is content.ErrExists.
//
// Errors that the sender can do something about: ErrTooLarge, ErrEmpty,
// *TypeError, *clamd.InfectedError, clamd.ErrNoAnswer. With any error nothing
// is stored. A crash before the caller's row is committed leaves a blob whose
// key nobody has; a caller whose row fails deletes the blob.
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

// read reads a file of an allowed size.
func read(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the file: %w", err)
	case len(data) > MaxSize:
		return nil, ErrTooLarge
	case len(data) == 0:
		return nil, ErrEmpty
	}
	return data, nil
}
