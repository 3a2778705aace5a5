//go:build !linux

package store

import "syscall"

// boundUnacknowledged does nothing on this system, which has only keepalive probes.
func boundUnacknowledged(string, string, syscall.RawConn) error { return nil }
