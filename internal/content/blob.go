package content

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Info describes stored content. Events contain it.
type Info struct {
	Size   int64             // of the plaintext, in bytes
	SHA256 [sha256.Size]byte // of the plaintext
}

// Put encrypts the data of r and stores it under the name, replacing an earlier blob.
// It reads r to its end in constant memory. If it returns an error, nothing was stored
// and the earlier blob is unchanged.
func (s *Store) Put(ctx context.Context, name Name, key Key, r io.Reader) (Info, error) {
	return s.put(ctx, name, key, r, false)
}

// Create is Put for a name that must be new. Of several callers, in any processes, one
// stores its blob and the others get ErrExists; the blob is durable by then.
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
		cancel() // so that Close stores nothing
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

// encrypt writes the data of r to w, encrypted and bound to the name.
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

// Get opens the blob that was stored under the name with this key, or returns
// ErrNotFound. All bytes read are authentic, but only io.EOF shows that they are
// complete: a changed or truncated blob returns ErrChanged, possibly only at its end.
// The caller must close the reader.
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

// plaintext is a reader that decrypts a blob.
type plaintext struct {
	dec  io.Reader
	from *source
	blob io.Closer
	err  error
}

// Read implements io.Reader. It returns its first error again on every later call:
// after a last segment that failed, Tink's reader would return io.EOF.
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

// source reads a blob's bytes and keeps the bucket's error, so that a failing bucket is
// not reported as a changed blob. Tink treats an error as the end of the blob, or
// drops it.
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

// explain returns the reason why a blob could not be decrypted.
func (s *source) explain() error {
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("reading content: %w", ErrChanged)
}
