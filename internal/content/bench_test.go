package content

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/uuid"
)

// A list page unwraps fifty keys; the target is 50 µs each.
func BenchmarkUnwrap(b *testing.B) {
	s := newStore(b)
	id := uuid.New()
	_, wrapped, err := s.NewKey(id)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Unwrap(id, wrapped); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenField(b *testing.B) {
	key := newKey(b, newStore(b))
	sealed, err := key.Seal("card", make([]byte, 500))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Open("card", sealed); err != nil {
			b.Fatal(err)
		}
	}
}

// The manifest of a large bulk message, without disk I/O; the target is 500 MB/s.
func BenchmarkEncryptManifest(b *testing.B) { benchmarkEncrypt(b, 100<<20) }

// The body of an ordinary message.
func BenchmarkEncryptBody(b *testing.B) { benchmarkEncrypt(b, 2<<10) }

func benchmarkEncrypt(b *testing.B, size int) {
	key, data := newKey(b, newStore(b)), make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encrypt(io.Discard, "manifests/1", key, onlyReader{bytes.NewReader(data)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecryptManifest(b *testing.B) {
	key := newKey(b, newStore(b))
	var stored bytes.Buffer
	if _, err := encrypt(&stored, "manifests/1", key, bytes.NewReader(make([]byte, 100<<20))); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(100 << 20)
	b.ReportAllocs()
	for b.Loop() {
		r, err := decrypt(io.NopCloser(bytes.NewReader(stored.Bytes())), "manifests/1", key)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}

// onlyReader hides all methods of a reader other than Read.
type onlyReader struct{ io.Reader }
