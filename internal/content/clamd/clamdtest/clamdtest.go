// Package clamdtest runs a real ClamAV daemon for a test, with a database of its own that knows
// the EICAR test file alone. Nothing is downloaded.
package clamdtest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/giveup"
)

// EICAR returns the test file that every virus scanner knows (https://www.eicar.org). It is put
// together here, because scanners would take this source file for it.
func EICAR() []byte {
	return []byte(`X5O!P%@AP[4\PZX54(P^)7CC)7}` + `$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!` + `$H+H*`)
}

// signature describes the first bytes of the test file, in the format of ClamAV's *.ndb files:
// name, any type of file, at its beginning, in hexadecimal.
const signature = "Eicar-Test-Signature:0:0:58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d5354414e44415244\n"

// places are where packages put clamd besides the folders of PATH.
var places = []string{"clamd", "/usr/sbin/clamd", "/opt/homebrew/sbin/clamd", "/usr/local/sbin/clamd"}

// A Daemon is a running clamd.
type Daemon struct {
	// Address is its CLAMD_ADDR, a unix socket.
	Address string

	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts a clamd that ends with the test. Where clamd is not installed, it skips the test; in
// CI it fails the test.
func Start(t testing.TB) *Daemon {
	t.Helper()
	path := find()
	if path == "" {
		const missing = "NOT TESTED with a virus scanner: clamd is not installed; `sh tools/setup.sh scanner` installs it"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	dir, err := os.MkdirTemp("", "clamd") // its path fits in the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &Daemon{Address: filepath.Join(dir, "socket"), ended: make(chan struct{})}
	write(t, filepath.Join(dir, "test.ndb"), signature)
	config := filepath.Join(dir, "clamd.conf")
	write(t, config, strings.Join([]string{"Foreground yes", "LocalSocket " + d.Address, "DatabaseDirectory " + dir, "TemporaryDirectory " + dir,
		"ScanArchive yes", "StreamMaxLength 25M", "MaxThreads 2"}, "\n")+"\n")
	var log strings.Builder
	d.cmd = exec.Command(path, "--config-file", config) // #nosec G204 -- of the list above
	d.cmd.Stdout, d.cmd.Stderr = &log, &log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = d.cmd.Wait(); close(d.ended) }()
	t.Cleanup(d.Stop)
	if !d.answers(t) {
		d.Stop()
		t.Fatalf("clamd does not start:\n%s", &log)
	}
	return d
}

func find() string {
	for _, place := range places {
		if path, err := exec.LookPath(place); err == nil {
			return path
		}
	}
	return ""
}

// answers waits until clamd accepts connections. It polls, because clamd does not say so.
func (d *Daemon) answers(t testing.TB) bool {
	ctx, cancel := context.WithTimeout(t.Context(), giveup.After)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		if conn, err := net.Dial("unix", d.Address); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-d.ended:
			return false
		case <-ctx.Done():
			return false
		case <-poll.C:
		}
	}
}

// Stop ends the daemon.
func (d *Daemon) Stop() {
	_ = d.cmd.Process.Kill() // it has nothing to finish
	<-d.ended
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
