package fanout

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"postern/internal/events"
	"postern/internal/proof/salted"
)

func writeManifest(t interface{ Fatal(...any) }, message uuid.UUID, recipients []events.Recipient) ([]byte, Summary) {
	var out bytes.Buffer
	key, err := salted.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	w, err := newManifestWriter(&out, message, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for i := range recipients {
		if err := w.add(&recipients[i]); err != nil {
			t.Fatal(err)
		}
	}
	summary, err := w.close(map[string]int{"added": len(recipients)}, map[string]int{"deceased": 1})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), summary
}

func reading(t interface{ Fatal(...any) }, manifest []byte) *manifestReader {
	r, err := newManifestReader(bytes.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func audience(n int) []events.Recipient {
	all := make([]events.Recipient, n)
	for i := range all {
		all[i] = events.Recipient{PortalUserID: fmt.Sprintf("pu-%d", i), PortalUserNo: int32(i + 1),
			Links: []events.Link{{PatientID: "pt", PatientNo: 1, Relationship: "self"}}}
	}
	return all
}

// For every audience, each recipient is read back once and in order, in chunks of at most a
// thousand, numbered from 0, and the digest is that of the bodies.
func TestAManifestIsReadBackAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message, want := uuid.New(), audience(rapid.IntRange(0, 3500).Draw(t, "recipients"))
		manifest, summary := writeManifest(t, message, want)

		r := reading(t, manifest)
		defer r.close()
		var got []events.Recipient
		digest := sha256.New()
		for {
			chunk, body, err := r.body()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(body)
			digest.Write(sum[:])
			var c events.DeliveriesCreated
			if err := c.UnmarshalJSON(body); err != nil {
				t.Fatal(err)
			}
			if c.Chunk != chunk || c.MessageID != message || len(c.Recipients) > events.ChunkSize || len(c.Recipients) == 0 {
				t.Fatalf("chunk %d says it is chunk %d of %s with %d recipients", chunk, c.Chunk, c.MessageID, len(c.Recipients))
			}
			got = append(got, c.Recipients...)
		}
		if len(got) != len(want) || len(want) > 0 && cmp.Diff(want, got) != "" {
			t.Errorf("wrote %d recipients, read %d different ones", len(want), len(got))
		}
		if d := "sha256:" + hex.EncodeToString(digest.Sum(nil)); d != summary.Digest {
			t.Errorf("the digest is %s, its chunks' is %s", summary.Digest, d)
		}
		again, err := reading(t, manifest).summary()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(summary, again); diff != "" {
			t.Errorf("the summary differs (-written +read):\n%s", diff)
		}
	})
}

func TestAManifestThatIsCutIsAnErrorAndNotAnAudience(t *testing.T) {
	manifest, _ := writeManifest(t, uuid.New(), audience(1200))
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(manifest)-2).Draw(t, "cut at")
		r := reading(t, manifest[:at])
		defer r.close()
		if s, err := r.summary(); err == nil {
			t.Errorf("truncated at byte %d of %d it still has the summary %+v", at, len(manifest), s)
		}
	})
}

// A NATS server accepts a mebibyte by default. Recipients with links to very many patients
// are divided into smaller chunks.
func TestAChunkEndsBeforeItsEventIsTooLarge(t *testing.T) {
	links := make([]events.Link, 60)
	for i := range links {
		links[i] = events.Link{PatientID: strings.Repeat("p", 64), PatientNo: 1, Relationship: "representative"}
	}
	crowd := audience(400)
	for i := range crowd {
		crowd[i].Links = links
	}
	manifest, summary := writeManifest(t, uuid.New(), crowd)
	if summary.Chunks < 2 {
		t.Fatalf("%d chunks", summary.Chunks)
	}
	r := reading(t, manifest)
	defer r.close()
	for {
		chunk, body, err := r.body()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 1<<20-8<<10 {
			t.Errorf("chunk %d has %d bytes", chunk, len(body))
		}
	}
}
