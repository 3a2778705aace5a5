package content

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"postern/internal/store/keyfile"
)

// KeyID identifies a key of a key file. Everything that the key encrypts begins with it.
type KeyID uint32

// String writes the id as Tink's tools do.
func (id KeyID) String() string { return fmt.Sprint(uint32(id)) }

// prefix is the length of what Tink puts in front of a ciphertext: a version and the key's id.
const prefix = 5

// WrappedBy returns the key of the key file that made a ciphertext, and false if it does not say
// one. The ciphertext is not checked.
func WrappedBy(ciphertext []byte) (KeyID, bool) {
	if len(ciphertext) < prefix || ciphertext[0] != 1 {
		return 0, false
	}
	return KeyID(binary.BigEndian.Uint32(ciphertext[1:])), true
}

// A KeyFile is the key-encryption key: a Tink keyset of AEAD keys in cleartext JSON, as
// CreateKeyFile writes it. The keyset's primary key wraps, and every enabled key unwraps. Only the
// owner may have access to the file.
//
// The file may be replaced while processes run: see package rotation. A KeyFile reads it again
// before it wraps and when a key doesn't open, if the file has changed. While the file can't be
// read, it uses the keys that it has.
//
// A KeyFile implements [tink.AEAD]. It is safe for concurrent use.
type KeyFile struct {
	path string
	keys atomic.Pointer[keys]
	mu   sync.Mutex // held while the file is read again
}

// keys are the keys of a key file as it was when it was read.
type keys struct {
	tink.AEAD
	handle *keyset.Handle
	file   fs.FileInfo
}

// ReadKeyFile reads a key file.
func ReadKeyFile(path string) (*KeyFile, error) {
	k, err := readKeys(path)
	if err != nil {
		return nil, err
	}
	f := &KeyFile{path: path}
	f.keys.Store(k)
	return f, nil
}

func readKeys(path string) (*keys, error) {
	// The file is looked at before it is read: if it is replaced in between, it counts as changed.
	info, err := os.Stat(path)
	var data []byte
	if err == nil {
		data, err = keyfile.Read(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the content key file: %w: restore it from its backup; without it no content can be read", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the content key file: %w", err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, fmt.Errorf("the content key file %s holds no Tink keyset: %w: restore it from its backup", path, err)
	}
	kek, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("the content key file %s holds no AEAD keyset: %w: restore it from its backup", path, err)
	}
	return &keys{kek, handle, info}, nil
}

// Encrypt implements [tink.AEAD] with the primary key.
func (f *KeyFile) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	return f.current().Encrypt(plaintext, associatedData)
}

// Decrypt implements [tink.AEAD] with the key that made the ciphertext.
func (f *KeyFile) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	known := f.keys.Load()
	plaintext, err := known.Decrypt(ciphertext, associatedData)
	if err != nil {
		if now := f.current(); now != known {
			return now.Decrypt(ciphertext, associatedData)
		}
	}
	return plaintext, err
}

// current returns the keys of the file as it is now.
func (f *KeyFile) current() *keys {
	if known := f.keys.Load(); known.isOf(f.path) {
		return known
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.keys.Load(); known.isOf(f.path) { // read by another goroutine
		return known
	}
	if read, err := readKeys(f.path); err == nil {
		f.keys.Store(read)
	}
	return f.keys.Load()
}

// isOf reports whether the file has not changed since k was read.
func (k *keys) isOf(path string) bool {
	now, err := os.Stat(path)
	return err != nil || os.SameFile(now, k.file) && now.ModTime().Equal(k.file.ModTime()) && now.Size() == k.file.Size()
}

// Primary returns the key that wraps.
func (f *KeyFile) Primary() (KeyID, error) {
	e, err := f.current().handle.Primary()
	if err != nil {
		return 0, fmt.Errorf("reading the primary key of the content key file: %w", err)
	}
	return KeyID(e.KeyID()), nil
}

// IDs returns the enabled keys, the oldest first.
func (f *KeyFile) IDs() (ids []KeyID, err error) {
	handle := f.current().handle
	for i := range handle.Len() {
		e, err := handle.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("reading the keys of the content key file: %w", err)
		}
		if e.KeyStatus() == keyset.Enabled {
			ids = append(ids, KeyID(e.KeyID()))
		}
	}
	return ids, nil
}

// Path returns the path of the file.
func (f *KeyFile) Path() string { return f.path }

// Add adds a new key to the file, as its last one. It does not wrap yet.
func (f *KeyFile) Add() error {
	return f.change("adding a key to", func(m *keyset.Manager) error {
		_, err := m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
}

// Promote makes a key of the file the primary one.
func (f *KeyFile) Promote(id KeyID) error {
	return f.change("promoting a key of", func(m *keyset.Manager) error { return m.SetPrimary(uint32(id)) })
}

// RemoveAllBut removes all keys from the file except one.
func (f *KeyFile) RemoveAllBut(kept KeyID) error {
	ids, err := f.IDs()
	if err != nil {
		return err
	}
	return f.change("removing keys from", func(m *keyset.Manager) error {
		for _, id := range slices.DeleteFunc(ids, func(id KeyID) bool { return id == kept }) {
			if err := m.Delete(uint32(id)); err != nil {
				return err
			}
		}
		return nil
	})
}

// change replaces the file atomically. One process at a time may call it.
func (f *KeyFile) change(doing string, change func(*keyset.Manager) error) error {
	m := keyset.NewManagerFromHandle(f.current().handle)
	err := change(m)
	var data []byte
	if err == nil {
		data, err = encodeKeys(m)
	}
	if err == nil {
		err = keyfile.Replace(f.path, data)
	}
	if err != nil {
		return fmt.Errorf("%s the content key file: %w", doing, err)
	}
	return nil
}

func encodeKeys(m *keyset.Manager) ([]byte, error) {
	handle, err := m.Handle()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b))
	return b.Bytes(), err
}

// CreateKeyFile creates a key file (AES256-GCM, mode 0600) and reports whether it did. It
// never changes an existing file. Of several processes at once, one creates the file and
// all find the same key.
func CreateKeyFile(path string) (created bool, err error) {
	if _, err := os.Lstat(path); err == nil {
		return false, keyfile.Sync(path) // the creator may have crashed before syncing it
	}
	m := keyset.NewManager()
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	var data []byte
	if err == nil {
		data, err = encodeKeys(m)
	}
	if err != nil {
		return false, fmt.Errorf("making a content key: %w", err)
	}
	if created, err = keyfile.Create(path, data); err != nil {
		return false, fmt.Errorf("creating the content key file: %w", err)
	}
	return created, nil
}
