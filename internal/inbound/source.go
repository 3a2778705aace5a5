package inbound

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Coarse says how many bits of a client's IPv4 and IPv6 address are recorded. 0 means that
// nothing of it is.
type Coarse struct{ IPv4, IPv6 int }

// ParseCoarse reads the numbers of bits as 24,48. An empty text is as 0,0.
func ParseCoarse(text string) (Coarse, error) {
	if text == "" {
		return Coarse{}, nil
	}
	four, six, _ := strings.Cut(text, ",")
	a, errA := strconv.Atoi(strings.TrimSpace(four))
	b, errB := strconv.Atoi(strings.TrimSpace(six))
	if errA != nil || errB != nil || a < 0 || a > 32 || b < 0 || b > 128 {
		return Coarse{}, fmt.Errorf("%q is not two numbers of bits, as 24,48: of IPv4 addresses (0 to 32) and of IPv6 addresses (0 to 128)", text)
	}
	return Coarse{a, b}, nil
}

// Of returns the network of an address, as 192.0.2.0/24. It is "" for an address that is not
// valid, and where nothing is recorded.
func (c Coarse) Of(a netip.Addr) string {
	bits := c.IPv4
	if a.Is6() {
		bits = c.IPv6
	}
	network, err := a.Prefix(bits)
	if err != nil || bits == 0 || !a.IsValid() {
		return ""
	}
	return network.String()
}
