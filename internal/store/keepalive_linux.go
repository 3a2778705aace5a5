package store

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundUnacknowledged limits how long sent data may stay unacknowledged, because Linux sends
// no keepalive probes while data is unacknowledged (tcp(7), TCP_USER_TIMEOUT).
func boundUnacknowledged(network, _ string, conn syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(keepTotal.Milliseconds())) // #nosec G115 -- file descriptors are small
	})
	if err != nil {
		return err
	}
	return failed
}
