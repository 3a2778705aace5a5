package content

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"postern/internal/store/keyfile"
)

// ReadKeyFile reads a key file: a Tink keyset of AEAD keys in cleartext JSON, as
// CreateKeyFile writes it. The keyset's primary key wraps, and every enabled key unwraps.
// So the KEK can be rotated with Tink's tool, tinkey: add a key, restart all processes,
// promote the key, restart all processes. Only the owner may have access to the file.
func ReadKeyFile(path string) (tink.AEAD, error) {
	data, err := keyfile.Read(path)
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
	return kek, nil
}

// CreateKeyFile creates a key file (AES256-GCM, mode 0600) and reports whether it did. It
// never changes an existing file. Of several processes at once, one creates the file and
// all find the same key.
func CreateKeyFile(path string) (created bool, err error) {
	if _, err := os.Lstat(path); err == nil {
		return false, keyfile.Sync(path) // the creator may have crashed before syncing it
	}
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return false, fmt.Errorf("making a content key: %w", err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return false, fmt.Errorf("making a content key: %w", err)
	}
	if created, err = keyfile.Create(path, b.Bytes()); err != nil {
		return false, fmt.Errorf("creating the content key file: %w", err)
	}
	return created, nil
}
