package embedded

import (
	"fmt"
	"log/slog"
	"strings"
)

// serverLog writes the NATS server's log to slog. What the server calls a
// notice is of interest to nobody but who debugs it.
type serverLog struct {
	log   *slog.Logger
	fatal chan string // the first reason for which it cannot run
}

func (l *serverLog) Noticef(format string, args ...any) {
	l.log.Debug("nats: " + fmt.Sprintf(format, args...))
}
func (l *serverLog) Debugf(format string, args ...any) {
	l.log.Debug("nats: " + fmt.Sprintf(format, args...))
}
func (l *serverLog) Tracef(string, ...any) {} // would hold what msgs hold
func (l *serverLog) Warnf(format string, args ...any) {
	// The passwords are random, of this run alone, and hashing them would cost
	// each connection a tenth of a second.
	if strings.HasPrefix(format, "Plaintext passwords detected") {
		l.Debugf(format, args...)
		return
	}
	l.log.Warn("nats: " + fmt.Sprintf(format, args...))
}
func (l *serverLog) Errorf(format string, args ...any) {
	l.log.Error("nats: " + fmt.Sprintf(format, args...))
}

// Fatalf must not end the process, as the server's own logger does.
func (l *serverLog) Fatalf(format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	l.log.Error("nats: " + reason)
	select {
	case l.fatal <- reason:
	default:
	}
}
