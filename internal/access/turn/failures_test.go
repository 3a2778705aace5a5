package turn

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// The third failure makes a network a suspect, for a quarter of an hour or more.
func TestANetworkIsASuspect(t *testing.T) {
	var f Failures
	home, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for n, want := range []bool{false, false, true, true} {
		if got := f.Note(home, at); got != want {
			t.Errorf("after failure %d it is a suspect: %v", n+1, got)
		}
	}
	for _, c := range []struct {
		network netip.Prefix
		after   time.Duration
		want    bool
	}{{home, 0, true}, {other, 0, false}, {home, recently - 1, true}, {home, recently, true}, {home, 2 * recently, false}} {
		if got := f.Suspect(c.network, at.Add(c.after)); got != c.want {
			t.Errorf("%s after %s is a suspect: %v", c.network, c.after, got)
		}
	}
}

// A failure counts for a quarter of an hour, whenever another network began to fail.
func TestAFailureCountsForItsTime(t *testing.T) {
	var f Failures
	home := netip.MustParsePrefix("192.0.2.1/32")
	f.Note(netip.MustParsePrefix("198.51.100.1/32"), at)
	for range suspectFrom {
		f.Note(home, at.Add(2*recently-time.Minute))
	}
	if !f.Suspect(home, at.Add(2*recently+time.Minute)) {
		t.Error("its failures are forgotten after two minutes")
	}
}

// Whoever fails once from each of many neighbouring networks makes all of them suspects.
func TestNeighboursAreSuspects(t *testing.T) {
	for _, c := range []struct{ first, near, far string }{
		{"192.0.2.0/32", "192.0.2.200/32", "192.0.3.1/32"},
		{"2001:db8:1::/64", "2001:db8:1:ffff::/64", "2001:db8:2::/64"},
	} {
		var f Failures
		p := netip.MustParsePrefix(c.first)
		for n := range neighboursFrom {
			if f.Suspect(netip.MustParsePrefix(c.near), at) {
				t.Errorf("%s is a suspect after %d failures of others", c.near, n)
			}
			f.Note(p, at)
			p = following(p)
		}
		if !f.Suspect(netip.MustParsePrefix(c.near), at) || f.Suspect(netip.MustParsePrefix(c.far), at) {
			t.Errorf("suspects are not the neighbours of %s", c.first)
		}
	}
}

// Failures from any number of networks fill no memory.
func TestFailuresAreForgotten(t *testing.T) {
	var f Failures
	p := netip.MustParsePrefix("10.0.0.0/32")
	for range 3 * mostNetworks {
		f.Note(p, at)
		p = following(p)
	}
	if n := len(f.now) + len(f.before); n > 2*mostNetworks+2 {
		t.Errorf("%d networks are remembered", n)
	}
}

// following is the network after p.
func following(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])+1)
		return netip.PrefixFrom(netip.AddrFrom4(a), p.Bits())
	}
	a := p.Addr().As16()
	binary.BigEndian.PutUint64(a[:8], binary.BigEndian.Uint64(a[:8])+1)
	return netip.PrefixFrom(netip.AddrFrom16(a), p.Bits())
}
