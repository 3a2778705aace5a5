package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// A segment has, for each event, a skippable zstd frame with the sequence and the length
// of the next frame, and then the event as Postgres stores it, which is a zstd frame too
// ([merkle.Pack]). So `zstd -dc` shows every event of a segment, and writing a segment
// needs no compression.
const (
	skippable = 0x184D2A50
	headSize  = 4 + 4 + 8 + 4
)

// AppendEvent appends an event, as Postgres stores it, to a segment.
func AppendEvent(segment []byte, seq uint64, stored []byte) []byte {
	segment = binary.LittleEndian.AppendUint32(segment, skippable)
	segment = binary.LittleEndian.AppendUint32(segment, headSize-8)
	segment = binary.LittleEndian.AppendUint64(segment, seq)
	segment = binary.LittleEndian.AppendUint32(segment, uint32(len(stored))) // #nosec G115 -- an event is under 8 MiB
	return append(segment, stored...)
}

// PutSegment stores a segment of the events from first to last. Storing it again changes
// nothing.
func (a *Archive) PutSegment(ctx context.Context, first, last uint64, segment []byte) error {
	return a.create(ctx, fmt.Sprintf("%s%020d-%020d-%x.zst", segments, first, last, sha256.Sum256(segment)), segment)
}

// ErrChanged is the error for a segment whose content does not match its name.
var ErrChanged = errors.New("the segment is not what its name says")

// ReadSegment calls each with every event of a segment, in order, as Postgres stored it.
// Before that it checks the digest of the whole segment.
func (a *Archive) ReadSegment(ctx context.Context, s Segment, each func(seq uint64, stored []byte) error) error {
	data, err := a.Read(ctx, s.Name)
	if err != nil {
		return err
	}
	if sha256.Sum256(data) != s.SHA256 {
		return fmt.Errorf("%w: %s", ErrChanged, s.Name)
	}
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], skippable)
	binary.LittleEndian.PutUint32(head[4:], headSize-8)
	want := s.First
	for ; len(data) > 0; want++ {
		if len(data) < headSize || !bytes.Equal(data[:8], head[:]) {
			return fmt.Errorf("%w: %s, at event %d", ErrChanged, s.Name, want)
		}
		seq, size := binary.LittleEndian.Uint64(data[8:]), int(binary.LittleEndian.Uint32(data[16:]))
		if data = data[headSize:]; seq != want || size > len(data) {
			return fmt.Errorf("%w: %s, at event %d", ErrChanged, s.Name, want)
		}
		if err := each(seq, data[:size:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	if want != s.Last+1 {
		return fmt.Errorf("%w: %s ends at event %d", ErrChanged, s.Name, want-1)
	}
	return nil
}
