package content

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"gocloud.dev/blob/memblob"
)

func TestWrappedKeyOpensOnlyForItsRow(t *testing.T) {
	s, id := newStore(t), uuid.New()
	key, wrapped, err := s.NewKey(id)
	must(t, err)
	got, err := s.Unwrap(id, wrapped)
	must(t, err)
	if got != key {
		t.Error("unwrapping gave another key")
	}
	if _, err := s.Unwrap(uuid.New(), wrapped); !errors.Is(err, ErrChanged) {
		t.Errorf("moved to another row: %v", err)
	}
	if _, err := newStore(t).Unwrap(id, wrapped); !errors.Is(err, ErrChanged) {
		t.Errorf("under another KEK: %v", err)
	}
	for i := range wrapped {
		changed := bytes.Clone(wrapped)
		changed[i] ^= 1
		if _, err := s.Unwrap(id, changed); !errors.Is(err, ErrChanged) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if _, err := s.Unwrap(id, wrapped[:i]); !errors.Is(err, ErrChanged) {
			t.Fatalf("truncated to %d bytes: %v", i, err)
		}
	}
}

func TestASecretOpensOnlyForItsPurposeAndRow(t *testing.T) {
	s := newStore(t)
	secret := []byte("the salts of a roster derive from it")
	sealed, err := s.SealSecret("roster", "1", secret)
	must(t, err)
	if bytes.Contains(sealed, secret) {
		t.Error("the secret is not encrypted")
	}
	got, err := s.OpenSecret("roster", "1", sealed)
	must(t, err)
	if !bytes.Equal(got, secret) {
		t.Errorf("got %q", got)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another purpose": func() ([]byte, error) { return s.OpenSecret("rosters", "1", sealed) },
		"another row":     func() ([]byte, error) { return s.OpenSecret("roster", "2", sealed) },
		"another KEK":     func() ([]byte, error) { return newStore(t).OpenSecret("roster", "1", sealed) },
		"truncated":       func() ([]byte, error) { return s.OpenSecret("roster", "1", sealed[1:]) },
	} {
		if _, err := open(); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSealedFieldOpensOnlyAsThatField(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s)
	plain := []byte(`{"subject":"Your results"}`)
	sealed, err := key.Seal("card", plain)
	must(t, err)
	got, err := key.Open("card", sealed)
	must(t, err)
	if !bytes.Equal(got, plain) {
		t.Errorf("got %q", got)
	}
	again, err := key.Seal("card", plain)
	must(t, err)
	if bytes.Equal(again, sealed) {
		t.Error("two seals of the same text are the same bytes")
	}
	if _, err := key.Open("note", sealed); !errors.Is(err, ErrChanged) {
		t.Errorf("as another field: %v", err)
	}
	if _, err := newKey(t, s).Open("card", sealed); !errors.Is(err, ErrChanged) {
		t.Errorf("with another key: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x80
		if _, err := key.Open("card", changed); !errors.Is(err, ErrChanged) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if _, err := key.Open("card", sealed[:i]); !errors.Is(err, ErrChanged) {
			t.Fatalf("truncated to %d bytes: %v", i, err)
		}
	}
}

func TestSealedWordsOpenOnlyForTheirPurpose(t *testing.T) {
	s := newStore(t)
	const words = "Zoë O'Brien"
	sealed, err := s.SealWords("search by ann", words)
	must(t, err)
	if url.QueryEscape(sealed) != sealed {
		t.Errorf("%s needs escaping in a URL", sealed)
	}
	got, err := s.OpenWords("search by ann", sealed)
	must(t, err)
	if got != words {
		t.Errorf("opened to %q", got)
	}
	for _, c := range []struct {
		store           *Store
		purpose, sealed string
	}{{s, "search by ben", sealed}, {newStore(t), "search by ann", sealed}, {s, "search by ann", sealed[1:]}, {s, "search by ann", "no+letter"}, {s, "search by ann", ""}} {
		if got, err := c.store.OpenWords(c.purpose, c.sealed); !errors.Is(err, ErrChanged) {
			t.Errorf("%s opened %q to %q, %v", c.purpose, c.sealed, got, err)
		}
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	var key Key
	for i := range key.secret {
		key.secret[i] = 0xA7
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "at", &key)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key)
	encoded, err := json.Marshal(map[string]any{"key": key})
	must(t, err)
	printed := fmt.Sprintf("%v %+v %#v %s %x %d %q %v", key, key, key, key, key, key, key, &key) + log.String() + string(encoded)
	for _, part := range []string{"a7", "A7", "167", "p6en"} {
		if strings.Contains(printed, part) {
			t.Errorf("the key shows in %s", printed)
		}
	}
}

func TestKeyFileIsCreatedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "content.key")
	const processes = 16
	var created sync.Map
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			did, err := CreateKeyFile(path)
			if err != nil {
				t.Error(err)
			}
			if _, err := ReadKeyFile(path); err != nil {
				t.Errorf("right after creation: %v", err)
			}
			if did {
				created.Store(i, true)
			}
		})
	}
	wg.Wait()
	n := 0
	created.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d of %d reported that they created it", n, processes)
	}
	before, err := os.ReadFile(path)
	must(t, err)
	if did, err := CreateKeyFile(path); did || err != nil {
		t.Errorf("created again: %v, %v", did, err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the key file was overwritten")
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left beside it: %v", entries)
	}
}

