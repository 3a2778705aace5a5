package webtest

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
)

// logOf returns a logger for the api's warnings and errors, which a failed test shows at its
// end: they say why a page was answered with an error.
func logOf(t testing.TB) *slog.Logger {
	lines := new(logLines)
	t.Cleanup(func() {
		if text := lines.String(); t.Failed() && text != "" {
			t.Logf("the log of the api:\n%s", text)
		}
	})
	return slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// logLines keeps what is logged. It is safe for concurrent use.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
