package embedded

import (
	"fmt"
	"log/slog"
	"strings"
)

// serverLog writes the NATS server's log to slog. Notices of the server are logged at
// level debug.
type serverLog struct {
	log   *slog.Logger
	fatal chan string // receives the first fatal error
}

func (l *serverLog) Noticef(format string, args ...any) {
	l.log.Debug("nats: " + fmt.Sprintf(format, args...))
}
func (l *serverLog) Debugf(format string, args ...any) {
	l.log.Debug("nats: " + fmt.Sprintf(format, args...))
}
func (l *serverLog) Tracef(string, ...any) {} // traces contain the payload of msgs
func (l *serverLog) Warnf(format string, args ...any) {
	// The passwords are random and used only for this run. Hashing them would cost each
	// connection a tenth of a second.
	if strings.HasPrefix(format, "Plaintext passwords detected") {
		l.Debugf(format, args...)
		return
	}
	l.log.Warn("nats: " + fmt.Sprintf(format, args...))
}
func (l *serverLog) Errorf(format string, args ...any) {
	l.log.Error("nats: " + fmt.Sprintf(format, args...))
}

// Fatalf does not end the process, unlike the server's own logger.
func (l *serverLog) Fatalf(format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	l.log.Error("nats: " + reason)
	select {
	case l.fatal <- reason:
	default:
	}
}
