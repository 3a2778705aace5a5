package inbound

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The address of a request is the one that trusted proxies report, read from the connection
// towards the client, and not one that the client gives itself.
func TestClient(t *testing.T) {
	trusted, err := ParseProxies("10.0.0.0/8, 2001:db8:ff::/48,127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	const xff, fwd = "X-Forwarded-For", "Forwarded"
	for _, c := range []struct {
		name, peer string
		header     []string // name and line, in turn
		want       string
	}{
		{"nothing said", "10.0.0.1:1", nil, "10.0.0.1"},
		{"no proxy", "192.0.2.1:1", nil, "192.0.2.1"},
		{"no proxy of ours", "192.0.2.1:1", []string{xff, "198.51.100.1"}, "192.0.2.1"},
		{"no proxy of ours, RFC 7239", "192.0.2.1:1", []string{fwd, "for=198.51.100.1"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:1", []string{xff, "198.51.100.1"}, "198.51.100.1"},
		{"one address that is trusted", "127.0.0.1:1", []string{xff, "198.51.100.1"}, "198.51.100.1"},
		{"its neighbour", "127.0.0.2:1", []string{xff, "198.51.100.1"}, "127.0.0.2"},
		{"two proxies", "10.0.0.1:1", []string{xff, "198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"a spoofed left part", "10.0.0.1:1", []string{xff, "203.0.113.9, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"a spoofed proxy", "10.0.0.1:1", []string{xff, "203.0.113.9, 10.9.9.9, 198.51.100.1"}, "198.51.100.1"},
		{"several lines", "10.0.0.1:1", []string{xff, "203.0.113.9", xff, "198.51.100.1", xff, "10.0.0.2"}, "198.51.100.1"},
		{"all are proxies", "10.0.0.1:1", []string{xff, "10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a port", "10.0.0.1:1", []string{xff, "198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6", "10.0.0.1:1", []string{xff, "2001:db8::7"}, "2001:db8::7"},
		{"IPv6 in brackets", "10.0.0.1:1", []string{xff, "[2001:db8::7]"}, "2001:db8::7"},
		{"IPv6 and a port", "10.0.0.1:1", []string{xff, "[2001:db8::7]:80"}, "2001:db8::7"},
		{"IPv6 in quotes", "10.0.0.1:1", []string{xff, `"[2001:db8::7]:80"`}, "2001:db8::7"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{xff, "::ffff:198.51.100.1"}, "198.51.100.1"},
		{"an IPv6 proxy", "[2001:db8:ff::1]:1", []string{xff, "198.51.100.1"}, "198.51.100.1"},
		{"a zone", "[fe80::1%eth0]:1", nil, "fe80::1"},
		{"empty elements", "10.0.0.1:1", []string{xff, ", ,198.51.100.1, ,"}, "198.51.100.1"},
		{"an empty line", "10.0.0.1:1", []string{xff, ""}, "10.0.0.1"},
		{"unknown", "10.0.0.1:1", []string{xff, "198.51.100.1, unknown"}, "10.0.0.1"},
		{"unknown on the left", "10.0.0.1:1", []string{xff, "unknown, 198.51.100.1"}, "198.51.100.1"},
		{"rubbish", "10.0.0.1:1", []string{xff, "198.51.100.1, 1.2.3.4.5"}, "10.0.0.1"},
		{"a name", "10.0.0.1:1", []string{xff, "client.example"}, "10.0.0.1"},
		{"a hidden hop between proxies", "10.0.0.1:1", []string{xff, "198.51.100.1, _x, 10.0.0.2"}, "10.0.0.2"},

		{"RFC 7239", "10.0.0.1:1", []string{fwd, "for=198.51.100.1"}, "198.51.100.1"},
		{"in capitals", "10.0.0.1:1", []string{fwd, "FOR=198.51.100.1;PROTO=https"}, "198.51.100.1"},
		{"with other parameters", "10.0.0.1:1", []string{fwd, `by=10.0.0.1 ; for=198.51.100.1;host="a,b;c=d";proto=https`}, "198.51.100.1"},
		{"quoted", "10.0.0.1:1", []string{fwd, `for="198.51.100.1:4711"`}, "198.51.100.1"},
		{"quoted IPv6", "10.0.0.1:1", []string{fwd, `For="[2001:db8::7]:4711"`}, "2001:db8::7"},
		{"escaped", "10.0.0.1:1", []string{fwd, `for="198\.51.100.1"`}, "198.51.100.1"},
		{"a hidden port", "10.0.0.1:1", []string{fwd, `for="198.51.100.1:_p"`}, "198.51.100.1"},
		{"several elements", "10.0.0.1:1", []string{fwd, "for=203.0.113.9, for=198.51.100.1;proto=https, for=10.0.0.2"}, "198.51.100.1"},
		{"several lines", "10.0.0.1:1", []string{fwd, "for=203.0.113.9", fwd, "for=198.51.100.1"}, "198.51.100.1"},
		{"hidden", "10.0.0.1:1", []string{fwd, "for=198.51.100.1, for=_hidden"}, "10.0.0.1"},
		{"unknown", "10.0.0.1:1", []string{fwd, "for=unknown"}, "10.0.0.1"},
		{"no for", "10.0.0.1:1", []string{fwd, "for=198.51.100.1, proto=https"}, "10.0.0.1"},
		{"two of it", "10.0.0.1:1", []string{fwd, "for=198.51.100.1;for=203.0.113.9"}, "10.0.0.1"},
		{"a quote that is never closed, on the client's line", "10.0.0.1:1", []string{fwd, `for="203.0.113.9`, fwd, "for=198.51.100.1"}, "198.51.100.1"},
		{"a quote that is never closed", "10.0.0.1:1", []string{fwd, `for="203.0.113.9, for=198.51.100.1`}, "10.0.0.1"},

		{"both, and they agree", "10.0.0.1:1", []string{xff, "198.51.100.1", fwd, "for=198.51.100.1"}, "198.51.100.1"},
		{"the client made one up", "10.0.0.1:1", []string{xff, "198.51.100.1", fwd, "for=203.0.113.9"}, "10.0.0.1"},
		{"or the other", "10.0.0.1:1", []string{xff, "203.0.113.9", fwd, "for=198.51.100.1"}, "10.0.0.1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Add(c.header[i], c.header[i+1])
		}
		if got := trusted.Client(r); got.String() != c.want {
			t.Errorf("%s: %s %q is %s, want %s", c.name, c.peer, c.header, got, c.want)
		}
	}
}

// Whatever a client puts in front of what its proxy says, it is the same client.
func TestNothingInFrontChangesTheClient(t *testing.T) {
	t.Parallel()
	trusted, err := ParseProxies("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		made := rapid.StringOf(rapid.RuneFrom([]rune(`for=";,\_[]:.0123456789abcdefunknown `))).Draw(t, "made up")
		forwarded := rapid.Bool().Draw(t, "Forwarded")
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		name, said, between := "X-Forwarded-For", "198.51.100.1", ", "
		if forwarded {
			name, said = "Forwarded", "for=198.51.100.1"
		}
		if forwarded || rapid.Bool().Draw(t, "a line of its own") {
			r.Header.Add(name, made)
			r.Header.Add(name, said)
		} else {
			r.Header.Add(name, made+between+said)
		}
		if got := trusted.Client(r).String(); got != "198.51.100.1" {
			t.Fatalf("%q makes it %s", r.Header, got)
		}
	})
}

func TestParseProxies(t *testing.T) {
	all, err := ParseProxies("")
	if err != nil || len(all) != 0 {
		t.Errorf("nothing is %v, %v", all, err)
	}
	all, err = ParseProxies(" 10.1.2.3/8 ,2001:db8::1,, 192.0.2.7,::ffff:198.51.100.0/120")
	if want := "[10.0.0.0/8 2001:db8::1/128 192.0.2.7/32 198.51.100.0/24]"; err != nil || strings.Trim(want, "[]") != strings.Trim(joined(all), " ") {
		t.Errorf("got %v, %v, want %s", all, err, want)
	}
	_, err = ParseProxies("10.0.0.0/33,10.0.0.0/8,proxy.example,10.0.0.0/")
	for _, wrong := range []string{`"10.0.0.0/33"`, `"proxy.example"`, `"10.0.0.0/"`} {
		if err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s is not named: %v", wrong, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), `"10.0.0.0/8"`) {
		t.Errorf("what is right is named: %v", err)
	}
}

func joined(all Proxies) (text string) {
	for _, one := range all {
		text += " " + one.String()
	}
	return text
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{"192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64"} {
		if got := Network(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("%s counts under %s, want %s", address, got, want)
		}
	}
	if got := Network(netip.Addr{}); got.IsValid() {
		t.Errorf("no address counts under %s", got)
	}
}
