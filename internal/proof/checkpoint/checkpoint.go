// Package checkpoint signs the state of the record: the size and the root of its Merkle
// tree, in the format of https://c2sp.org/tlog-checkpoint, as a signed note
// (golang.org/x/mod/sumdb/note, Ed25519):
//
//	clinic.example/record
//	1204331
//	qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=
//
//	— clinic.example/record Az3grtLmm1y…
//
// The first line is the origin: the name of the record, which is also the name of every
// key that signs for it. The signed size and root fit only one content of the record. So
// anyone with an old checkpoint can check later whether earlier events were changed.
package checkpoint

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint is the signed state of the record.
type Checkpoint struct {
	Origin string
	Size   uint64 // the number of events, which is the sequence of the last one
	Root   tlog.Hash
}

// Sign returns the signed text of the checkpoint.
func (c Checkpoint) Sign(signer note.Signer) (string, error) {
	c.Origin = signer.Name()
	text, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)}, signer)
	if err != nil {
		return "", fmt.Errorf("signing a checkpoint: %w", err)
	}
	return string(text), nil
}

// ErrForged is the error for a text that none of the known keys has signed.
var ErrForged = errors.New("it is not signed by a known key")

// Open reads a checkpoint and checks its signature. If none of the known keys has signed
// it, the error wraps [ErrForged].
func Open(signed string, known *Verifiers) (Checkpoint, error) {
	n, err := note.Open([]byte(signed), known)
	if err != nil {
		if of, _, _ := strings.Cut(signed, "\n"); !slices.ContainsFunc(known.list, func(v note.Verifier) bool { return v.Name() == of }) {
			return Checkpoint{}, fmt.Errorf("opening a checkpoint: %w: it belongs to the record %q, and the key to %q", ErrForged, of, known.Origin())
		}
		return Checkpoint{}, fmt.Errorf("opening a checkpoint: %w (%w)", ErrForged, err)
	}
	c, err := parse(n.Text)
	if err == nil {
		// The last character of a signature has unused bits, which must be zero.
		_, err = base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64)
	}
	if err == nil && n.Sigs[0].Name != c.Origin {
		err = fmt.Errorf("it belongs to %s but is signed for %s", c.Origin, n.Sigs[0].Name)
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("opening a checkpoint: %w", err)
	}
	return c, nil
}

// parse reads the text of a note. It ignores further lines, which are extensions.
func parse(text string) (c Checkpoint, err error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 {
		return c, errors.New("it has too few lines")
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseUint(lines[1], 10, 63); err != nil || strconv.FormatUint(c.Size, 10) != lines[1] {
		return c, fmt.Errorf("%q is not a size", lines[1])
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil || c.Root.String() != lines[2] {
		return c, fmt.Errorf("%q is not a hash", lines[2])
	}
	return c, nil
}
