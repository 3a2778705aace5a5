package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// isURL says whether text is the address of a host by one of the schemes. No waiting
// mends one that is not, while one that does not answer may yet.
func isURL(text string, schemes ...string) bool {
	u, err := url.Parse(strings.TrimSpace(text))
	return err == nil && u.Hostname() != "" && (u.Port() == "" || isPort(u.Port())) && slices.Contains(schemes, u.Scheme)
}

// areServers says whether each of a comma-separated list names a NATS server.
func areServers(list string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if !isURL(one, "nats", "tls", "ws", "wss") {
			return false
		}
	}
	return true
}

// isBucket says whether text names a folder or an object store.
func isBucket(text string) bool {
	scheme, rest, isURL := strings.Cut(text, "://")
	return !isURL || scheme == "mem" || rest != "" && (scheme == "file" || scheme == "s3")
}

// isScanner says whether text is host:port, or the path of a unix socket.
func isScanner(text string) bool {
	if strings.Contains(text, "/") {
		return !strings.Contains(text, "://")
	}
	host, port, err := net.SplitHostPort(text)
	return err == nil && host != "" && isPort(port)
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16) // 0 is any that is free
	return err == nil
}
