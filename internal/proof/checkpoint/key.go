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

// Keys are those of a key file: one that signs, and the verifiers of all that
// signed before it.
//
// The file holds the signing key on its first line and a verifier on each further
// line, the newest first, as package note writes them. Rotating a key keeps its
// verifier, and nothing that could sign in its name.
type Keys struct {
	Signer    note.Signer
	Verifiers []string // as text, the signer's own first
}

// CreateKeyFile makes a key file for a record of that name, unless there is one,
// and says whether it did. Without a name the record gets one of its own.
func CreateKeyFile(path, name string) (created bool, err error) {
	if _, err := os.Lstat(path); err == nil {
		return false, keyfile.Sync(path) // its creator may not have got so far
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

// Rotate puts a new signing key into a key file and keeps the verifiers of all
// before it. The old signing key is gone after it. Whoever signs with the file
// must be started again.
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

// CreateSuccessor makes a key file in the place of one that was lost: a new key for the
// same record, and the verifiers of what was signed before, the newest first. A key file
// that is there keeps its key and gets the verifiers that it lacks; created tells which
// it was. Whoever signs with the file must be started again.
func CreateSuccessor(path string, before *Verifiers) (created bool, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if created, err = CreateKeyFile(path, before.Origin()); err != nil {
			return false, err
		}
	}
	// A crash here leaves a new key that knows nothing of before: doing it again adds that.
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

// ReadKeyFile reads a key file, which must be readable by its owner alone.
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
		return nil, fmt.Errorf("the checkpoint key file %s holds no signing key on its first line: %w: put it back from where its copy is kept", path, err)
	}
	known, err := ParseVerifiers(verifiers)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint key file %s: %w: put it back from where its copy is kept", path, err)
	}
	if known.list[0].KeyHash() != k.Signer.KeyHash() {
		return nil, fmt.Errorf("the checkpoint key file %s: the first verifier is not that of the signing key: put it back from where its copy is kept", path)
	}
	k.Verifiers = known.Texts()
	return k, nil
}

// Verifiers are the keys that are known.
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
			return nil, fmt.Errorf("%q is no key that verifies checkpoints: %w", line, err)
		}
		known.list = append(known.list, v)
		known.texts = append(known.texts, line)
	}
	if len(known.list) == 0 {
		return nil, errors.New("there is no key that verifies checkpoints")
	}
	return known, nil
}

// Origin is the name of the record, as the first key has it.
func (k *Verifiers) Origin() string { return k.list[0].Name() }

// Texts gives the keys as text.
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

// Known gives the verifiers of a key file.
func (k *Keys) Known() (*Verifiers, error) { return ParseVerifiers(strings.Join(k.Verifiers, "\n")) }
