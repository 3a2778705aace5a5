package roster

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"postern/internal/directory/block"
	"postern/internal/directory/field"
)

// The bits of a person's head, and of a link's flags.
const (
	headActive, headAddressed = 1, 2
	headLinks                 = 2 // the shift of the number of links
	manyLinks                 = 63

	flagSelf, flagDischarged, flagDeceased, flagFrom, flagUntil = 1, 2, 4, 8, 16
	flagsAll                                                    = 31
)

// The first byte of an id. 1 to 64 is the length of a text.
const (
	idSame    = 0
	idUUID    = 255
	longestID = 64
)

func bit(set bool, b byte) byte {
	if set {
		return b
	}
	return 0
}

func appendFacts(dst []byte, p *Person) []byte {
	_, place := block.Of(p.No)
	head := bit(p.Active, headActive) | bit(p.Addressed, headAddressed)
	dst = append(dst, byte(place), head|byte(min(len(p.Links), manyLinks))<<headLinks) // #nosec G115 -- a place is below block.Size, and 6 bits hold manyLinks
	if len(p.Links) >= manyLinks {
		dst = binary.AppendUvarint(dst, uint64(len(p.Links)-manyLinks)) // #nosec G115 -- not negative
	}
	for i := range p.Links {
		l := &p.Links[i]
		dst = append(dst, bit(l.Self, flagSelf)|bit(l.Discharged, flagDischarged)|bit(l.Deceased, flagDeceased)|
			bit(l.From.Set, flagFrom)|bit(l.Until.Set, flagUntil))
		for _, d := range []field.Date{l.From, l.Until} {
			if d.Set {
				dst = binary.AppendVarint(dst, int64(d.Day))
			}
		}
	}
	return dst
}

func appendNames(dst []byte, p *Person) ([]byte, error) {
	_, place := block.Of(p.No)
	dst = binary.AppendUvarint(append(dst, byte(place)), uint64(len(p.Links))) // #nosec G115 -- a place is below block.Size
	dst, err := appendID(dst, p.ID)
	for i := 0; i < len(p.Links) && err == nil; i++ {
		l := &p.Links[i]
		if l.PatientNo < 1 {
			return nil, fmt.Errorf("%w: patient number %d", ErrForm, l.PatientNo)
		}
		dst = binary.AppendVarint(dst, int64(l.PatientNo)-int64(p.No))
		if l.PatientID == p.ID {
			dst = append(dst, idSame)
			continue
		}
		dst, err = appendID(dst, l.PatientID)
	}
	return dst, err
}

func appendID(dst []byte, id string) ([]byte, error) {
	if isUUID(id) {
		dst = append(dst, idUUID)
		for _, part := range [...]string{id[:8], id[9:13], id[14:18], id[19:23], id[24:]} {
			dst, _ = hex.AppendDecode(dst, []byte(part)) // isUUID has checked the digits
		}
		return dst, nil
	}
	if reason := field.CheckID(id); reason != "" {
		return nil, fmt.Errorf("%w: an id %s", ErrForm, reason)
	}
	return append(append(dst, byte(len(id))), id...), nil // #nosec G115 -- at most longestID
}

// isUUID reports whether an id is a UUID as it is usually written, in lower case.
func isUUID(id string) bool {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c != '-' || i != 8 && i != 13 && i != 18 && i != 23) {
			return false
		}
	}
	return true
}

// A reader reads the objects of a roster. After an error it reads zeros.
type reader struct {
	b   []byte
	ids *idAllocator // nil: ids are checked, and not returned
	err error
}

func (r *reader) fail(reason string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrForm, reason)
		r.b = nil
	}
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.fail("it is cut")
		return make([]byte, n)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("it is cut")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

// uvarint reads a number in its shortest form.
func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("a number is cut, too large or padded")
		return 0
	}
	r.b = r.b[n:]
	return x
}

// varint reads a signed number in its shortest form.
func (r *reader) varint() int64 {
	x := r.uvarint()
	return int64(x>>1) ^ -int64(x&1) // #nosec G115 -- the inverse of binary.AppendVarint
}

