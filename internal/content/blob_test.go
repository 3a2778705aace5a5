package content

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/store/bucket"
)

const name = Name("bodies/1")

// Sizes around the boundaries of segments. The first segment of a blob also holds the
// header, and each ends with a tag.
var sizes = []int{0, 1, 1000, segmentSize - 56, segmentSize - 55, segmentSize, 3*segmentSize + 7}

func TestGetReturnsTheBytesOfPut(t *testing.T) {
	s := newStore(t)
	for _, size := range sizes {
		key, data := newKey(t, s), randomBytes(size)
		info, err := s.Put(t.Context(), name, key, iotest.HalfReader(bytes.NewReader(data)))
		must(t, err)
		if want := (Info{Size: int64(size), SHA256: sha256.Sum256(data)}); info != want {
			t.Errorf("%d bytes: got %v, want %v", size, info, want)
		}
		r, err := s.Get(t.Context(), name, key)
		must(t, err)
		must(t, iotest.TestReader(r, data))
		must(t, r.Close())
		stored, err := s.bucket.ReadAll(t.Context(), string(name))
		must(t, err)
		if size >= 1000 && bytes.Contains(stored, data[:16]) {
			t.Error("the bucket holds plaintext")
		}
	}
}

// Reading a changed blob fails, and all bytes returned before the failure are those that
// were stored.
func TestReadingAChangedBlobFails(t *testing.T) {
	s, other := newStore(t), Name("bodies/2")
	for _, size := range sizes {
		key, data := newKey(t, s), randomBytes(size)
		_, err := s.Put(t.Context(), name, key, bytes.NewReader(data))
		must(t, err)
		whole, err := s.bucket.ReadAll(t.Context(), string(name))
		must(t, err)
		check := func(what string, stored []byte, as Name, with Key) {
			t.Helper()
			must(t, s.bucket.WriteAll(t.Context(), string(as), stored, nil))
			got, err := readAll(t.Context(), s, as, with)
			if !errors.Is(err, ErrChanged) {
				t.Errorf("%d bytes, %s: got %v, want ErrChanged", size, what, err)
			}
			if !bytes.HasPrefix(data, got) {
				t.Errorf("%d bytes, %s: returned bytes that were never stored", size, what)
			}
		}
		for _, at := range []int{0, 1, 33, 39, 40, len(whole) / 2, len(whole) - 17, len(whole) - 1} {
			flipped := bytes.Clone(whole)
			flipped[min(at, len(whole)-1)] ^= 0x10
			check("a flipped bit", flipped, name, key)
			check("cut short", whole[:min(at, len(whole)-1)], name, key)
		}
		if len(whole) > segmentSize {
			check("cut after a segment", whole[:segmentSize], name, key)
		}
		check("a byte added", append(bytes.Clone(whole), 0), name, key)
		check("twice over", append(bytes.Clone(whole), whole...), name, key)
		check("moved to another name", whole, other, key)
		check("another's key", whole, name, newKey(t, s))
	}
}

func TestSegmentsCannotBeReordered(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s)
	_, err := s.Put(t.Context(), name, key, bytes.NewReader(randomBytes(4*segmentSize)))
	must(t, err)
	stored, err := s.bucket.ReadAll(t.Context(), string(name))
	must(t, err)
	second, third := stored[segmentSize:2*segmentSize], stored[2*segmentSize:3*segmentSize]
	swapped := bytes.Join([][]byte{stored[:segmentSize], third, second, stored[3*segmentSize:]}, nil)
	must(t, s.bucket.WriteAll(t.Context(), string(name), swapped, nil))
	if _, err := readAll(t.Context(), s, name, key); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v, want ErrChanged", err)
	}
}

func TestAReaderRepeatsItsError(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s)
	_, err := s.Put(t.Context(), name, key, strings.NewReader("short"))
	must(t, err)
	stored, err := s.bucket.ReadAll(t.Context(), string(name))
	must(t, err)
	r, err := decrypt(io.NopCloser(bytes.NewReader(stored[:len(stored)-1])), name, key)
	must(t, err)
	for range 3 {
		if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, ErrChanged) {
			t.Fatalf("got %d bytes and %v", n, err)
		}
	}
}

func TestAFailingBucketIsNotReportedAsAChangedBlob(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s)
	_, err := s.Put(t.Context(), name, key, bytes.NewReader(randomBytes(2*segmentSize)))
	must(t, err)
	stored, err := s.bucket.ReadAll(t.Context(), string(name))
	must(t, err)
	for _, at := range []int{0, 5, segmentSize / 2, len(stored) - 1} {
		cut := io.MultiReader(bytes.NewReader(stored[:at]), iotest.ErrReader(io.ErrUnexpectedEOF))
		r, err := decrypt(io.NopCloser(cut), name, key)
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if errors.Is(err, ErrChanged) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("connection lost at byte %d: got %v", at, err)
		}
	}
}

func TestAFailingReaderStoresNothing(t *testing.T) {
	broken := errors.New("connection reset")
	for _, address := range []string{"mem://", filepath.Join(t.TempDir(), "content")} {
		s := open(t, address)
		key := newKey(t, s)
		half := func() io.Reader {
			return io.MultiReader(bytes.NewReader(randomBytes(2*segmentSize)), iotest.ErrReader(broken))
		}
		if _, err := s.Put(t.Context(), name, key, half()); !errors.Is(err, broken) {
			t.Errorf("%s: got %v", address, err)
		}
		if _, err := s.Get(t.Context(), name, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: a blob was stored: %v", address, err)
		}
		_, err := s.Put(t.Context(), name, key, strings.NewReader("first"))
		must(t, err)
		if _, err := s.Put(t.Context(), name, key, half()); !errors.Is(err, broken) {
			t.Errorf("%s: got %v", address, err)
		}
		if got, err := readAll(t.Context(), s, name, key); err != nil || string(got) != "first" {
			t.Errorf("%s: the earlier blob is now %q, %v", address, got, err)
		}
	}
}

