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

// Proxies are the networks of trusted proxies, which report the address of a client.
type Proxies []netip.Prefix

// ParseProxies reads comma-separated networks, each as 10.0.0.0/8 or a single address. Its
// error names every invalid one.
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
			faults = append(faults, fmt.Errorf("%q is neither a network, such as 10.0.0.0/8 or 2001:db8::/32, nor an address", part))
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

// withClient puts the client's address into the context for [Client].
func (p Proxies) withClient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, p.Client(r))))
	})
}

// Client is the address of the client of the request of ctx. It is not valid outside of a
// request.
func Client(ctx context.Context) netip.Addr {
	a, _ := ctx.Value(clientKey{}).(netip.Addr)
	return a
}

// Network is the network by which clients are counted: an IPv4 address, or the /64 of an
// IPv6 address, because one client can use any number of addresses within a /64.
func Network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // the address is not valid
	}
	return network
}

// Client is the address that a request comes from: that of the connection, or, as long as
// that is a trusted proxy's, the one that this proxy reports. Addresses that a client adds
// in front of those of the proxies are ignored.
//
// If a trusted proxy hides the address ("unknown", "_hidden") or gives it in an unknown
// form, the request counts as the proxy's. The same applies if Forwarded and
// X-Forwarded-For lead to different addresses: the proxies write one of the headers and
// pass on the other, which the client may have made up.
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

// walk goes from the connection towards the client as long as each hop is trusted. Nodes
// are in the order in which the request passed them. A node that is not valid is hidden.
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

// forwardedFor reads the for parameter of each element of Forwarded (RFC 7239, 4). A line
// that can't be parsed counts as one node that is not valid: a quote that a client opened
// and never closed does not hide a line that a proxy added.
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

// forOf is the address in an element's for parameter. It is not valid if the element has
// none or more than one.
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

// split cuts a text at a byte, but not within quotes, and trims its parts. It fails if a
// quote is not closed.
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

// unquote reads a quoted-string (RFC 9110, 5.6.4), or returns a token unchanged.
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
// For other text, such as "unknown" and "_hidden", the result is not valid.
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
