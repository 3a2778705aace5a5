package rosterstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/directory/roster"
)

// RewrapSecret returns the secret of a roster encrypted by the primary key of the key file: the same
// bytes if it is already. Errors wrap [content.ErrChanged] if it can't be decrypted.
func RewrapSecret(from *content.Store, root, sealed []byte) ([]byte, error) {
	if len(root) != len(roster.Digest{}) {
		return nil, fmt.Errorf("a roster whose root has %d bytes: %w", len(root), content.ErrChanged)
	}
	return from.RewrapSecret(purpose, roster.Digest(root).String(), sealed)
}

// EachSecret calls visit with the root and the encrypted secret of each roster in a bundle. Errors
// wrap [content.ErrNotFound] or [content.ErrChanged] if the bundle can't be read.
func EachSecret(ctx context.Context, from *content.Store, bundle uuid.UUID, visit func(root, sealed []byte) error) error {
	r, _, err := openBundle(ctx, from, bundle)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	return eachPart(r, func(values [parts][]byte) error { return visit(values[0], values[1]) })
}

// RewrapBundle writes a bundle again, with its secrets as [RewrapSecret] returns them. Its key and
// its name stay. After a crash the bundle is the old one or the new one.
func RewrapBundle(ctx context.Context, from *content.Store, bundle uuid.UUID) error {
	old, key, err := openBundle(ctx, from, bundle)
	if err != nil {
		return err
	}
	defer func() { _ = old.Close() }()
	r, pipe := io.Pipe()
	go func() {
		w := bufio.NewWriterSize(pipe, 1<<16)
		err := eachPart(old, func(values [parts][]byte) (err error) {
			values[1], err = RewrapSecret(from, values[0], values[1])
			for _, part := range values {
				if err == nil {
					err = writePart(w, part)
				}
			}
			return err
		})
		if err == nil {
			err = w.Flush()
		}
		pipe.CloseWithError(err) // nil ends the bundle
	}()
	_, err = from.Put(ctx, content.RostersOf(bundle), key, r)
	_ = r.Close() // ends the goroutine if Put did not read to the end
	return err
}

// openBundle opens a bundle with its key.
func openBundle(ctx context.Context, from *content.Store, bundle uuid.UUID) (io.ReadCloser, content.Key, error) {
	keys, err := from.FindKeys(ctx, content.RosterKeysOf(bundle))
	if err != nil {
		return nil, content.Key{}, err
	}
	key, err := from.Unwrap(bundle, keys.WrappedKey)
	if err != nil {
		return nil, content.Key{}, err
	}
	r, err := from.Get(ctx, content.RostersOf(bundle), key)
	return r, key, err
}

// eachPart calls visit with the values of each roster in a bundle.
func eachPart(bundle io.Reader, visit func([parts][]byte) error) error {
	r := bufio.NewReaderSize(bundle, 1<<16)
	for {
		values, err := readParts(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = visit(values)
		}
		if err != nil {
			return err
		}
	}
}

// writePart writes a value with its length in front.
func writePart(w io.Writer, part []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(part))), part...)) // #nosec G115 -- below longestPart
	return err
}