func TestKeyFileThatMustBeRefused(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(content), mode))
		must(t, os.Chmod(path, mode))
		return path
	}
	good := filepath.Join(dir, "good")
	_, err := CreateKeyFile(good)
	must(t, err)
	text, err := os.ReadFile(good)
	must(t, err)
	for _, c := range []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "none"), "restore it"},
		{"readable by the group", write("group", string(text), 0o640), "chmod 600"},
		{"readable by all", write("all", string(text), 0o604), "chmod 600"},
		{"empty", write("empty", "", 0o600), "is empty: restore it"},
		{"cut", write("cut", string(text[:len(text)/2]), 0o600), "restore it"},
		{"a folder", dir, "is not a file"},
	} {
		if _, err := ReadKeyFile(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// The operator adds a key and promotes it. Keys wrapped before still open, keys wrapped
// from then on need the new key, and the old one can be removed.
func TestRotatingTheKEK(t *testing.T) {
	path, id := filepath.Join(t.TempDir(), "content.key"), uuid.New()
	_, err := CreateKeyFile(path)
	must(t, err)
	open := func() *Store {
		kek, err := ReadKeyFile(path)
		must(t, err)
		return New(memblob.OpenBucket(nil), kek)
	}
	edit := func(change func(*keyset.Manager, []*keyset.Entry)) {
		data, err := os.ReadFile(path)
		must(t, err)
		handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
		must(t, err)
		var entries []*keyset.Entry
		for i := range handle.Len() {
			e, err := handle.Entry(i)
			must(t, err)
			entries = append(entries, e)
		}
		m := keyset.NewManagerFromHandle(handle)
		change(m, entries)
		handle, err = m.Handle()
		must(t, err)
		var b bytes.Buffer
		must(t, insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)))
		must(t, os.WriteFile(path, b.Bytes(), 0o600))
	}
	oldKey, oldWrapped, err := open().NewKey(id)
	must(t, err)
	edit(func(m *keyset.Manager, _ []*keyset.Entry) {
		added, err := m.Add(aead.AES256GCMKeyTemplate())
		must(t, err)
		must(t, m.SetPrimary(added))
	})
	rotated := open()
	if got, err := rotated.Unwrap(id, oldWrapped); err != nil || got != oldKey {
		t.Errorf("a key wrapped by the old key: %v", err)
	}
	_, newWrapped, err := rotated.NewKey(id)
	must(t, err)
	edit(func(m *keyset.Manager, entries []*keyset.Entry) { must(t, m.Disable(entries[0].KeyID())) })
	if _, err := open().Unwrap(id, newWrapped); err != nil {
		t.Errorf("without the old key: %v", err)
	}
	if _, err := open().Unwrap(id, oldWrapped); !errors.Is(err, ErrChanged) {
		t.Errorf("a key wrapped by the old key, without the old key: %v", err)
	}
}
