package content

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Info is what is known of content once it is stored, and what events say of it.
type Info struct {
	Size   int64             // of the plaintext, in bytes
	SHA256 [sha256.Size]byte // of the plaintext
}

// Put encrypts what r gives and stores it under the name, in place of what was
// there. It reads r to its end in constant memory. When it returns an error
// nothing was stored, and what was there still is.
func (s *Store) Put(ctx context.Context, name Name, key Key, r io.Reader) (Info, error) {
	return s.put(ctx, name, key, r, false)
}

// Create is Put for a name that must be new: of several callers, in any
// process, one stores and the others get ErrExists, by when the blob is durable.
func (s *Store) Create(ctx context.Context, name Name, key Key, r io.Reader) (Info, error) {
	return s.put(ctx, name, key, r, true)
}

func (s *Store) put(ctx context.Context, name Name, key Key, r io.Reader, createOnly bool) (Info, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := s.bucket.NewWriter(ctx, string(name), &blob.WriterOptions{
		ContentType: "application/octet-stream",
		IfNotExist:  createOnly,
	})
	if err != nil {
		return Info{}, fmt.Errorf("storing content: %w", err)
	}
	info, err := encrypt(w, name, key, r)
	if err != nil {
		cancel() // Close then keeps nothing
		_ = w.Close()
		return Info{}, fmt.Errorf("storing content: %w", err)
	}
	if err := w.Close(); err != nil {
		if createOnly && gcerrors.Code(err) == gcerrors.FailedPrecondition {
			return Info{}, ErrExists
		}
		return Info{}, fmt.Errorf("storing content: %w", err)
	}
	return info, nil
}

// encrypt writes what r gives to w, encrypted and bound to the name.
func encrypt(w io.Writer, name Name, key Key, r io.Reader) (Info, error) {
	stream, err := key.stream()
	if err != nil {
		return Info{}, err
	}
	enc, err := stream.NewEncryptingWriter(w, []byte(name))
	if err != nil {
		return Info{}, err
	}
	digest := sha256.New()
	size, err := io.Copy(io.MultiWriter(digest, enc), r)
	if err != nil {
		return Info{}, err
	}
	if err := enc.Close(); err != nil { // writes the segment marked as the last
		return Info{}, err
	}
	info := Info{Size: size}
	digest.Sum(info.SHA256[:0])
	return info, nil
}

// Get opens what was stored under the name with this key, or returns
// ErrNotFound. All bytes that it gives are authentic, but only io.EOF says that
// they are all: a blob that was changed or cut gives ErrChanged first, which
// may be at its end. The caller closes it.
func (s *Store) Get(ctx context.Context, name Name, key Key) (io.ReadCloser, error) {
	blob, err := s.bucket.NewReader(ctx, string(name), nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading content: %w", err)
	}
	plain, err := decrypt(blob, name, key)
	if err != nil {
		_ = blob.Close()
		return nil, err
	}
	return plain, nil
}

func decrypt(blob io.ReadCloser, name Name, key Key) (*plaintext, error) {
	stream, err := key.stream()
	if err != nil {
		return nil, fmt.Errorf("reading content: %w", err)
	}
	from := &source{r: blob}
	dec, err := stream.NewDecryptingReader(from, []byte(name))
	if err != nil {
		return nil, from.explain()
	}
	return &plaintext{dec: dec, from: from, blob: blob}, nil
}

// plaintext is a blob being decrypted.
type plaintext struct {
	dec  io.Reader
	from *source
	blob io.Closer
	err  error
}

// Read implements io.Reader. Its first error is its last: Tink's reader, asked
// again after a last segment that failed, would say io.EOF.
func (p *plaintext) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.dec.Read(b)
	if err != nil && err != io.EOF {
		err = p.from.explain()
	}
	p.err = err
	return n, err
}

// Close implements io.Closer.
func (p *plaintext) Close() error { return p.blob.Close() }

// source is a blob's bytes. It tells a bucket that fails from a blob that was
// changed: Tink takes either for the end of the blob, or drops the error.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && err != io.EOF {
		s.err = fmt.Errorf("reading content: %w", err)
		return n, s.err
	}
	return n, err
}

// explain says why a blob could not be decrypted.
func (s *source) explain() error {
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("reading content: %w", ErrChanged)
}
