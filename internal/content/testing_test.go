package content

import (
	"testing"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"gocloud.dev/blob/memblob"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	must(t, err)
	kek, err := aead.New(handle)
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
