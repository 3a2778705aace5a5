// Package filelock locks a data folder for one process, with an exclusive flock(2) on a file in
// it. The kernel releases the lock when the process ends, even if it is killed.
package filelock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrInUse is the error if another process runs a server over the folder.
var ErrInUse = errors.New("the folder is in use")

// Lock is the lock of a folder that this process holds.
type Lock struct{ file *os.File }

// Take takes the lock of dir, without waiting. If another process holds it, the
// error wraps [ErrInUse] and names that process.
func Take(dir string) (*Lock, error) {
	path := filepath.Join(dir, "postern.lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // #nosec G304 -- the operator names the data folder
	if err != nil {
		return nil, fmt.Errorf("opening the lock of %s: %w", dir, err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { // #nosec G115 -- file descriptors are small
		defer file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: process %s has it open: stop that one first, or use another folder (--data): %s",
				ErrInUse, holder(file), dir)
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	// The process id is only for people who read the file.
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lock{file}, nil
}

func holder(file *os.File) string {
	text := make([]byte, 20)
	n, _ := file.ReadAt(text, 0)
	if pid := strings.TrimSpace(string(text[:n])); pid != "" {
		return pid
	}
	return "(unknown)"
}

// Release releases the lock. The file stays: if it were removed, one process could lock
// the old file while another locks a new one.
func (l *Lock) Release() error { return l.file.Close() }
