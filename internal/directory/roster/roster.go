// Package roster defines rosters: what the directory says of one block of portal users at
// one moment. Audiences are evaluated on rosters, and the record cites them by their root.
//
// # Two objects
//
// A roster has two objects. The facts have, of each portal user, what decides on which day
// the person is in which group: about three bytes a person. The names have the ids of the
// portal users and of their patients. They are apart because facts change often and names
// rarely. Each object has one canonical form for each value, and is named by the SHA-256 of
// its bytes. It holds no name of a person, and no address.
//
//	facts   1, block (uvarint), then for each person, ascending by place:
//	        place (byte)
//	        head (byte): 1 active, 2 has an e-mail address, from 4 on the number of links;
//	            63 links or more: 63, and the number above 63 follows (uvarint)
//	        for each link, by patient number, then representative before self:
//	            flags (byte): 1 self, 2 discharged, 4 deceased, 8 from follows, 16 until follows
//	            from, until (varints): days as field.Day counts
//	names   1, block (uvarint), then for each person, as above:
//	        place (byte), number of links (uvarint), id of the portal user
//	        for each link: the patient's number less the portal user's (varint), id of the patient
//	id      a byte: 0 the same as the portal user's; 255 a lower-case UUID, 16 bytes follow;
//	        1 to 64 a text of that many bytes
//
// # Entries and the root
//
// The entry of a person is the roster cut down to that person: facts and names in the same
// form, with one person. The leaf of an entry is
// SHA-256(0x00 ‖ salt ‖ facts ‖ SHA-256(salt ‖ names)), and the root of the roster is the
// Merkle tree hash (RFC 6962) over the leaves in the order of places. So the root discloses
// nothing, and a [Proof] shows one entry and nothing of any other. The salts derive from the
// one [Secret] of the roster.
//
// Nothing in it does I/O. All functions are safe for concurrent use.
package roster

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"postern/internal/directory/block"
	"postern/internal/directory/field"
)

// Person is what a roster says of a portal user.
type Person struct {
	No        int32  // the portal user number
	ID        string // "" if the names were not read
	Active    bool
	Addressed bool   // has an e-mail address
	Links     []Link // by patient number, then representative before self
}

// Link is a link of a portal user to a patient, with what the roster says of the patient.
type Link struct {
	PatientNo   int32  // 0 if the names were not read
	PatientID   string // "" if the names were not read
	Self        bool   // the portal user is the patient, not a representative
	From, Until field.Date
	Discharged  bool // the patient
	Deceased    bool // the patient
}

// Term says whether a day is within the dates of a link.
type Term uint8

// The day is within the dates, after the last day, or before the first one.
const (
	InForce Term = iota
	Ended
	NotBegun
)

// On returns the term of the link on a day, as [field.Day] counts it.
func (l *Link) On(day int32) Term {
	switch {
	case l.Until.Set && l.Until.Day < day:
		return Ended
	case l.From.Set && l.From.Day > day:
		return NotBegun
	default:
		return InForce
	}
}

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Roster is a roster in its canonical form.
type Roster struct {
	Block block.No
	Facts []byte
	Names []byte // nil if only the facts were read
}

// ErrForm says that bytes are not the canonical form of a roster.
var ErrForm = errors.New("no roster of a block")

// Parse returns the roster with these objects. Errors wrap [ErrForm] if they are not canonical or
// not of one block.
func Parse(facts, names []byte) (Roster, error) {
	r := reader{b: facts}
	_ = r.byte()
	no := r.uvarint()
	if r.err != nil || no > math.MaxInt32 {
		return Roster{}, fmt.Errorf("%w: its block can't be read", ErrForm)
	}
	parsed := Roster{Block: block.No(no), Facts: facts, Names: names} // #nosec G115 -- checked
	return parsed, parsed.Check()
}

// FactsDigest returns the name of the facts.
func (r *Roster) FactsDigest() Digest { return sha256.Sum256(r.Facts) }

// NamesDigest returns the name of the names.
func (r *Roster) NamesDigest() Digest { return sha256.Sum256(r.Names) }

// Content returns the digest over a block, its facts and its names. Rosters that say the
// same of the same block have the same content.
func Content(no block.No, facts, names Digest) Digest {
	b := append(make([]byte, 0, 96), "postern roster 1\n"...)
	b = binary.BigEndian.AppendUint32(b, uint32(no)) // #nosec G115 -- a block number is not negative
	return sha256.Sum256(append(append(b, facts[:]...), names[:]...))
}

// Make returns the roster of a block. The people are the portal users of the block in
// ascending order, at least one. Errors wrap [ErrForm].
func Make(no block.No, people []Person) (Roster, error) {
	if len(people) == 0 {
		return Roster{}, fmt.Errorf("%w: block %d has no portal users", ErrForm, no)
	}
	r := Roster{Block: no, Facts: header(nil, no), Names: header(make([]byte, 0, 48*len(people)), no)}
	var last int32
	for i := range people {
		p := &people[i]
		if of, _ := block.Of(p.No); p.No < 1 || of != no || p.No <= last {
			return Roster{}, fmt.Errorf("%w: portal user %d follows %d in block %d", ErrForm, p.No, last, no)
		}
		last = p.No
		if err := checkOrder(p); err != nil {
			return Roster{}, err
		}
		r.Facts = appendFacts(r.Facts, p)
		var err error
		if r.Names, err = appendNames(r.Names, p); err != nil {
			return Roster{}, err
		}
	}
	return r, nil
}

// checkOrder refuses links that are out of order or twice.
func checkOrder(p *Person) error {
	for i := 1; i < len(p.Links); i++ {
		a, b := &p.Links[i-1], &p.Links[i]
		if a.PatientNo > b.PatientNo || a.PatientNo == b.PatientNo && (a.Self || !b.Self) {
			return fmt.Errorf("%w: the links of portal user %d are not in order", ErrForm, p.No)
		}
	}
	return nil
}

const form = 1

func header(dst []byte, no block.No) []byte {
	return binary.AppendUvarint(append(dst, form), uint64(no)) // #nosec G115 -- a block number is not negative
}

// Visit calls visit for each person in ascending order, until visit returns false. Without
// names, ids are "" and patient numbers 0. The person and its links are valid only until visit
// returns; ids may be kept. Errors wrap [ErrForm]; people before the wrong byte were visited.
func (r *Roster) Visit(visit func(*Person) bool) error {
	facts := reader{b: r.Facts}
	facts.header(r.Block)
	names := reader{b: r.Names, ids: &idAllocator{}}
	if r.Names != nil {
		names.header(r.Block)
	}
	p := Person{}
	for more := true; more; more = len(facts.b) > 0 {
		last := p.No
		facts.facts(r.Block, &p)
		if facts.err == nil && p.No <= last {
			facts.fail("people are out of order")
		}
		if facts.err == nil && r.Names != nil {
			names.names(r.Block, &p)
			if facts.err = names.err; facts.err == nil {
				facts.err = checkOrder(&p)
			}
		}
		if facts.err != nil {
			return facts.err
		}
		if !visit(&p) {
			return nil
		}
	}
	if len(names.b) > 0 {
		return fmt.Errorf("%w: names without facts", ErrForm)
	}
	return nil
}

// Check refuses a roster that is not in canonical form. Errors wrap [ErrForm].
func (r *Roster) Check() error { return r.Visit(func(*Person) bool { return true }) }

// Equal reports whether two rosters say the same of the same block.
func (r *Roster) Equal(o *Roster) bool {
	return r.Block == o.Block && bytes.Equal(r.Facts, o.Facts) && bytes.Equal(r.Names, o.Names)
}
