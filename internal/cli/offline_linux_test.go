package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"postern/internal/store/storetest"
)

// alone makes this binary run as postern, in a process that is killed at the first socket.
const alone = "POSTERN_TEST_ALONE"

func TestMain(m *testing.M) {
	if os.Getenv("POSTERN_COMPLETES") != "" { // see TestCompletion
		os.Exit(Run(context.Background(), os.Args[1:]))
	}
	if os.Getenv(alone) == "" {
		storetest.Main(m)
	}
	if err := noSockets(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
	os.Exit(Run(context.Background(), os.Args[1:]))
}

// noSockets makes the kernel kill this process when any of its threads makes a socket of any
// kind (seccomp(2)). It does not need root.
func noSockets() error {
	const load, equal, end = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	rules := []unix.SockFilter{
		{Code: load, K: 0}, // the number of the system call
		{Code: equal, K: unix.SYS_SOCKET, Jt: 2},
		{Code: equal, K: unix.SYS_SOCKETPAIR, Jt: 1},
		{Code: end, K: unix.SECCOMP_RET_ALLOW},
		{Code: end, K: unix.SECCOMP_RET_KILL_PROCESS},
	}
	program := unix.SockFprog{Len: uint16(len(rules)), Filter: &rules[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up privileges: %w", err)
	}
	_, _, failed := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if failed != 0 {
		return fmt.Errorf("forbidding sockets: %w", failed)
	}
	return nil
}

// onABareMachine runs postern in a folder without an environment and without a
// network, as on a machine that has only the binary.
func onABareMachine(t *testing.T, dir string, args ...string) (out string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Dir, cmd.Env = dir, []string{alone + "=1"}
	printed, err := cmd.CombinedOutput()
	return string(printed), err
}

// A receipt that was issued years ago is checked with the binary, the key and the file,
// and nothing else: no system, no network, no home, no configuration.
func TestAReceiptIsCheckedOffline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"format-1.json", "format-1.key", "format-2.json", "format-2.key"} {
		data, err := os.ReadFile(filepath.Join("../proof/receipt/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for format, who := range map[string]string{"format-1": "pu-1", "format-2": "member-a"} {
		out, err := onABareMachine(t, dir, "receipt", "verify", format+".json", "--key", format+".key")
		if err != nil || !strings.Contains(out, "the receipt holds") || !strings.Contains(out, who+" has the message") {
			t.Errorf("%s: it says %s (%v)", format, out, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 4 {
		t.Errorf("it left something behind: %v, %v", left, err)
	}

	// A verb that needs a network is killed, which shows that the test works.
	_, err = onABareMachine(t, dir, "health", "--url", "http://127.0.0.1:1/")
	var died *exec.ExitError
	if !errors.As(err, &died) || died.Sys().(syscall.WaitStatus).Signal() != syscall.SIGSYS {
		t.Errorf("a verb that needs a network ended with %v", err)
	}
}
