// Package block divides the portal users into blocks: aligned runs of [Size] portal user
// numbers. The directory keeps a roster of each block, and the record keeps the deliveries
// of a message as one set of members for each block.
//
// Nothing in it does I/O. All functions are safe for concurrent use.
package block

import (
	"errors"
	"fmt"
	"iter"
	"math/bits"
)

// Size is the number of portal users in a block. Four blocks of a full audience are exactly
// the thousand recipients of a chunk. It is part of the stored form: rows and events are
// divided by it, so it never changes.
const Size = 250

// A No is the number of a block. Block 0 has the portal users 1 to 250, block 1 those from
// 251 to 500, and so on.
type No int32

// Of returns the block of a portal user, and the portal user's place in it, from 0 to
// Size-1. Portal users are numbered from 1.
func Of(portalUserNo int32) (No, int) {
	return No((portalUserNo - 1) / Size), int((portalUserNo - 1) % Size)
}

// At returns the number of the portal user at a place. The last block has fewer places: for
// the others At returns a number below 1, because no portal user has them.
func (b No) At(place int) int32 {
	return int32(b)*Size + int32(place) + 1 // #nosec G115 -- a place is below Size
}

// bitmapBytes is the length of a bitmap of a block.
const bitmapBytes = (Size + 7) / 8

// Members is a set of portal users of one block, by place. The zero value is empty. It can
// be copied and compared.
type Members struct{ bits [bitmapBytes]byte }

// Add adds the portal user at a place.
func (m *Members) Add(place int) { m.bits[place/8] |= 1 << (place % 8) }

// Remove removes the portal user at a place.
func (m *Members) Remove(place int) { m.bits[place/8] &^= 1 << (place % 8) }

// Has reports whether the portal user at a place is a member.
func (m *Members) Has(place int) bool { return m.bits[place/8]&(1<<(place%8)) != 0 }

// Count returns the number of members.
func (m *Members) Count() int { return m.Rank(Size) }

// Rank returns the number of members at lower places.
func (m *Members) Rank(place int) (n int) {
	for _, b := range m.bits[:place/8] {
		n += bits.OnesCount8(b)
	}
	if rest := place % 8; rest > 0 {
		n += bits.OnesCount8(m.bits[place/8] & (1<<rest - 1))
	}
	return n
}

// All returns the places of the members, in ascending order.
func (m *Members) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, b := range m.bits {
			for ; b != 0; b &= b - 1 {
				if !yield(i*8 + bits.TrailingZeros8(b)) {
					return
				}
			}
		}
	}
}

// Meets reports whether two sets have a member in common.
func (m *Members) Meets(o *Members) bool {
	for i := range m.bits {
		if m.bits[i]&o.bits[i] != 0 {
			return true
		}
	}
	return false
}

// AppendTo appends the stored form of the members, as rows and events have it. There is one
// form for each set: a byte for each member, in ascending order, if there are fewer than 32
// members; otherwise a bitmap of 32 bytes, in which place p is bit p%8, counted from the
// lowest, of byte p/8. The function record.has_member of the database reads it too.
func (m *Members) AppendTo(dst []byte) []byte {
	if m.Count() >= bitmapBytes {
		return append(dst, m.bits[:]...)
	}
	for place := range m.All() {
		dst = append(dst, byte(place)) // #nosec G115 -- a place is below Size
	}
	return dst
}

// ErrForm says that bytes are not the stored form of members.
var ErrForm = errors.New("no set of members of a block")

// Parse reads the stored form of at least one member. It accepts only what AppendTo writes.
// Errors wrap [ErrForm].
func Parse(stored []byte) (m Members, err error) {
	switch {
	case len(stored) == 0:
		return m, fmt.Errorf("%w: it is empty", ErrForm)
	case len(stored) > bitmapBytes:
		return m, fmt.Errorf("%w: it has %d bytes", ErrForm, len(stored))
	case len(stored) == bitmapBytes:
		copy(m.bits[:], stored)
		if m.bits[bitmapBytes-1]>>(Size%8) != 0 {
			return Members{}, fmt.Errorf("%w: a member is outside the block", ErrForm)
		}
		if m.Count() < bitmapBytes {
			return Members{}, fmt.Errorf("%w: a bitmap of few members", ErrForm)
		}
		return m, nil
	}
	last := -1
	for _, place := range stored {
		if int(place) <= last || place >= Size {
			return Members{}, fmt.Errorf("%w: place %d after %d", ErrForm, place, last)
		}
		last = int(place)
		m.Add(last)
	}
	return m, nil
}
