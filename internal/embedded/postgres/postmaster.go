package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// postmaster is a running server: our child process, or one that we took over.
type postmaster struct {
	pid      int
	exited   chan struct{} // closed when the process has ended
	stopping atomic.Bool   // stop was called
}

// stop shuts the server down, or ends it immediately if ctx ends first.
// The signals are those of "Shutting Down the Server" in PostgreSQL's manual.
func (s *postmaster) stop(ctx context.Context) error {
	s.stopping.Store(true)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := s.signal(signal); err != nil {
			return err
		}
		select {
		case <-s.exited:
			return nil
		case <-ctx.Done():
		}
	}
	select {
	case <-s.exited:
		return nil
	case <-time.After(stopBound):
		return fmt.Errorf("PostgreSQL (process %d) does not stop", s.pid)
	}
}

func (s *postmaster) signal(signal syscall.Signal) error {
	select {
	case <-s.exited:
		return nil // another process may have the process id by now
	default:
	}
	if err := syscall.Kill(s.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping PostgreSQL (process %d): %w", s.pid, err)
	}
	return nil
}

// pidFile holds the lines of postmaster.pid that we use (PostgreSQL's pidfile.h).
type pidFile struct {
	pid       int
	socketDir string
}

func readPIDFile(cluster string) (pidFile, error) {
	text, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid")) // #nosec G304 -- the operator names the data folder
	if err != nil {
		return pidFile{}, fmt.Errorf("reading postmaster.pid: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return pidFile{}, fmt.Errorf("reading %s/postmaster.pid: it does not begin with a process id: if no PostgreSQL runs over this folder, remove that file", cluster)
	}
	file := pidFile{pid: pid}
	if len(lines) > 4 {
		file.socketDir = lines[4]
	}
	return file, nil
}

// isPostmaster reports whether the process is a server that runs over the cluster, as far
// as our permissions allow a check. It is needed because process ids are reused.
func isPostmaster(pid int, cluster string) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(proc, "stat")) // #nosec G304 -- made of a number
	if err != nil {
		// This system has no /proc, or the process has just ended.
		out, _ := exec.Command("ps", "-o", "stat=,comm=", "-p", strconv.Itoa(pid)).Output() // #nosec G204 -- a number
		return bytes.Contains(out, []byte("postgres")) && !bytes.HasPrefix(out, []byte("Z"))
	}
	// "123 (postgres) S …": Z is a process that has ended but was not waited for.
	if !bytes.Contains(stat, []byte("(postgres) ")) || bytes.Contains(stat, []byte(") Z ")) {
		return false
	}
	// The working directory of a postmaster is its data folder. In a container even root
	// may not read it; then the name has to be enough.
	workDir, err := os.Stat(filepath.Join(proc, "cwd"))
	if err != nil {
		return errors.Is(err, os.ErrPermission)
	}
	clusterDir, err := os.Stat(cluster)
	return err == nil && os.SameFile(workDir, clusterDir)
}
