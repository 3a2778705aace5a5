package content

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// States of the directory are the only blobs that are not encrypted. They have block numbers and
// salted digests, and nothing of any person. Each is named by the SHA-256 of its bytes.

func directoryOf(digest [sha256.Size]byte) string { return directories + hex.EncodeToString(digest[:]) }

// StoreDirectory stores a state of the directory, which is durable then. A stored one is only
// written if it is damaged.
func (s *Store) StoreDirectory(ctx context.Context, state []byte) error {
	digest := sha256.Sum256(state)
	options := &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: true}
	err := s.bucket.WriteAll(ctx, directoryOf(digest), state, options)
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		if _, err = s.Directory(ctx, digest); errors.Is(err, ErrChanged) {
			options.IfNotExist = false
			err = s.bucket.WriteAll(ctx, directoryOf(digest), state, options)
		}
	}
	if err != nil {
		return fmt.Errorf("storing a state of the directory: %w", err)
	}
	return nil
}

// Directory reads the state of the directory with a digest. It returns ErrNotFound, or ErrChanged
// if the blob has other bytes.
func (s *Store) Directory(ctx context.Context, digest [sha256.Size]byte) ([]byte, error) {
	state, err := s.bucket.ReadAll(ctx, directoryOf(digest))
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading a state of the directory: %w", err)
	}
	if sha256.Sum256(state) != digest {
		return nil, fmt.Errorf("reading a state of the directory: %w", ErrChanged)
	}
	return state, nil
}

// Directories returns the digests of the states of the directory that are stored, in no order.
func (s *Store) Directories(ctx context.Context) iter.Seq2[[sha256.Size]byte, error] {
	return func(yield func([sha256.Size]byte, error) bool) {
		for list := s.bucket.List(&blob.ListOptions{Prefix: directories}); ; {
			o, err := list.Next(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield([sha256.Size]byte{}, fmt.Errorf("listing content: %w", err))
				return
			}
			digest, err := hex.DecodeString(strings.TrimPrefix(o.Key, directories))
			if err == nil && len(digest) == sha256.Size && !yield([sha256.Size]byte(digest), nil) {
				return
			}
		}
	}
}
