package content

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// The copies of keys behave the same in a folder, in memory and on S3.
func TestCopiesOfKeys(t *testing.T) {
	server := httptest.NewServer(&fakeS3{objects: map[string][]byte{}, parts: map[string][]byte{}})
	t.Cleanup(server.Close)
	for name, address := range map[string]string{
		"folder": filepath.Join(t.TempDir(), "content"), "memory": "mem://",
		"S3": "s3://clinic?region=eu-west-1&anonymous=true&use_path_style=true&endpoint=" + server.URL,
	} {
		t.Run(name, func(t *testing.T) {
			s, id := open(t, address), uuid.New()
			at := KeysOf(id)
			if _, err := s.FindKeys(t.Context(), at); !errors.Is(err, ErrNotFound) {
				t.Errorf("before: %v", err)
			}
			first, second := keysOf(t, s, id), keysOf(t, s, id)
			for _, k := range []Keys{first, second} {
				kept, err := s.StoreKeys(t.Context(), at, id, k)
				must(t, err)
				if diff := cmp.Diff(first, kept); diff != "" {
					t.Errorf("KeepKeys (-want +got):\n%s", diff)
				}
			}
			found, err := s.FindKeys(t.Context(), at)
			must(t, err)
			if diff := cmp.Diff(first, found); diff != "" {
				t.Errorf("FindKeys (-want +got):\n%s", diff)
			}
			// A copy that does not open is replaced.
			for _, damaged := range []string{"", "{}", "no JSON", `{"wrapped_key":"AAAA"}`} {
				must(t, s.bucket.WriteAll(t.Context(), string(at), []byte(damaged), nil))
				kept, err := s.StoreKeys(t.Context(), at, id, second)
				must(t, err)
				if found, err = s.FindKeys(t.Context(), at); err != nil || !cmp.Equal(found, second) || !cmp.Equal(kept, second) {
					t.Errorf("the damaged copy %q became %v, %v", damaged, found, err)
				}
			}
			must(t, s.Delete(t.Context(), at))
			if _, err := s.FindKeys(t.Context(), at); !errors.Is(err, ErrNotFound) {
				t.Errorf("after: %v", err)
			}
		})
	}
}

func keysOf(t *testing.T, s *Store, id uuid.UUID) Keys {
	t.Helper()
	key, wrapped, err := s.NewKey(id)
	must(t, err)
	sealed, err := key.Seal("header", []byte("a header"))
	must(t, err)
	return Keys{WrappedKey: wrapped, Sealed: sealed}
}

// Concurrent callers that keep keys of one message all get the same keys.
func TestConcurrentKeepKeysReturnTheSameKeys(t *testing.T) {
	s, id := open(t, filepath.Join(t.TempDir(), "content")), uuid.New()
	kept := make([]Keys, 8)
	var all sync.WaitGroup
	for i := range kept {
		k := keysOf(t, s, id)
		all.Go(func() {
			var err error
			if kept[i], err = s.StoreKeys(t.Context(), KeysOf(id), id, k); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, k := range kept {
		if !bytes.Equal(k.WrappedKey, kept[0].WrappedKey) {
			t.Fatal("two keys count")
		}
	}
}

// Bodies and Copies list the messages with a stored blob, each once, and nothing else.
func TestStoredMessagesAreListed(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "content"))
	want := map[uuid.UUID]bool{}
	for range 5 {
		id := uuid.New()
		want[id] = true
		_, err := s.StoreKeys(t.Context(), KeysOf(id), id, keysOf(t, s, id))
		must(t, err)
		_, err = s.StoreKeys(t.Context(), ManifestKeysOf(uuid.New()), id, keysOf(t, s, id))
		must(t, err)
	}
	must(t, s.bucket.WriteAll(t.Context(), "keys/else", nil, nil))
	got := map[uuid.UUID]bool{}
	for id, err := range s.Copies(t.Context()) {
		must(t, err)
		got[id] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for id, err := range s.Bodies(t.Context()) {
		t.Errorf("a body is listed: %s, %v", id, err)
	}
}