func (r *reader) header(no block.No) {
	if r.byte() != form {
		r.fail("it has another form")
	}
	if r.uvarint() != uint64(no) { // #nosec G115 -- a block number is not negative
		r.fail("it is of another block")
	}
}

func (r *reader) place(no block.No) int32 { return r.placed(no, r.byte()) }

func (r *reader) placed(no block.No, place byte) int32 {
	if place >= block.Size || no.At(int(place)) < 1 {
		r.fail("a person is outside the block")
		return 0
	}
	return no.At(int(place))
}

// facts reads the facts of a person. It is most of the work of counting a group.
func (r *reader) facts(no block.No, p *Person) {
	if len(r.b) < 2 {
		r.fail("it is cut")
		return
	}
	place, head := r.b[0], r.b[1]
	r.b = r.b[2:]
	p.No, p.Active, p.Addressed, p.Links = r.placed(no, place), head&headActive != 0, head&headAddressed != 0, p.Links[:0]
	links := uint64(head >> headLinks)
	if links == manyLinks {
		links += min(r.uvarint(), math.MaxInt32)
	}
	for ; links > 0; links-- {
		if len(r.b) == 0 || r.b[0] > flagsAll {
			r.fail("a link is cut, or has unknown flags")
			return
		}
		flags := r.b[0]
		r.b = r.b[1:]
		p.Links = append(p.Links, Link{Self: flags&flagSelf != 0, Discharged: flags&flagDischarged != 0, Deceased: flags&flagDeceased != 0})
		l := &p.Links[len(p.Links)-1]
		if flags&flagFrom != 0 {
			l.From = r.date()
		}
		if flags&flagUntil != 0 {
			l.Until = r.date()
		}
	}
}

func (r *reader) date() field.Date {
	day := r.varint()
	if day < math.MinInt32 || day > math.MaxInt32 {
		r.fail("a date is too large")
		return field.Date{}
	}
	return field.Date{Day: int32(day), Set: true} // #nosec G115 -- checked
}

// names reads the names of a person whose facts were read.
func (r *reader) names(no block.No, p *Person) {
	if r.place(no) != p.No || r.uvarint() != uint64(len(p.Links)) {
		r.fail("facts and names are of other people")
		return
	}
	same := r.b
	p.ID = r.id()
	same = same[:len(same)-len(r.b)] // the id as it is stored
	for i := 0; i < len(p.Links) && r.err == nil; i++ {
		l := &p.Links[i]
		patient := int64(p.No) + r.varint()
		if patient < 1 || patient > math.MaxInt32 {
			r.fail("a patient number is outside its range")
			return
		}
		l.PatientNo = int32(patient) // #nosec G115 -- checked
		if len(r.b) > 0 && r.b[0] == idSame {
			r.b, l.PatientID = r.b[1:], p.ID
			continue
		}
		stored := r.b
		l.PatientID = r.id()
		if r.err == nil && string(stored[:len(stored)-len(r.b)]) == string(same) {
			r.fail("an id is repeated")
		}
	}
}

// id reads an id that is not repeated.
func (r *reader) id() string {
	switch n := r.byte(); {
	case n == idUUID:
		return r.ids.addUUID(r.take(16))
	case n == 0 || n > longestID:
		r.fail("an id has no length")
		return ""
	default:
		id := r.take(int(n))
		if r.err == nil && (isUUID(string(id)) || !field.IsID(id)) {
			r.fail("an id is not as it is stored")
		}
		return r.ids.add(id)
	}
}

// idAllocator allocates the strings of many ids at a time.
type idAllocator struct{ b strings.Builder }

func (a *idAllocator) add(id []byte) string {
	if a == nil {
		return ""
	}
	if a.b.Cap()-a.b.Len() < len(id) {
		a.b = strings.Builder{}
		a.b.Grow(1 << 13)
	}
	start := a.b.Len()
	a.b.Write(id)
	return a.b.String()[start:]
}

func (a *idAllocator) addUUID(raw []byte) string {
	if a == nil {
		return ""
	}
	var text [36]byte
	hex.Encode(text[:8], raw[:4])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:], raw[10:])
	return a.add(text[:])
}
