// Package merkle defines the stored form of an event on the record: its leaf in the Merkle
// tree, and its second copy beside the stream. It also holds the tree itself (RFC 6962,
// through golang.org/x/mod/sumdb/tlog), whose hashes are rows of record.hashes with tlog's
// indexes.
//
// Of our packages it imports only events, so that all that write or read the record may use it.
// All functions are safe for concurrent use.
package merkle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"postern/internal/events"
)

// A Stored is an event as it is stored on the record. It may be invalid: the recorder also
// stores events that it can't read.
type Stored struct {
	Seq     uint64
	Subject string
	Header  map[string][]string
	Data    []byte
}

// OwnHeader reports whether a header was set by the publisher. The server's headers (Nats-…)
// describe how a msg was stored, and differ after the stream is restored.
func OwnHeader(name string) bool { return !strings.HasPrefix(name, "Nats-") }

// Leaf is the RFC 6962 (section 2.1) leaf hash of an event: SHA-256 over 0x00, then sequence,
// subject, headers sorted by name and body, each with its length in front. The broker's
// timestamp is not in it, so a restored stream has the same leaves.
//
// An event whose headers say so has a leaf of version 2, which covers digests of the public
// and of the private part of the body instead: see [LeafOfParts].
func Leaf(s *Stored) [sha256.Size]byte {
	if events.LeafVersion(s.Header) == 2 {
		public, private := events.Parts(s.Header, s.Data)
		return LeafOfParts(s, sha256.Sum256(public), sha256.Sum256(private))
	}
	h := sha256.New()
	b := appendHead([]byte{0}, s)
	b = binary.BigEndian.AppendUint64(b, uint64(len(s.Data)))
	h.Write(b)
	h.Write(s.Data)
	return [sha256.Size]byte(h.Sum(nil))
}

// LeafOfParts is the leaf of version 2: SHA-256 over 0x00, 0x82, sequence, subject and headers
// as in version 1, and the SHA-256 of the public and of the private part of the body. It does
// not read the body, so that a receipt can do without the private part. No preimage is one
// of version 1, in which the first byte of a sequence, of 63 bits, follows 0x00.
func LeafOfParts(s *Stored, public, private [sha256.Size]byte) [sha256.Size]byte {
	b := appendHead([]byte{0, 0x82}, s)
	b = append(b, public[:]...)
	return sha256.Sum256(append(b, private[:]...))
}

// appendHead appends sequence, subject and headers.
func appendHead(b []byte, s *Stored) []byte {
	b = binary.BigEndian.AppendUint64(b, s.Seq)
	b = appendSized(b, s.Subject)
	for _, name := range slices.Sorted(maps.Keys(s.Header)) {
		if !OwnHeader(name) {
			continue
		}
		for _, value := range s.Header[name] {
			b = appendSized(b, name)
			b = appendSized(b, value)
		}
	}
	return binary.BigEndian.AppendUint32(b, 0) // an empty name ends the headers
}

func appendSized(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s))) // #nosec G115 -- a msg is under 2 GiB
	return append(b, s...)
}

// The codecs are safe for use by many goroutines at once.
var (
	encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(64<<20))
)

// packed is the head of an event as Postgres stores it; the unchanged body follows.
type packed struct {
	Subject string              `json:"subject"`
	Header  map[string][]string `json:"header"`
}

// Pack returns the second copy of s: the event without its sequence, compressed.
func Pack(s *Stored) ([]byte, error) {
	own := make(map[string][]string, len(s.Header))
	for name, values := range s.Header {
		if OwnHeader(name) {
			own[name] = values
		}
	}
	head, err := json.Marshal(packed{s.Subject, own})
	if err != nil {
		return nil, fmt.Errorf("packing event %d: %w", s.Seq, err)
	}
	raw := plain.Get().(*[]byte)
	defer plain.Put(raw)
	*raw = appendSized((*raw)[:0], string(head))
	*raw = append(*raw, s.Data...)
	return encoder.EncodeAll(*raw, make([]byte, 0, len(*raw)/3)), nil
}

// plain holds buffers for uncompressed events; chunks have about a hundred kilobytes each.
var plain = sync.Pool{New: func() any { return new([]byte) }}

// Unpack is the inverse of [Pack].
func Unpack(seq uint64, copied []byte) (Stored, error) {
	raw, err := decoder.DecodeAll(copied, nil)
	if err != nil {
		return Stored{}, fmt.Errorf("reading the copy of event %d: %w", seq, err)
	}
	if len(raw) < 4 || int64(len(raw)-4) < int64(binary.BigEndian.Uint32(raw)) {
		return Stored{}, fmt.Errorf("reading the copy of event %d: it is truncated", seq)
	}
	n := binary.BigEndian.Uint32(raw)
	var head packed
	if text := string(raw[4 : 4+n]); head.scan(text) {
		return Stored{Seq: seq, Subject: head.Subject, Header: head.Header, Data: raw[4+n:]}, nil
	}
	head = packed{}
	if err := json.Unmarshal(raw[4:4+n], &head); err != nil {
		return Stored{}, fmt.Errorf("reading the copy of event %d: %w", seq, err)
	}
	return Stored{Seq: seq, Subject: head.Subject, Header: head.Header, Data: raw[4+n:]}, nil
}
