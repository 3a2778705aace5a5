package events

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// ChunkSize is the largest number of deliveries that are recorded and alerted
// together. It is also SendGrid's limit of personalizations in one request.
const ChunkSize = 1000

// DeliveriesCreated says that the recipients of one chunk have the message in their inbox.
// It is the body of deliveries.created for messages to chosen portal users; see
// [DeliveriesByBlock] for those to groups. It has its own encoder and decoder: one canonical
// form without spaces, which is that of version 3
//
//	{"public":{"message_id":"…","chunk":0,"entries":{"count":1,"root":"…"}},
//	"private":{"seed":"…","recipients":[["pu-1",17,[["pt-9",4,"self"]]],…]}}
//
// or, if Hidden is nil, of version 1
//
//	{"message_id":"…","chunk":0,"recipients":[["pu-1",17,[["pt-9",4,"self"]]],…]}
//
// A recipient is [portal user id, portal user number, its links], and a link is [patient id,
// patient number, relationship]: it gives the portal user the right to read the message. Ids
// consist of [A-Za-z0-9._-], which JSON never escapes.
type DeliveriesCreated struct {
	MessageID  uuid.UUID
	Chunk      int
	Recipients []Recipient
	// Hidden hides the recipients, each of whom is an entry. It is nil in version 1.
	Hidden *Hidden
}

// Recipient is a portal user who receives a message, with the links to patients.
type Recipient struct {
	PortalUserID string
	PortalUserNo int32
	Links        []Link
}

// Link is a portal user's link to a patient, valid when the audience was frozen.
type Link struct {
	PatientID    string
	PatientNo    int32
	Relationship string
}

// EventType implements [Body].
func (DeliveriesCreated) EventType() Type { return TypeDeliveriesCreated }

// Key implements [Body].
func (b DeliveriesCreated) Key() []string {
	return []string{b.MessageID.String(), strconv.Itoa(b.Chunk)}
}

// Message implements [Body].
func (b DeliveriesCreated) Message() uuid.UUID { return b.MessageID }

// Entries implements [Hiding]: the recipients, in order.
func (b DeliveriesCreated) Entries() ([][]byte, error) {
	entries := make([][]byte, len(b.Recipients))
	for i := range b.Recipients {
		entries[i] = b.Recipients[i].AppendTo(nil)
	}
	return entries, nil
}

// HiddenBy implements [Hiding].
func (b DeliveriesCreated) HiddenBy() *Hidden { return b.Hidden }

func (DeliveriesCreated) parts() int            { return byEntry }
func (b DeliveriesCreated) hide(h *Hidden) Body { b.Hidden = h; return b }

func (b DeliveriesCreated) version() int {
	if b.Hidden == nil {
		return byRecipient
	}
	return byEntry
}

// AppendTo adds the canonical form of the recipient.
func (r *Recipient) AppendTo(dst []byte) []byte {
	dst = append(dst, '[')
	dst = appendPair(dst, r.PortalUserID, r.PortalUserNo)
	dst = append(dst, ",["...)
	for i := range r.Links {
		if i > 0 {
			dst = append(dst, ',')
		}
		l := &r.Links[i]
		dst = append(dst, '[')
		dst = appendPair(dst, l.PatientID, l.PatientNo)
		dst = append(dst, `,"`...)
		dst = append(dst, l.Relationship...)
		dst = append(dst, `"]`...)
	}
	return append(dst, "]]"...)
}

func appendPair(dst []byte, id string, no int32) []byte {
	dst = append(dst, '"')
	dst = append(dst, id...)
	dst = append(dst, `",`...)
	return strconv.AppendInt(dst, int64(no), 10)
}

// MarshalJSON gives the canonical body.
func (b DeliveriesCreated) MarshalJSON() ([]byte, error) {
	dst, end := appendChunk(nil, b.MessageID, b.Chunk), "]}"
	if b.Hidden == nil {
		dst = append(dst, `,"recipients":[`...)
	} else {
		dst, end = append(appendChunk([]byte(beginPublic), b.MessageID, b.Chunk), ','), `]}}`
		dst = append(b.Hidden.appendPublicEntries(dst), `}`+beginPrivate+`{"seed":"`...)
		dst = unpadded.AppendEncode(dst, b.Hidden.Seed)
		dst = append(dst, `","recipients":[`...)
	}
	for i := range b.Recipients {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = b.Recipients[i].AppendTo(dst)
	}
	return append(dst, end...), nil
}

// appendChunk begins the object that names the chunk.
func appendChunk(dst []byte, message uuid.UUID, chunk int) []byte {
	dst = append(dst, `{"message_id":"`...)
	dst = append(dst, message.String()...)
	dst = append(dst, `","chunk":`...)
	return strconv.AppendInt(dst, int64(chunk), 10)
}

// UnmarshalJSON reads the canonical body. It rejects every other form.
func (b *DeliveriesCreated) UnmarshalJSON(data []byte) error {
	var recipients []Recipient
	read, err := scanChunk(data, func(r *Recipient) error {
		kept := *r
		kept.Links = append([]Link(nil), r.Links...)
		recipients = append(recipients, kept)
		return nil
	})
	*b = read
	b.Recipients = recipients
	return err
}

