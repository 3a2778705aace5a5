package store

import (
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Both ends close a connection within ten seconds after the other has disappeared: four
// seconds without data, then three probes two seconds apart.
const (
	keepIdle     = 4 * time.Second
	keepInterval = 2 * time.Second
	keepCount    = 3
	keepTotal    = keepIdle + keepCount*keepInterval
)

// keepAlive makes both ends of a TCP connection detect a dead host. The server's end matters
// too, because it holds the advisory lock that a standby waits for. It has no effect on a unix
// socket.
func keepAlive(cfg *pgconn.Config) {
	dialer := &net.Dialer{
		Timeout: 5 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepIdle, Interval: keepInterval, Count: keepCount,
		},
		Control: boundUnacknowledged,
	}
	cfg.DialFunc = dialer.DialContext
	cfg.ConnectTimeout = 5 * time.Second
	for name, value := range map[string]string{
		"tcp_keepalives_idle":              "4",
		"tcp_keepalives_interval":          "2",
		"tcp_keepalives_count":             "3",
		"tcp_user_timeout":                 "10000",
		"client_connection_check_interval": "2000", // detects a dead client also during a long query
	} {
		cfg.RuntimeParams[name] = value
	}
}
