package content

import (
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"gocloud.dev/blob/memblob"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content.key")
	_, err := CreateKeyFile(path)
	must(t, err)
	kek, err := ReadKeyFile(path)
	must(t, err)
	s := New(memblob.OpenBucket(nil), kek)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func newKey(t testing.TB, s *Store) Key {
	t.Helper()
	key, _, err := s.NewKey(uuid.New())
	must(t, err)
	return key
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