func (b *DeliveriesCreated) readPublic(public []byte) error {
	s := scanner{rest: string(public)}
	s.chunk(b)
	s.entries(b)
	s.literal("}")
	if s.bad || len(s.rest) > 0 {
		return fmt.Errorf("%w at byte %d of the public part", errNotCanonical, len(public)-len(s.rest))
	}
	return nil
}

func (b *DeliveriesCreated) show(entry string) error {
	s := scanner{rest: entry}
	var r Recipient
	s.recipient(&r)
	if s.bad || len(s.rest) > 0 {
		return fmt.Errorf("%w: the recipient %q", errNotCanonical, entry)
	}
	b.Recipients = append(b.Recipients, r)
	return nil
}

// errNotCanonical says that a chunk's body is not in the form that this package writes.
var errNotCanonical = errors.New("not the canonical form of deliveries.created")

// ScanChunk reads a canonical body and calls each for every recipient in order.
// The recipient's Links are reused for the next call. ScanChunk returns the first
// error of each.
func ScanChunk(body []byte, each func(*Recipient) error) (message uuid.UUID, chunk int, err error) {
	read, err := scanChunk(body, each)
	return read.MessageID, read.Chunk, err
}

// scanChunk is [ScanChunk]. It returns the body without its recipients.
func scanChunk(body []byte, each func(*Recipient) error) (b DeliveriesCreated, err error) {
	s := scanner{rest: string(body)} // one copy, which all ids share
	end := "}"
	if hasParts(body) {
		end = "}" + endPrivate
		s.literal(beginPublic)
		s.chunk(&b)
		s.entries(&b)
		s.literal(`}` + beginPrivate + `{"seed":`)
		seed := s.binary()
		if b.Hidden != nil {
			b.Hidden.Seed = seed
		}
	} else {
		s.chunk(&b)
	}
	s.literal(`,"recipients":[`)
	var r Recipient
	for first := true; !s.bad && !s.skip(']'); first = false {
		if !first {
			s.literal(",")
		}
		s.recipient(&r)
		if s.bad {
			break
		}
		if err := each(&r); err != nil {
			return b, err
		}
	}
	s.literal(end)
	if s.bad || len(s.rest) > 0 {
		return b, fmt.Errorf("%w at byte %d", errNotCanonical, len(body)-len(s.rest))
	}
	return b, nil
}

// chunk reads the members that name the chunk.
func (s *scanner) chunk(b *DeliveriesCreated) {
	var err error
	s.literal(`{"message_id":"`)
	id := s.until('"')
	if b.MessageID, err = uuid.Parse(id); err != nil || b.MessageID.String() != id {
		s.bad = true
	}
	s.literal(`,"chunk":`)
	b.Chunk = int(s.number())
}

// entries reads what the public part says of the entries.
func (s *scanner) entries(b *DeliveriesCreated) {
	b.Hidden = &Hidden{}
	s.literal(`,"entries":{"count":`)
	b.Hidden.Entries = int(s.number())
	s.literal(`,"root":`)
	s.exactly(b.Hidden.Root[:])
	s.literal("}")
}

// A scanner reads a canonical body. The first error sets bad; after it, every step
// does nothing.
type scanner struct {
	rest string
	bad  bool
}

func (s *scanner) recipient(r *Recipient) {
	s.literal("[")
	r.PortalUserID = s.id()
	s.literal(",")
	r.PortalUserNo = s.number()
	s.literal(",[")
	r.Links = r.Links[:0]
	for first := true; !s.bad && !s.skip(']'); first = false {
		if !first {
			s.literal(",")
		}
		var l Link
		s.literal("[")
		l.PatientID = s.id()
		s.literal(",")
		l.PatientNo = s.number()
		s.literal(",")
		l.Relationship = s.relationship()
		s.literal("]")
		r.Links = append(r.Links, l)
	}
	s.literal("]")
}

func (s *scanner) literal(want string) {
	if s.bad || !strings.HasPrefix(s.rest, want) {
		s.bad = true
		return
	}
	s.rest = s.rest[len(want):]
}

func (s *scanner) skip(c byte) bool {
	if s.bad || len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) until(c byte) string {
	i := strings.IndexByte(s.rest, c)
	if s.bad || i < 0 {
		s.bad = true
		return ""
	}
	part := s.rest[:i]
	s.rest = s.rest[i+1:]
	return part
}

func (s *scanner) id() string {
	s.literal(`"`)
	id := s.until('"')
	if strings.IndexByte(id, '\\') >= 0 {
		s.bad = true
	}
	return id
}

func (s *scanner) relationship() string {
	s.literal(`"`)
	r := s.until('"')
	if r != "self" && r != "representative" {
		s.bad = true
	}
	return r
}

func (s *scanner) number() int32 {
	var n, digits int64
	for digits < 11 && int(digits) < len(s.rest) {
		c := s.rest[digits]
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
		digits++
	}
	if digits == 0 || n > 1<<31-1 || (digits > 1 && s.rest[0] == '0') {
		s.bad = true
		return 0
	}
	s.rest = s.rest[digits:]
	return int32(n) // #nosec G115 -- bounded above
}
