package checkpoint

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"postern/internal/store/keyfile"
)

// Keys are the keys of a key file: the signing key, and the verifiers of this key and of
// all earlier ones.
//
// The file has the signing key on its first line and a verifier on each further line, the
// newest first, in the format of package note. Rotation keeps the verifier of the old key
// and destroys its secret.
type Keys struct {
	Signer    note.Signer
	Verifiers []string // as text, the verifier of Signer first
}

// CreateKeyFile creates a key file for a record with the name, unless it exists, and
// reports whether it did. If name is "", the record gets a random name.
func CreateKeyFile(path, name string) (created bool, err error) {
	if _, err := os.Lstat(path); err == nil {
		return false, keyfile.Sync(path) // the creator may have crashed before syncing it
	}
	if name == "" {
		name = "postern/" + strings.ToLower(rand.Text()[:12])
	}
	secret, verifier, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return false, fmt.Errorf("making a checkpoint key for %q: %w", name, err)
	}
	if _, err := note.NewVerifier(verifier); err != nil {
		return false, fmt.Errorf("%q can't name a record: use the form clinic.example/record, without spaces and +", name)
	}
	if created, err = keyfile.Create(path, []byte(secret+"\n"+verifier+"\n")); err != nil {
		return false, fmt.Errorf("creating the checkpoint key file: %w", err)
	}
	return created, nil
}

// Rotate replaces the signing key of a key file and keeps the verifiers of all earlier
// keys. The old signing key is destroyed. Processes that sign with the file must be
// restarted.
func Rotate(path string) (*Keys, error) {
	old, err := ReadKeyFile(path)
	if err != nil {
		return nil, err
	}
	secret, verifier, err := note.GenerateKey(rand.Reader, old.Signer.Name())
	if err != nil {
		return nil, fmt.Errorf("making a checkpoint key: %w", err)
	}
	lines := append([]string{secret, verifier}, old.Verifiers...)
	if err := keyfile.Replace(path, []byte(strings.Join(lines, "\n")+"\n")); err != nil {
		return nil, fmt.Errorf("writing the checkpoint key file: %w", err)
	}
	return ReadKeyFile(path)
}

// CreateSuccessor creates a key file to replace a lost one: with a new key for the same
// record, and the verifiers of the earlier keys, the newest first. An existing key file
// keeps its key and gets the verifiers that it lacks. created reports whether a new file
// was made. Processes that sign with the file must be restarted.
func CreateSuccessor(path string, before *Verifiers) (created bool, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if created, err = CreateKeyFile(path, before.Origin()); err != nil {
			return false, err
		}
	}
	// A crash here leaves a new key without the earlier verifiers; a second call adds them.
	keys, err := ReadKeyFile(path)
	if err != nil {
		return created, err
	}
	data, err := keyfile.Read(path)
	if err != nil {
		return created, fmt.Errorf("reading the checkpoint key file: %w", err)
	}
	secret, _, _ := strings.Cut(string(data), "\n")
	lines := append([]string{secret}, keys.Verifiers...)
	for _, v := range before.Texts() {
		if !slices.Contains(keys.Verifiers, v) {
			lines = append(lines, v)
		}
	}
	if err := keyfile.Replace(path, []byte(strings.Join(lines, "\n")+"\n")); err != nil {
		return created, fmt.Errorf("writing the checkpoint key file: %w", err)
	}
	return created, nil
}

// ReadKeyFile reads a key file. Only its owner may have access to it.
func ReadKeyFile(path string) (*Keys, error) {
	data, err := keyfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the checkpoint key file: %w: `postern keys checkpoint FILE` makes one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoint key file: %w", err)
	}
	secret, verifiers, _ := strings.Cut(string(data), "\n")
	k := &Keys{}
	if k.Signer, err = note.NewSigner(secret); err != nil {
		return nil, fmt.Errorf("the checkpoint key file %s holds no signing key on its first line: %w: restore it from its backup", path, err)
	}
	known, err := ParseVerifiers(verifiers)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint key file %s: %w: restore it from its backup", path, err)
	}
	if known.list[0].KeyHash() != k.Signer.KeyHash() {
		return nil, fmt.Errorf("the checkpoint key file %s: the first verifier is not that of the signing key: restore it from its backup", path)
	}
	k.Verifiers = known.Texts()
	return k, nil
}

// Verifiers are the known keys that verify checkpoints.
type Verifiers struct {
	list  []note.Verifier
	texts []string
}

// ParseVerifiers reads verifiers as text, one a line.
func ParseVerifiers(text string) (*Verifiers, error) {
	known := &Verifiers{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		v, err := note.NewVerifier(line)
		if err != nil {
			return nil, fmt.Errorf("%q is not a key that verifies checkpoints: %w", line, err)
		}
		known.list = append(known.list, v)
		known.texts = append(known.texts, line)
	}
	if len(known.list) == 0 {
		return nil, errors.New("there is no key that verifies checkpoints")
	}
	return known, nil
}

// Origin returns the name of the record, from the first key.
func (k *Verifiers) Origin() string { return k.list[0].Name() }

// Texts returns the keys as text.
func (k *Verifiers) Texts() []string { return k.texts }

// Verifier implements note.Verifiers.
func (k *Verifiers) Verifier(name string, hash uint32) (note.Verifier, error) {
	for _, v := range k.list {
		if v.Name() == name && v.KeyHash() == hash {
			return v, nil
		}
	}
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

// Known returns the verifiers of a key file.
func (k *Keys) Known() (*Verifiers, error) { return ParseVerifiers(strings.Join(k.Verifiers, "\n")) }
