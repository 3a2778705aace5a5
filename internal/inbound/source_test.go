package inbound

import (
	"net/netip"
	"testing"
)

// As much of an address is recorded as the clinic wants, and no more.
func TestASourceIsCoarse(t *testing.T) {
	for _, c := range []struct{ bits, address, want string }{
		{"24,48", "192.0.2.77", "192.0.2.0/24"},
		{"24,48", "2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"},
		{" 16 , 32 ", "192.0.2.77", "192.0.0.0/16"},
		{"32,128", "192.0.2.77", "192.0.2.77/32"},
		{"0,0", "192.0.2.77", ""},
		{"0,0", "2001:db8::1", ""},
		{"", "192.0.2.77", ""},
		{"0,48", "192.0.2.77", ""},
		{"24,48", "", ""},
	} {
		coarse, err := ParseCoarse(c.bits)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := netip.ParseAddr(c.address)
		if got := coarse.Of(a); got != c.want {
			t.Errorf("%q of %q is %q, want %q", c.bits, c.address, got, c.want)
		}
	}
	for _, wrong := range []string{" ", "24", "24,", "24,48,64", "33,48", "24,129", "-1,48", "a,b", "24;48"} {
		if c, err := ParseCoarse(wrong); err == nil {
			t.Errorf("%q is read as %v", wrong, c)
		}
	}
}
