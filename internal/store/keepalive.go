package store

import (
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A peer that has vanished without a word is given up within ten seconds, at
// both ends: four of silence, then three probes two seconds apart.
const (
	keepIdle     = 4 * time.Second
	keepInterval = 2 * time.Second
	keepCount    = 3
	keepTotal    = keepIdle + keepCount*keepInterval
)

// keepAlive makes both ends of a TCP connection notice a dead host. The server's
// end matters as much as ours: it holds the advisory lock that a standby waits
// for. On a unix socket none of it has an effect.
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
		"client_connection_check_interval": "2000", // notices a dead client also in the midst of a long query
	} {
		cfg.RuntimeParams[name] = value
	}
}
