package merkle

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/directory/block"
	"postern/internal/events"
)

// inParts is an event whose body has a private part, as it is stored.
func inParts(t testing.TB) Stored {
	t.Helper()
	b := events.DeliveriesByBlock{MessageID: uuid.New(), Day: time.Now(), Groups: []string{"all_portal_users"}, Selection: "sha256:00", Nonce: events.NewNonce(),
		Blocks: []events.CitedBlock{{No: 3, Roster: events.NewNonce(), Members: block.Members{}}}}
	b.Blocks[0].Members.Add(17)
	e, err := events.New("/test", "process:test", time.Now(), b)
	if err != nil {
		t.Fatal(err)
	}
	e.Chunk = &events.ChunkRef{Index: 0, Of: 1}
	return Stored{Seq: 17, Subject: e.Subject(), Header: e.Header(), Data: e.Data}
}

// A leaf of version 2 covers the sequence, the subject, every header and every byte of both
// parts, and can be computed from the digests of the parts.
func TestALeafOfPartsCoversTheWholeEvent(t *testing.T) {
	t.Parallel()
	s := inParts(t)
	leaf := Leaf(&s)
	public, private := events.Parts(s.Header, s.Data)
	if got := LeafOfParts(&s, sha256.Sum256(public), sha256.Sum256(private)); got != leaf {
		t.Errorf("the leaf is %x, and from the digests %x", leaf, got)
	}
	if got := LeafOfParts(&s, sha256.Sum256(private), sha256.Sum256(public)); got == leaf {
		t.Error("exchanged digests give the same leaf")
	}
	rapid.Check(t, func(rt *rapid.T) {
		other := Stored{s.Seq, s.Subject, map[string][]string{}, bytes.Clone(s.Data)}
		for name, values := range s.Header {
			other.Header[name] = append([]string{}, values...)
		}
		switch rapid.IntRange(0, 4).Draw(rt, "what") {
		case 0:
			other.Seq++
		case 1:
			other.Subject += "x"
		case 2:
			name := rapid.SampledFrom([]string{"ce-id", "ce-leaf", "ce-publiclength", "ce-chunk"}).Draw(rt, "header")
			other.Header[name][0] += "1"
		case 3:
			delete(other.Header, "ce-leaf")
		case 4:
			other.Data[rapid.IntRange(0, len(s.Data)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		}
		if Leaf(&other) == leaf {
			rt.Errorf("another event has the same leaf: %+v", other)
		}
	})
}

// The second copy of an event in parts gives the same leaf.
func TestAnEventInPartsIsCopied(t *testing.T) {
	t.Parallel()
	s := inParts(t)
	packed, err := Pack(&s)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Unpack(s.Seq, packed)
	if err != nil || Leaf(&back) != Leaf(&s) {
		t.Errorf("%+v, %v", back, err)
	}
}
