package inbound

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer makes the server of a process: with limits on what a client may send and
// how long it may take, for everything that handler serves. Clients are told apart by
// what the trusted proxies say of them.
func NewServer(handler http.Handler, trusted Proxies, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           trusted.tellApart(canonical(limited(newBudgets(), handler))),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       usual,           // a body that is read has the time of its route
		WriteTimeout:      3 * time.Minute, // streams and exports set their own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
