package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/proof/salted"
)

// Hidden says how a body hides the people that it names. They are entries of a salted list (see
// package salted): the public part of the body has the root and the number of the entries, the
// private part has the people and the sealed seed of the salts. A receipt shows the public part
// and the entries of its portal user, and nothing of anybody else.
type Hidden struct {
	Entries int
	Root    tlog.Hash // zero if there are no entries
	// Seed is sealed. It also keeps anyone from guessing the private part by its digest. It is
	// nil if no one is named.
	Seed []byte
}

// Hiding is a body that names several people. If its field Hidden is nil, its JSON is of a
// version without parts, in which everyone who may read the event reads all names. Events that
// Postern writes before it has a key that seals seeds (see [Hide]) are of such a version, and so
// are those of earlier versions of Postern.
type Hiding interface {
	Body
	// Entries returns the entries of the list, in an order that follows from the body.
	Entries() ([][]byte, error)
	// HiddenBy returns the field Hidden.
	HiddenBy() *Hidden
	// parts is the first version of the body's type that has parts.
	parts() int
	// hide returns the body with the field Hidden set.
	hide(*Hidden) Body
}

// names is a Hiding that can do without a seed if it names no one.
type names interface{ namesNoOne() bool }

// Hide returns the body with the people that it names hidden. The key seals the seed of their
// salts. Without a key, and for a body that does not name several people, it returns the body as
// it is.
func Hide(body Body, key *salted.PublicKey) (Body, error) {
	h, ok := body.(Hiding)
	if !ok || key == nil {
		return body, nil
	}
	if n, ok := body.(names); ok && n.namesNoOne() {
		return h.hide(&Hidden{}), nil
	}
	entries, err := h.Entries()
	if err != nil {
		return nil, err
	}
	seed := salted.NewSeed()
	hidden := &Hidden{Entries: len(entries)}
	if hidden.Seed, err = key.Seal(seed); err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		hidden.Root = seed.Root(entries)
	}
	return h.hide(hidden), nil
}

// versionOfParts returns the version of a body's JSON.
func versionOfParts(h Hiding) int {
	if h.HiddenBy() == nil {
		return h.parts() - 1
	}
	return h.parts()
}

// inParts is the JSON of a body with a public and a private part.
type inParts[Public, Private any] struct {
	Public  Public  `json:"public"`
	Private Private `json:"private"`
}

// hasParts reports whether a body's JSON has a public and a private part.
func hasParts(data []byte) bool { return bytes.HasPrefix(data, []byte(beginPublic)) }

// entriesOf is what the public part of a body says of its entries.
type entriesOf struct {
	Count int    `json:"count"`
	Root  string `json:"root"`
}

// public returns what the public part says of the entries; nil if there are none.
func (h *Hidden) public() *entriesOf {
	if h.Entries == 0 {
		return nil
	}
	return &entriesOf{h.Entries, unpadded.EncodeToString(h.Root[:])}
}

var errHidden = errors.New("it does not say how it hides people")

// hidden is the inverse of [Hidden.public] and [Hidden.seed].
func (e *entriesOf) hidden(seed string) (*Hidden, error) {
	h := &Hidden{}
	var err error
	if seed != "" {
		if h.Seed, err = unpadded.DecodeString(seed); err != nil {
			return nil, fmt.Errorf("%w: its seed: %w", errHidden, err)
		}
	}
	if e == nil {
		return h, nil
	}
	root, err := unpadded.DecodeString(e.Root)
	if err != nil || len(root) != len(h.Root) || e.Count < 1 {
		return nil, fmt.Errorf("%w: %d entries with the root %q", errHidden, e.Count, e.Root)
	}
	h.Entries = e.Count
	copy(h.Root[:], root)
	return h, nil
}

// seed returns the sealed seed as the private part has it, "" without one.
func (h *Hidden) seed() string { return unpadded.EncodeToString(h.Seed) }

// shower is a Hiding that can be read from what a receipt shows.
type shower interface {
	Hiding
	// readPublic reads the public part. The body names no one then.
	readPublic([]byte) error
	// show adds one entry.
	show(entry string) error
}

// DecodeShown reads the body of e as a receipt shows it. If its version has parts, Data is the
// public part, and shown are proofs of entries, which it checks: the body names only these
// people, and its Hidden has no seed. Otherwise Data is the whole body.
func DecodeShown[T any, P interface {
	*T
	shower
}](e Event, shown []salted.Proof) (T, error) {
	var body T
	p := P(&body)
	switch {
	case e.Version < p.parts() && len(shown) > 0:
		return body, fmt.Errorf("event %s is %s version %d, which has no entries", e.ID, e.Type, e.Version)
	case e.Version < p.parts():
		return Decode[T, P](e)
	case !Reads(e.Type, e.Version):
		return body, fmt.Errorf("event %s is %s version %d, which this binary does not know", e.ID, e.Type, e.Version)
	case hasParts(e.Data):
		return body, fmt.Errorf("event %s is not shown by its public part", e.ID)
	}
	if t, ok := any(p).(typed); ok {
		t.ofType(e.Type)
	}
	if err := p.readPublic(e.Data); err != nil {
		return body, fmt.Errorf("reading the public part of event %s: %w", e.ID, err)
	}
	if t := p.EventType(); e.Type != t {
		return body, fmt.Errorf("event %s is %s, not %s", e.ID, e.Type, t)
	}
	last := -1
	for i := range shown {
		one := &shown[i]
		if one.At <= last {
			return body, errors.New("its entries are out of order")
		}
		last = one.At
		if err := one.Check(p.HiddenBy().Root, p.HiddenBy().Entries); err != nil {
			return body, err
		}
		if err := p.show(one.Entry); err != nil {
			return body, fmt.Errorf("reading entry %d: %w", one.At, err)
		}
	}
	return body, nil
}

// DecodeHiding reads the body of an event that may hide people; nil for an event that names no
// one or one person.
func DecodeHiding(e Event) (Hiding, error) {
	switch {
	case e.Type == TypeMessageSent:
		return hiding(Decode[MessageSent](e))
	case e.Type == TypeDeliveriesCreated && !e.IsByBlock():
		return hiding(Decode[DeliveriesCreated](e))
	case e.Type.IsOutcome():
		return hiding(Decode[AlertOutcome](e))
	case e.Type == TypeAlertsReported:
		return hiding(Decode[AlertsReported](e))
	case e.Type == TypeAddressReported:
		return hiding(Decode[AddressReported](e))
	}
	return nil, nil
}

func hiding[H Hiding](body H, err error) (Hiding, error) {
	if err != nil {
		return nil, err
	}
	return body, nil
}

// entry encodes an entry.
func entry(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers
	}
	return data
}

// wellFormed is a text as it is after it was written as JSON and read back.
func wellFormed(text string) string { return string([]rune(text)) }

// appendPublicEntries adds what the public part of a canonical body says of its entries.
func (h *Hidden) appendPublicEntries(dst []byte) []byte {
	dst = append(dst, `"entries":{"count":`...)
	dst = strconv.AppendInt(dst, int64(h.Entries), 10)
	dst = append(dst, `,"root":"`...)
	dst = unpadded.AppendEncode(dst, h.Root[:])
	return append(dst, `"}`...)
}
