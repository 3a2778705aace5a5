package sendgrid

import (
	"hash/maphash"
	"strings"
)

// AddressSet is a set of e-mail addresses, of which SendGrid accepts each only once in a request,
// ignoring letter case. It holds up to MaxRecipients, and is several times faster than a map,
// because it is filled for every request. The zero AddressSet is empty.
type AddressSet struct {
	addresses []string
	// places has for each address, at its hash or at the next free place, its index in addresses
	// plus one. It is never more than half full.
	places [2048]uint16
}

var addressSeed = maphash.MakeSeed()

// Add adds an address and returns true, or false where the set has it already. It also returns
// false where the set is full.
func (s *AddressSet) Add(address string) bool {
	if len(s.addresses) == MaxRecipients {
		return false
	}
	address = strings.ToLower(address)
	const mask = uint64(len(s.places) - 1)
	at := maphash.String(addressSeed, address) & mask
	for ; s.places[at] != 0; at = (at + 1) & mask {
		if s.addresses[s.places[at]-1] == address {
			return false
		}
	}
	s.addresses = append(s.addresses, address)
	s.places[at] = uint16(len(s.addresses)) // #nosec G115 -- MaxRecipients at most
	return true
}
