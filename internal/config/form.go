package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// isURL reports whether text is the address of a host with one of the schemes. Waiting can't
// correct an address with a wrong form, so that is an error at the start; a host that does
// not answer is not.
func isURL(text string, schemes ...string) bool {
	u, err := url.Parse(strings.TrimSpace(text))
	return err == nil && u.Hostname() != "" && (u.Port() == "" || isPort(u.Port())) && slices.Contains(schemes, u.Scheme)
}

// areServers reports whether each entry of a comma-separated list is the address of a NATS
// server.
func areServers(list string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if !isURL(one, "nats", "tls", "ws", "wss") {
			return false
		}
	}
	return true
}

// isBucket reports whether text is a folder or the address of an object store.
func isBucket(text string) bool {
	scheme, rest, isURL := strings.Cut(text, "://")
	return !isURL || scheme == "mem" || rest != "" && (scheme == "file" || scheme == "s3")
}

// isScanner reports whether text is host:port, or the path of a unix socket.
func isScanner(text string) bool {
	if strings.Contains(text, "/") {
		return !strings.Contains(text, "://")
	}
	host, port, err := net.SplitHostPort(text)
	return err == nil && host != "" && isPort(port)
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16) // 0 means any free port
	return err == nil
}
