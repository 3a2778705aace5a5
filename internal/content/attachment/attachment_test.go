package attachment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"gocloud.dev/blob"

	"postern/internal/content"
	"postern/internal/content/clamd"
	"postern/internal/limits"
	"postern/internal/store/bucket/folder"
)

func TestUpload(t *testing.T) {
	u, bucket := newUploader(t)
	id, data := uuid.New(), pdf(1000)
	got, err := u.Upload(t.Context(), id, `C:\scans\Ann Lee`, iotest.OneByteReader(bytes.NewReader(data)))
	must(t, err)
	want := Uploaded{
		ID: id, Name: "Ann Lee.pdf", Size: 1000, MediaType: "application/pdf",
		SHA256: sha256.Sum256(data), WrappedKey: got.WrappedKey,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	key, err := u.Store.Unwrap(id, got.WrappedKey)
	must(t, err)
	r, err := u.Store.Get(t.Context(), content.AttachmentOf(id), key)
	must(t, err)
	stored, err := io.ReadAll(r)
	must(t, errors.Join(err, r.Close()))
	if !bytes.Equal(stored, data) {
		t.Error("the stored bytes differ")
	}
	if names := list(t, bucket); strings.Contains(strings.Join(names, ""), "Ann") || len(names) != 1 {
		t.Errorf("in the bucket: %v", names)
	}

	_, err = u.Upload(t.Context(), id, "other.pdf", bytes.NewReader(pdf(10)))
	if !errors.Is(err, content.ErrExists) {
		t.Errorf("an id that is taken: %v", err)
	}
}

func TestLargestAttachment(t *testing.T) {
	u, _ := newUploader(t)
	got, err := u.Upload(t.Context(), uuid.New(), "a.pdf", bytes.NewReader(pdf(int(limits.AttachmentSize))))
	if err != nil || got.Size != int64(limits.AttachmentSize) {
		t.Errorf("the limit to the byte: %d, %v", got.Size, err)
	}
}

// A failed upload leaves nothing in the bucket, for every kind of failure.
func TestFailedUploadStoresNothing(t *testing.T) {
	broken := errors.New("connection reset")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		r       io.Reader
		scanner string // its answer, "" for no scanner
		want    error
	}{
		{"one byte too many", t.Context(), bytes.NewReader(pdf(int(limits.AttachmentSize) + 1)), "", ErrTooLarge},
		{"endless", t.Context(), io.MultiReader(bytes.NewReader(pdf(100)), zeros{}), "", ErrTooLarge},
		{"empty", t.Context(), strings.NewReader(""), "", ErrEmpty},
		{"broken at once", t.Context(), iotest.ErrReader(broken), "", broken},
		{"broken half-way", t.Context(), io.MultiReader(bytes.NewReader(pdf(1<<20)), iotest.ErrReader(broken)), "", broken},
		{"broken at the very end", t.Context(), io.MultiReader(bytes.NewReader(pdf(int(limits.AttachmentSize))), iotest.ErrReader(broken)), "", broken},
		{"of another type", t.Context(), strings.NewReader("<html>"), "", &TypeError{Name: "a.pdf", Found: "text/html"}},
		{"infected", t.Context(), bytes.NewReader(pdf(100)), "stream: Eicar FOUND\x00", &clamd.InfectedError{Signature: "Eicar"}},
		{"not scanned", t.Context(), bytes.NewReader(pdf(100)), "ERROR\x00", clamd.ErrNoAnswer},
		{"given up", ended, bytes.NewReader(pdf(100)), "", context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, bucket := newUploader(t)
			if c.scanner != "" {
				u.Scanner = scanner(t, c.scanner)
			}
			_, err := u.Upload(c.ctx, uuid.New(), "a.pdf", c.r)
			if !errors.Is(err, c.want) && (err == nil || !strings.Contains(err.Error(), c.want.Error())) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if names := list(t, bucket); len(names) > 0 {
				t.Errorf("kept: %v", names)
			}
		})
	}
}

func TestCleanFileIsStoredAfterTheScan(t *testing.T) {
	u, bucket := newUploader(t)
	u.Scanner = scanner(t, "stream: OK\x00")
	_, err := u.Upload(t.Context(), uuid.New(), "a.pdf", bytes.NewReader(pdf(100)))
	must(t, err)
	if names := list(t, bucket); len(names) != 1 {
		t.Errorf("in the bucket: %v", names)
	}
}

func newUploader(t *testing.T) (Uploader, *blob.Bucket) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content.key")
	_, err := content.CreateKeyFile(path)
	must(t, err)
	kek, err := content.ReadKeyFile(path)
	must(t, err)
	bucket, err := folder.Open(t.TempDir())
	must(t, err)
	s := content.New(bucket, kek)
	t.Cleanup(func() { must(t, s.Close()) })
	return Uploader{Store: s}, bucket
}

// scanner is a clamd that reads one stream and sends the answer.
func scanner(t *testing.T, answer string) *clamd.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		var heard []byte
		for buf := make([]byte, 1024); !bytes.HasSuffix(heard, []byte{0, 0, 0, 0}); {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			heard = append(heard, buf[:n]...)
		}
		_, _ = io.WriteString(conn, answer)
	}()
	return clamd.New(l.Addr().String())
}

func list(t *testing.T, b *blob.Bucket) (names []string) {
	t.Helper()
	for all := b.List(nil); ; {
		o, err := all.Next(context.Background())
		if err == io.EOF {
			return names
		}
		must(t, err)
		names = append(names, o.Key)
	}
}

// pdf returns the beginning of a PDF, filled up to a size.
func pdf(size int) []byte {
	data := bytes.Repeat([]byte("%"), size)
	copy(data, "%PDF-1.7\n")
	return data
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// zeros is an endless reader of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
