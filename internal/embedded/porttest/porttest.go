// Package porttest finds ports for servers whose address a test must know before they listen,
// or that listen again at the same address after a kill.
package porttest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The ports are below those that systems give to a listener on port 0 (32768 and up on
// Linux, 49152 and up elsewhere) and to outgoing connections, so no other test takes one
// between its choice and its use, or while its server is down.
const (
	lowest = 20000
	above  = 32768
)

// Free returns count different ports of the loopback interface on which nothing listens.
func Free(t testing.TB, count int) []int {
	t.Helper()
	var ports []int
	for len(ports) < count {
		port := lowest + rand.N(above-lowest) // #nosec G404 -- no secret
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			continue // taken
		}
		defer func() { _ = listener.Close() }() // at the return, so that each is found once
		ports = append(ports, port)
	}
	return ports
}

// Address returns an address of the loopback interface with a port as [Free] finds it.
func Address(t testing.TB) string {
	t.Helper()
	return address(Free(t, 1)[0])
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
