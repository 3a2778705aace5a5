package content

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"gocloud.dev/blob/memblob"
)

// newKeyFile creates a key file and reads it, as a process that runs.
func newKeyFile(t *testing.T) *KeyFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content.key")
	_, err := CreateKeyFile(path)
	must(t, err)
	return again(t, path)
}

// again reads a key file as another process does.
func again(t *testing.T, path string) *KeyFile {
	t.Helper()
	f, err := ReadKeyFile(path)
	must(t, err)
	return f
}

func idsOf(t *testing.T, f *KeyFile) []KeyID {
	t.Helper()
	ids, err := f.IDs()
	must(t, err)
	return ids
}

func primaryOf(t *testing.T, f *KeyFile) KeyID {
	t.Helper()
	id, err := f.Primary()
	must(t, err)
	return id
}

// A process that runs follows every change of the key file that another process makes: it opens
// what the other has wrapped, and wraps by the key that is the primary one now.
func TestARunningProcessFollowsTheKeyFile(t *testing.T) {
	running := newKeyFile(t)
	other := again(t, running.Path())
	kept, id := New(memblob.OpenBucket(nil), running), uuid.New()
	elsewhere := New(memblob.OpenBucket(nil), other)
	_, byOld, err := kept.NewKey(id)
	must(t, err)
	first := idsOf(t, other)[0]

	must(t, other.Add())
	second := idsOf(t, other)[1]
	if primaryOf(t, other) != first {
		t.Error("a new key wraps before it is promoted")
	}
	must(t, other.Promote(second))
	_, byNew, err := elsewhere.NewKey(id)
	must(t, err)
	if by, ok := WrappedBy(byNew); !ok || by != second {
		t.Errorf("it was wrapped by %s, want %s", by, second)
	}
	if _, err := kept.Unwrap(id, byNew); err != nil {
		t.Errorf("the running process can't open what the new key wrapped: %v", err)
	}
	_, wrapped, err := kept.NewKey(id)
	must(t, err)
	if by, _ := WrappedBy(wrapped); by != second {
		t.Errorf("the running process wraps by %s, want %s", by, second)
	}
	fresh, err := kept.Rewrap(id, byOld)
	must(t, err)
	if by, _ := WrappedBy(fresh); by != second {
		t.Errorf("wrapped again by %s, want %s", by, second)
	}
	if same, err := kept.Rewrap(id, fresh); err != nil || !cmp.Equal(same, fresh) {
		t.Errorf("what the primary key wraps was changed: %v", err)
	}

	must(t, other.RemoveAllBut(second))
	if diff := cmp.Diff([]KeyID{second}, idsOf(t, running)); diff != "" {
		t.Errorf("the keys of the running process (-want +got):\n%s", diff)
	}
	if _, err := kept.Unwrap(id, byOld); err == nil {
		t.Error("the removed key still opens")
	}
	info, err := os.Stat(running.Path())
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
}

// While the key file is away or can't be read, a running process uses the keys that it has.
func TestARunningProcessKeepsItsKeys(t *testing.T) {
	running := newKeyFile(t)
	kept, id := New(memblob.OpenBucket(nil), running), uuid.New()
	_, wrapped, err := kept.NewKey(id)
	must(t, err)
	for _, c := range []struct {
		name  string
		spoil func(string) error
	}{
		{"cut", func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) }},
		{"readable by all", func(path string) error { return os.Chmod(path, 0o644) }},
		{"away", os.Remove},
	} {
		must(t, c.spoil(running.Path()))
		if _, err := kept.Unwrap(id, wrapped); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, _, err := kept.NewKey(id); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := ReadKeyFile(running.Path()); err == nil {
			t.Errorf("%s: a process starts with it", c.name)
		}
	}
}

// Many goroutines use the keys while the file is changed.
func TestTheKeyFileChangesUnderManyUsers(t *testing.T) {
	running := newKeyFile(t)
	kept := New(memblob.OpenBucket(nil), running)
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for range 50 {
				id := uuid.New()
				_, wrapped, err := kept.NewKey(id)
				if err == nil {
					_, err = kept.Unwrap(id, wrapped)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	other := again(t, running.Path())
	for range 10 {
		must(t, other.Add())
		ids := idsOf(t, other)
		must(t, other.Promote(ids[len(ids)-1]))
	}
	users.Wait()
}

// Only a ciphertext of a key file says who made it.
func TestWrappedBy(t *testing.T) {
	for _, ciphertext := range [][]byte{nil, {1, 2, 3}, {0, 0, 0, 0, 7, 9}} {
		if by, ok := WrappedBy(ciphertext); ok {
			t.Errorf("%v was made by %s", ciphertext, by)
		}
	}
	if by, ok := WrappedBy([]byte{1, 0, 0, 1, 2, 9}); !ok || by != 258 {
		t.Errorf("got %s, %t", by, ok)
	}
}
