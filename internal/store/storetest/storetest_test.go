package storetest_test

import (
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/giveup"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// Two tests never see each other's rows.
func TestEachDatabaseIsItsOwn(t *testing.T) {
	for _, name := range []string{"one", "another"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := storetest.Pool(t, store.RoleAdmin)
			if _, err := pool.Exec(t.Context(), `CREATE TABLE mine (name text)`); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A test binary that is killed takes its cluster with it, and its folder.
func TestAKilledTestBinaryLeavesNothing(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$", "-test.v") // #nosec G204 -- ourselves
	cmd.Env = append(os.Environ(), "STORETEST_KILLED=1")
	out, err := cmd.Output()
	if ended := new(exec.ExitError); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process that kills itself: %v\n%s", err, out)
	}
	_, line, _ := strings.Cut(string(out), "url=")
	line, _, _ = strings.Cut(line, "\n")
	u, err := url.Parse(line)
	if err != nil || u.Query().Get("host") == "" {
		t.Fatalf("it said no URL, %v:\n%s", err, out)
	}

	// The watchdog is not our child any more, so only its effect can be observed.
	dir := filepath.Dir(u.Query().Get("host"))
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(giveup.After); ; {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("%s is still there", dir)
		}
	}
}

// TestKilled is the process that the test above starts, and otherwise nothing.
func TestKilled(t *testing.T) {
	if os.Getenv("STORETEST_KILLED") == "" {
		return
	}
	t.Logf("url=%s", storetest.Cluster(t).URL())
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		storetest.New(b)
	}
}
