package events

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"postern/internal/directory/block"
)

// DeliveriesByBlock is version 2 of deliveries.created, for messages to groups: each block
// of portal users has its roster, which says who the people are, and a set of members, who
// are its people in the audience. Its JSON is one canonical form without spaces,
//
//	{"public":{"message_id":"…","chunk":0,"day":"2026-11-29","groups":["all_portal_users"],
//	"selection":"sha256:…","blocks":[[0,"…"],…]},"private":{"nonce":"…","members":["…",…]}}
//
// in which a block is its number and the root of its roster. A receipt shows the public part
// and the digest of the private part; the nonce keeps anyone from guessing members by it.
// Binary values are in base64 without padding.
type DeliveriesByBlock struct {
	MessageID uuid.UUID
	Chunk     int
	Day       time.Time // the calendar day on which the groups were evaluated, at midnight UTC
	Groups    []string
	Selection string // the digest of the message's recipients, see [MessageSent.SelectionDigest]
	Blocks    []CitedBlock
	Nonce     [nonceSize]byte
}

const nonceSize = 32

// CitedBlock is a block of portal users who receive a message.
type CitedBlock struct {
	No      block.No
	Roster  [sha256.Size]byte // the root of the roster
	Members block.Members
}

// NewNonce makes the nonce of a body.
func NewNonce() (nonce [nonceSize]byte) {
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	return nonce
}

// EventType implements [Body].
func (DeliveriesByBlock) EventType() Type { return TypeDeliveriesCreated }

// Key implements [Body]. It is that of version 1: the chunk of a message is one fact.
func (b DeliveriesByBlock) Key() []string {
	return DeliveriesCreated{MessageID: b.MessageID, Chunk: b.Chunk}.Key()
}

// Message implements [Body].
func (b DeliveriesByBlock) Message() uuid.UUID { return b.MessageID }

func (DeliveriesByBlock) version() int { return byBlock }

// The versions of deliveries.created.
const (
	byRecipient = 1
	byBlock     = 2
	byEntry     = 3 // version 1 in parts
)

// IsByBlock reports whether an event's body is a [DeliveriesByBlock]. Otherwise the body of a
// deliveries.created is a [DeliveriesCreated].
func (e Event) IsByBlock() bool { return e.Type == TypeDeliveriesCreated && e.Version == byBlock }

// Digest is "sha256:" and the SHA-256 of the selection's JSON without About, in hexadecimal.
func (s Selection) Digest() string {
	s.About = nil              // only bodies in parts have it, which have another digest
	data, _ := json.Marshal(s) // never fails: strings
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var unpadded = base64.RawStdEncoding.Strict()

// MarshalJSON gives the canonical body.
func (b DeliveriesByBlock) MarshalJSON() ([]byte, error) {
	dst := append(appendChunk([]byte(beginPublic), b.MessageID, b.Chunk), `,"day":"`...)
	dst = b.Day.AppendFormat(dst, time.DateOnly)
	dst = append(dst, `","groups":[`...)
	for i, group := range b.Groups {
		dst = appendQuoted(dst, i, group)
	}
	dst = append(dst, `],"selection":"`...)
	dst = append(dst, b.Selection...)
	dst = append(dst, `","blocks":[`...)
	for i := range b.Blocks {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = strconv.AppendInt(dst, int64(b.Blocks[i].No), 10)
		dst = append(dst, `,"`...)
		dst = unpadded.AppendEncode(dst, b.Blocks[i].Roster[:])
		dst = append(dst, `"]`...)
	}
	dst = append(dst, `]}`+beginPrivate+`{"nonce":"`...)
	dst = unpadded.AppendEncode(dst, b.Nonce[:])
	dst = append(dst, `","members":[`...)
	for i := range b.Blocks {
		dst = appendQuoted(dst, i, unpadded.EncodeToString(b.Blocks[i].Members.AppendTo(nil)))
	}
	return append(dst, `]}}`...), nil
}

func appendQuoted(dst []byte, i int, text string) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, text...)
	return append(dst, '"')
}

// UnmarshalJSON reads the canonical body. It rejects every other form, blocks that are not in
// ascending order, and a block without members.
func (b *DeliveriesByBlock) UnmarshalJSON(data []byte) error {
	s := scanner{rest: string(data)}
	s.literal(beginPublic)
	s.public(b)
	s.literal(beginPrivate + `{"nonce":`)
	s.exactly(b.Nonce[:])
	s.literal(`,"members":[`)
	n := 0
	s.list(func() {
		members, err := block.Parse(s.binary())
		if err != nil || n == len(b.Blocks) {
			s.bad = true
			return
		}
		b.Blocks[n].Members = members
		n++
	})
	s.literal("}" + endPrivate)
	if s.bad || n != len(b.Blocks) || len(s.rest) > 0 {
		return fmt.Errorf("%w at byte %d", errNotCanonical, len(data)-len(s.rest))
	}
	return nil
}