func TestOnlyOneOfManyCreatorsStores(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "content")
	s := open(t, dir)
	key, manifest := newKey(t, s), ManifestOf(uuid.New())
	stored := make(chan Info, 8)
	var wg sync.WaitGroup
	for i := range cap(stored) {
		wg.Go(func() {
			info, err := s.Create(context.Background(), manifest, key, bytes.NewReader(randomBytes(1000+i)))
			if err == nil {
				stored <- info
			} else if !errors.Is(err, ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(stored) != 1 {
		t.Fatalf("%d stored it", len(stored))
	}
	got, err := readAll(t.Context(), s, manifest, key)
	must(t, err)
	if want := <-stored; sha256.Sum256(got) != want.SHA256 {
		t.Error("the stored blob differs from the Info of the winner")
	}
}

func TestDelete(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s)
	_, err := s.Put(t.Context(), name, key, strings.NewReader("x"))
	must(t, err)
	for range 2 {
		must(t, s.Delete(t.Context(), name))
		if _, err := s.Get(t.Context(), name, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
}

func TestStoresInConstantMemory(t *testing.T) {
	s := open(t, t.TempDir())
	key := newKey(t, s)
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := s.Put(t.Context(), name, key, io.LimitReader(zeros{}, size))
	must(t, err)
	r, err := s.Get(t.Context(), name, key)
	must(t, err)
	n, err := io.Copy(io.Discard, r)
	must(t, err)
	must(t, r.Close())
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; n != size || allocated > 4<<20 {
		t.Errorf("storing %d bytes allocated %d", n, allocated)
	}
}

func TestAddresses(t *testing.T) {
	dir := t.TempDir()
	for _, address := range []string{"mem://", dir, "file://" + dir + "/new", "file://localhost" + dir} {
		s := open(t, address)
		key := newKey(t, s)
		_, err := s.Put(t.Context(), name, key, strings.NewReader(address))
		must(t, err)
		if got, err := readAll(t.Context(), s, name, key); err != nil || string(got) != address {
			t.Errorf("%s: got %q, %v", address, got, err)
		}
	}
	for _, address := range []string{"", "ftp://x", "file://elsewhere/x", "file://", "file:///x?create_dir=1", "s3://"} {
		if b, err := bucket.Open(t.Context(), address); err == nil {
			t.Errorf("%q was opened", address)
			must(t, b.Close())
		}
	}
}

// Reading any bytes as a blob gives an error and no bytes, unless encrypt made them (in
// this process or in another of the fuzzer's processes).
func FuzzDecrypt(f *testing.F) {
	const text = "Dear Ann, your results are in."
	var key Key
	var good bytes.Buffer
	_, err := encrypt(&good, name, key, strings.NewReader(text))
	must(f, err)
	f.Add(good.Bytes())
	f.Add(good.Bytes()[:good.Len()-1])
	f.Add([]byte{})
	f.Add([]byte{40})
	f.Add(bytes.Repeat([]byte{40}, segmentSize+100))
	f.Fuzz(func(t *testing.T, stored []byte) {
		var got []byte
		r, err := decrypt(io.NopCloser(bytes.NewReader(stored)), name, key)
		if err == nil {
			got, err = io.ReadAll(r)
		}
		if genuine := err == nil && string(got) == text; genuine {
			return
		}
		if len(got) > 0 || !errors.Is(err, ErrChanged) {
			t.Errorf("got %q and %v, want no bytes and ErrChanged", got, err)
		}
		if _, err := key.Open("card", stored); !errors.Is(err, ErrChanged) {
			t.Errorf("as a sealed field: got %v, want ErrChanged", err)
		}
	})
}

// Reading and writing in steps of any size gives the same bytes.
func TestReadingAndWritingInSteps(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s)
	rapid.Check(t, func(rt *rapid.T) {
		data := randomBytes(rapid.IntRange(0, 3*segmentSize).Draw(rt, "size"))
		step := rapid.IntRange(1, segmentSize+1).Draw(rt, "step")
		must(t, readInSteps(s, key, data, step))
	})
}

func readInSteps(s *Store, key Key, data []byte, step int) error {
	ctx := context.Background()
	if _, err := s.Put(ctx, name, key, onlyReader{bytes.NewReader(data)}); err != nil {
		return err
	}
	r, err := s.Get(ctx, name, key)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	var got []byte
	for buf := make([]byte, step); ; {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if !bytes.Equal(got, data) {
		return errors.New("the read bytes differ from the written ones")
	}
	return nil
}

func open(t *testing.T, address string) *Store {
	t.Helper()
	keyFile := filepath.Join(t.TempDir(), "content.key")
	_, err := CreateKeyFile(keyFile)
	must(t, err)
	s, err := Open(t.Context(), address, keyFile)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func readAll(ctx context.Context, s *Store, name Name, key Key) ([]byte, error) {
	r, err := s.Get(ctx, name, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rand.Uint32()) // #nosec G404 -- test data
	}
	return data
}

// zeros is an endless reader of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
