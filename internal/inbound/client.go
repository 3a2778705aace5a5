package inbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks whose word is taken for where a request comes from.
type Proxies []netip.Prefix

// ParseProxies reads networks, comma-separated, each as 10.0.0.0/8 or one address. Its
// error names every one that is none.
func ParseProxies(text string) (Proxies, error) {
	var all Proxies
	var faults []error
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		network, err := netip.ParsePrefix(part)
		if one, single := netip.ParseAddr(part); single == nil && one.Zone() == "" {
			network, err = netip.PrefixFrom(one, one.BitLen()), nil
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%q is no network, as 10.0.0.0/8 or 2001:db8::/32, and no address", part))
			continue
		}
		if network.Addr().Is4In6() && network.Bits() >= 96 {
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
		}
		all = append(all, network.Masked())
	}
	return all, errors.Join(faults...)
}

func (p Proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(a) })
}

type clientKey struct{}

// tellApart notes the client's address for [Client].
func (p Proxies) tellApart(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, p.Client(r))))
	})
}

// Client is the address of the client of the request that ctx belongs to: not valid
// outside of one.
func Client(ctx context.Context) netip.Addr {
	a, _ := ctx.Value(clientKey{}).(netip.Addr)
	return a
}

// Network is what clients are counted under: an IPv4 address, or the /64 of an IPv6
// address, within which one client has as many addresses as it likes.
func Network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // of no address
	}
	return network
}

// Client is the address that a request comes from: that of the connection, or, while
// that is a trusted proxy's, the one that this proxy names. So a client can put what it
// likes in front of what proxies say, and is not believed.
//
// Where a trusted proxy hides the address ("unknown", "_hidden") or says it in no known
// form, the request counts as the proxy's. So it does where Forwarded and
// X-Forwarded-For lead to two addresses: the proxies write one of them, and pass on the
// other as the client made it up.
func (p Proxies) Client(r *http.Request) netip.Addr {
	peer := parseNode(r.RemoteAddr)
	if !p.trust(peer) {
		return peer
	}
	forwarded, also := r.Header.Values("Forwarded"), r.Header.Values("X-Forwarded-For")
	client := p.walk(peer, forwardedFor(forwarded))
	if len(also) == 0 {
		return client
	}
	other := p.walk(peer, listed(also))
	if len(forwarded) == 0 || client == other {
		return other
	}
	return peer
}

// walk goes from the connection towards the client for as long as the hop is trusted.
// Nodes stand in the order in which the request passed them; one that is not valid is
// hidden.
func (p Proxies) walk(at netip.Addr, nodes []netip.Addr) netip.Addr {
	for _, node := range slices.Backward(nodes) {
		if !p.trust(at) || !node.IsValid() {
			break
		}
		at = node
	}
	return at
}

// listed reads X-Forwarded-For.
func listed(lines []string) (nodes []netip.Addr) {
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if part = strings.TrimSpace(part); part != "" {
			nodes = append(nodes, parseNode(strings.Trim(part, `"`)))
		}
	}
	return nodes
}

// forwardedFor reads the for of each element of Forwarded (RFC 7239, 4). A line that
// can't be read is one node that is not valid: what a client began and never closed
// hides nothing that a proxy put on a line of its own.
func forwardedFor(lines []string) (nodes []netip.Addr) {
	for _, line := range lines {
		elements, ok := split(line, ',')
		if !ok {
			nodes = append(nodes, netip.Addr{})
			continue
		}
		for _, element := range elements {
			if element != "" {
				nodes = append(nodes, forOf(element))
			}
		}
	}
	return nodes
}

// forOf is the address that an element names by its one parameter for.
func forOf(element string) (node netip.Addr) {
	pairs, _ := split(element, ';')
	found := 0
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "for") {
			continue
		}
		found++
		node = parseNode(unquote(strings.TrimSpace(value)))
	}
	if found != 1 {
		return netip.Addr{}
	}
	return node
}

// split cuts a text at a byte, but not within quotes, and trims its parts. It fails
// where a quote is never closed.
func split(text string, at byte) (parts []string, ok bool) {
	quoted, begin := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == at && !quoted:
			parts = append(parts, strings.TrimSpace(text[begin:i]))
			begin = i + 1
		}
	}
	return append(parts, strings.TrimSpace(text[begin:])), !quoted
}

// unquote reads a quoted-string (RFC 9110, 5.6.4), or gives a token as it is.
func unquote(text string) string {
	inner, ok := strings.CutPrefix(text, `"`)
	if !ok {
		return text
	}
	inner = strings.TrimSuffix(inner, `"`)
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) {
			i++
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}

// parseNode reads an address, with or without a port, IPv6 with or without brackets.
// What is none, as "unknown" and "_hidden", is not valid.
func parseNode(text string) netip.Addr {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().WithZone("")
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, port, closed := strings.Cut(inner, "]")
		a, err := netip.ParseAddr(inner)
		if !closed || err != nil || !a.Is6() || port != "" && port[0] != ':' {
			return netip.Addr{}
		}
		return a.Unmap().WithZone("")
	}
	host, _, _ := strings.Cut(text, ":") // a port may be hidden, as :_port
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return a
}