// DecodePublic reads the public part of a body, as a receipt shows it. The blocks have no
// members.
func DecodePublic(public []byte) (b DeliveriesByBlock, err error) {
	s := scanner{rest: string(public)}
	s.public(&b)
	if s.bad || len(s.rest) > 0 {
		return b, fmt.Errorf("%w at byte %d of the public part", errNotCanonical, len(public)-len(s.rest))
	}
	return b, nil
}

// public reads the public part.
func (s *scanner) public(b *DeliveriesByBlock) {
	var err error
	var of DeliveriesCreated
	s.chunk(&of)
	b.MessageID, b.Chunk = of.MessageID, of.Chunk
	s.literal(`,"day":"`)
	if b.Day, err = time.Parse(time.DateOnly, s.until('"')); err != nil {
		s.bad = true
	}
	s.literal(`,"groups":[`)
	b.Groups = nil
	s.list(func() { b.Groups = append(b.Groups, s.id()) })
	s.literal(`,"selection":`)
	b.Selection = s.id()
	s.literal(`,"blocks":[`)
	b.Blocks = nil
	s.list(func() {
		var c CitedBlock
		s.literal("[")
		c.No = block.No(s.number())
		s.literal(",")
		s.exactly(c.Roster[:])
		s.literal("]")
		if len(b.Blocks) > 0 && c.No <= b.Blocks[len(b.Blocks)-1].No {
			s.bad = true
		}
		b.Blocks = append(b.Blocks, c)
	})
	s.literal("}")
	if slices.Contains(b.Groups, "") || len(b.Blocks) == 0 {
		s.bad = true
	}
}

// list calls each for every element up to the closing bracket.
func (s *scanner) list(each func()) {
	for first := true; !s.bad && !s.skip(']'); first = false {
		if !first {
			s.literal(",")
		}
		each()
	}
}

func (s *scanner) binary() []byte {
	s.literal(`"`)
	value, err := unpadded.DecodeString(s.until('"'))
	if err != nil {
		s.bad = true
	}
	return value
}

func (s *scanner) exactly(into []byte) {
	if value := s.binary(); len(value) == len(into) {
		copy(into, value)
	} else {
		s.bad = true
	}
}

// NewChunk is [New] for a deliveries.created whose JSON exists already, of any version.
func NewChunk(source, actor string, at time.Time, message uuid.UUID, c ChunkRef, data []byte) Event {
	var body Body = DeliveriesCreated{MessageID: message, Chunk: c.Index}
	if hasParts(data) {
		body = DeliveriesByBlock{MessageID: message, Chunk: c.Index}
		if bytes.HasPrefix(data, append(appendChunk([]byte(beginPublic), message, c.Index), `,"entries":`...)) {
			body = DeliveriesCreated{MessageID: message, Chunk: c.Index, Hidden: &Hidden{}}
		}
	}
	e := NewEncoded(source, actor, at, body, data)
	e.Chunk = &c
	return e
}

// A body with a public and a private part is
//
//	{"public":…,"private":…}
//
// The header ce-publiclength has the number of bytes of the public part, so that the parts are
// found without knowing the type of the event.
const (
	beginPublic  = `{"public":`
	beginPrivate = `,"private":`
	endPrivate   = `}`
)

// publicLength returns the number of bytes of the public part of a body in canonical form, 0
// if it has no parts.
func publicLength(data []byte) int {
	if !hasParts(data) {
		return 0
	}
	return max(0, bytes.LastIndex(data, []byte(beginPrivate))-len(beginPublic))
}

// LeafVersion is the version of the leaf of an event with these headers in the Merkle tree: 1
// covers the whole body, 2 covers a digest of its public part and one of its private part.
func LeafVersion(header map[string][]string) int {
	if v := header[headerLeaf]; len(v) == 1 && v[0] == leafOfParts {
		return 2
	}
	return 1
}

// Parts returns the public and the private part of an event's body. A body without a private
// part, or whose headers do not describe it, is public. A private part is never empty, so no
// two bodies have the same parts.
func Parts(header map[string][]string, data []byte) (public, private []byte) {
	v := header[headerPublicLength]
	if len(v) != 1 {
		return data, nil
	}
	n, err := strconv.Atoi(v[0])
	end := len(beginPublic) + n
	if err != nil || n < 1 || strconv.Itoa(n) != v[0] || end+len(beginPrivate)+len(endPrivate) >= len(data) || !bytes.HasPrefix(data, []byte(beginPublic)) ||
		!bytes.HasPrefix(data[end:], []byte(beginPrivate)) || !bytes.HasSuffix(data, []byte(endPrivate)) {
		return data, nil
	}
	return data[len(beginPublic):end], data[end+len(beginPrivate) : len(data)-len(endPrivate)]
}
