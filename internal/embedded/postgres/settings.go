package postgres

import (
	"fmt"
	"maps"
	"os"
	"runtime"
)

// logMax is the size in bytes above which postgres.log is emptied at a start.
const logMax = 16 << 20

// settings returns the server's settings, chosen for COPY of thousands of rows and for
// durable commits.
func (p *Server) settings() map[string]string {
	settings := map[string]string{
		"listen_addresses":        "",
		"port":                    postgresPort,
		"unix_socket_directories": p.socket,
		"unix_socket_permissions": "0700",
		"max_connections":         "100",
		"timezone":                "UTC",
		"log_timezone":            "UTC",

		"shared_buffers":       "128MB",
		"work_mem":             "16MB",
		"maintenance_work_mem": "128MB",
		"random_page_cost":     "1.1",
		"jit":                  "off",
		// Full page images are rare with checkpoints this far apart. Compressing them
		// was measured and gains nothing.
		"max_wal_size":                 "2GB",
		"min_wal_size":                 "256MB",
		"wal_buffers":                  "16MB",
		"checkpoint_timeout":           "15min",
		"checkpoint_completion_target": "0.9",
		"synchronous_commit":           "on",
		"fsync":                        "on",
		"full_page_writes":             "on",

		// A failed statement and its values may contain confidential data, which must
		// not be logged. The process that sent it has the error.
		"log_min_messages":        "log",
		"log_min_error_statement": "panic",
		"log_error_verbosity":     "terse",
		"log_checkpoints":         "off",
	}
	if runtime.GOOS == "darwin" {
		settings["wal_sync_method"] = "fsync_writethrough" // the default does not flush the drive's cache
	}
	if p.cfg.Unsafe {
		maps.Copy(settings, map[string]string{"fsync": "off", "full_page_writes": "off"})
	}
	maps.Copy(settings, p.cfg.Settings)
	return settings
}

func (p *Server) openLog() (*os.File, error) {
	if info, err := os.Stat(p.logPath()); err == nil && info.Size() > logMax {
		if err := os.Truncate(p.logPath(), 0); err != nil {
			return nil, fmt.Errorf("emptying the log: %w", err)
		}
	}
	file, err := os.OpenFile(p.logPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return file, p.owner.give(p.logPath())
}

func (p *Server) logTail() string {
	text, err := os.ReadFile(p.logPath())
	if err != nil {
		return err.Error()
	}
	return lastLines(text[max(0, len(text)-4096):])
}
