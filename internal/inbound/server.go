package inbound

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer makes the server of a process, with limits on the size and duration of every
// request to handler, and on the number of connections. The client's address comes from the trusted proxies; see
// [Proxies.Client].
func NewServer(handler http.Handler, trusted Proxies, logger *slog.Logger) *http.Server {
	all := newConns(trusted)
	return &http.Server{
		Handler:           all.serving(trusted.withClient(canonical(limited(newBudgets(), handler)))),
		ConnContext:       all.open,
		ConnState:         all.state,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       bodyTimeout,     // reading a body extends it, up to the route's limit
		WriteTimeout:      3 * time.Minute, // streams and exports set their own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
