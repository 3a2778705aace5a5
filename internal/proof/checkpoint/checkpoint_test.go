package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func keys(t testing.TB, name string) (*Keys, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checkpoint.key")
	if created, err := CreateKeyFile(path, name); err != nil || !created {
		t.Fatal(created, err)
	}
	k, err := ReadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return k, path
}

func verifiers(t testing.TB, k *Keys) *Verifiers {
	t.Helper()
	known, err := ParseVerifiers(strings.Join(k.Verifiers, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// A signed checkpoint opens to the same values. With any byte changed it does not open.
func TestOneChangedByteIsFound(t *testing.T) {
	t.Parallel()
	k, _ := keys(t, "clinic.example/record")
	known := verifiers(t, k)
	rapid.Check(t, func(rt *rapid.T) {
		c := Checkpoint{Origin: "clinic.example/record", Size: rapid.Uint64Range(1, 1<<62).Draw(rt, "size"),
			Root: tlog.RecordHash(rapid.SliceOf(rapid.Byte()).Draw(rt, "leaf"))}
		signed, err := c.Sign(k.Signer)
		if err != nil {
			rt.Fatal(err)
		}
		if got, err := Open(signed, known); err != nil || got != c {
			rt.Fatalf("it opens to %v, %v", got, err)
		}
		changed := []byte(signed)
		changed[rapid.IntRange(0, len(changed)-1).Draw(rt, "at")] ^= rapid.ByteRange(1, 255).Draw(rt, "bits")
		if got, err := Open(string(changed), known); err == nil {
			rt.Errorf("%q opens to %v", changed, got)
		}
	})
}

func TestAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	ours, _ := keys(t, "clinic.example/record")
	theirs, _ := keys(t, "clinic.example/record")
	signed, err := Checkpoint{Size: 7}.Sign(theirs.Signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(signed, verifiers(t, ours)); !errors.Is(err, ErrForged) {
		t.Errorf("it says %v", err)
	}
}

// After a rotation the old checkpoints still open, and the old key can no longer sign.
func TestARotatedKey(t *testing.T) {
	t.Parallel()
	old, path := keys(t, "")
	before, err := Checkpoint{Size: 7}.Sign(old.Signer)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := Rotate(path)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Checkpoint{Size: 8}.Sign(renewed.Signer)
	if err != nil {
		t.Fatal(err)
	}
	for _, signed := range []string{before, after} {
		if _, err := Open(signed, verifiers(t, renewed)); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(after, verifiers(t, old)); err == nil {
		t.Error("the old key verifies what the new one signed")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(data), "PRIVATE+KEY"); got != 1 {
		t.Errorf("the file holds %d keys that sign", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("others may read the key file")
	}
}

func TestWrongKeyFiles(t *testing.T) {
	t.Parallel()
	_, path := keys(t, "")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, foreign := keys(t, "")
	other, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	secret, _, _ := strings.Cut(string(good), "\n")
	_, verifier, _ := strings.Cut(string(other), "\n")
	for name, text := range map[string]string{"empty": "", "no verifier": secret, "no secret": verifier, "another's verifier": secret + "\n" + verifier} {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKeyFile(file); err == nil {
			t.Errorf("%s: the file was accepted", name)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that all users may read: %v", err)
	}
	if _, err := CreateKeyFile(filepath.Join(t.TempDir(), "key"), "a clinic"); err == nil {
		t.Error("a name with a space was accepted")
	}
}

// A key that replaces a lost one signs for the same record, and earlier checkpoints are
// still verified. A second call changes nothing.
func TestASuccessorVerifiesEarlierCheckpoints(t *testing.T) {
	dir := t.TempDir()
	lost, successor := filepath.Join(dir, "lost.key"), filepath.Join(dir, "successor.key")
	if _, err := CreateKeyFile(lost, "clinic.example/record"); err != nil {
		t.Fatal(err)
	}
	before, err := ReadKeyFile(lost)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Checkpoint{Size: 7}.Sign(before.Signer)
	if err != nil {
		t.Fatal(err)
	}
	verifiers, err := before.Known()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, want := range []bool{true, false} {
		created, err := CreateSuccessor(successor, verifiers)
		if err != nil || created != want {
			t.Fatalf("created is %v, %v", created, err)
		}
		keys, err := ReadKeyFile(successor)
		if err != nil {
			t.Fatal(err)
		}
		known, err := keys.Known()
		if err != nil {
			t.Fatal(err)
		}
		if c, err := Open(signed, known); err != nil || c.Size != 7 {
			t.Errorf("the earlier checkpoint: %+v, %v", c, err)
		}
		if keys.Signer.Name() != "clinic.example/record" || len(keys.Verifiers) != 2 || keys.Verifiers[1] != before.Verifiers[0] {
			t.Errorf("%s signs, %v verify", keys.Signer.Name(), keys.Verifiers)
		}
		if texts == nil {
			texts = keys.Verifiers
		} else if texts[0] != keys.Verifiers[0] {
			t.Error("the second call made another key")
		}
	}
}
