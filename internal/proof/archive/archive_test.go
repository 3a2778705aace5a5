package archive

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"postern/internal/proof/merkle"
)

func opened(t *testing.T) *Archive {
	t.Helper()
	a, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func segmentOfThree(t *testing.T) []byte {
	t.Helper()
	var segment []byte
	for seq := uint64(5); seq < 8; seq++ {
		stored, err := merkle.Pack(&merkle.Stored{Seq: seq, Subject: "s", Data: []byte{'a' + byte(seq)}})
		if err != nil {
			t.Fatal(err)
		}
		segment = AppendEvent(segment, seq, stored)
	}
	return segment
}

// A stored segment is read back once and in order, and the zstd tool can read it.
func TestASegmentIsReadBack(t *testing.T) {
	t.Parallel()
	a, segment := opened(t), segmentOfThree(t)
	for range 2 { // a second time changes nothing
		if err := a.PutSegment(t.Context(), 5, 7, segment); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := a.Segments(t.Context())
	if err != nil || len(all) != 1 || all[0].First != 5 || all[0].Last != 7 {
		t.Fatalf("the archive has %+v, %v", all, err)
	}
	var got []uint64
	err = a.ReadSegment(t.Context(), all[0], func(seq uint64, stored []byte) error {
		s, err := merkle.Unpack(seq, stored)
		if string(s.Data) != string('a'+byte(seq)) {
			t.Errorf("event %d is %q", seq, s.Data)
		}
		got = append(got, seq)
		return err
	})
	if diff := cmp.Diff([]uint64{5, 6, 7}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if plain, err := d.DecodeAll(segment, nil); err != nil || len(plain) == 0 {
		t.Errorf("zstd does not read it: %v", err)
	}
}

// A change of any byte of a segment is found.
func TestAChangedSegmentIsFound(t *testing.T) {
	t.Parallel()
	a, segment := opened(t), segmentOfThree(t)
	if err := a.PutSegment(t.Context(), 5, 7, segment); err != nil {
		t.Fatal(err)
	}
	all, _, err := a.Segments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for at := range segment {
		changed := append([]byte(nil), segment...)
		changed[at] ^= 1
		if err := a.bucket.WriteAll(t.Context(), all[0].Name, changed, nil); err != nil {
			t.Fatal(err)
		}
		if err := a.ReadSegment(t.Context(), all[0], func(uint64, []byte) error { return nil }); !errors.Is(err, ErrChanged) {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
}

func TestTheLatestCheckpoint(t *testing.T) {
	t.Parallel()
	a := opened(t)
	if c, err := a.Latest(t.Context()); err != nil || c.Size != 0 {
		t.Fatalf("in an empty archive it is %+v, %v", c, err)
	}
	day := time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)
	for i, size := range []uint64{9, 10, 100} {
		if err := a.PutCheckpoint(t.Context(), size, day.Add(time.Duration(i)*time.Hour), "text"); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := a.Latest(t.Context()); err != nil || c.Size != 100 {
		t.Errorf("the latest checkpoint is %+v, %v", c, err)
	}
	if all, _, err := a.Checkpoints(t.Context()); err != nil || len(all) != 3 {
		t.Errorf("the archive has %d checkpoints, %v", len(all), err)
	}
	w, err := a.bucket.NewWriter(t.Context(), "checkpoints/2026-03-01/note.txt", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, "hello")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if all, foreign, err := a.Checkpoints(t.Context()); err != nil || len(all) != 3 || len(foreign) != 1 {
		t.Errorf("with a foreign object the archive lists %v and %v, %v", all, foreign, err)
	}
}
