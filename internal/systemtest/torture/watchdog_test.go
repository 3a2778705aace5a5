package torture

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// The watchdog is a process that outlives the test binary, however that ends, and then
// ends its remaining processes and removes its folders. Lines on its standard input add
// and remove them: "+1234" and "-1234" for a process, "folder /tmp/…" for a folder.
var watchdog = struct {
	sync.Mutex
	once sync.Once
	pipe io.Writer
	err  error
}{}

// tellWatchdog sends the watchdog a line. The first call starts it.
func tellWatchdog(line string) error {
	watchdog.once.Do(func() {
		cmd := exec.Command(os.Args[0]) // #nosec G204 -- this binary
		cmd.Env = []string{roleVariable + "=watchdog"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C must not end it
		if watchdog.pipe, watchdog.err = cmd.StdinPipe(); watchdog.err == nil {
			watchdog.err = cmd.Start()
		}
	})
	if watchdog.err != nil {
		return fmt.Errorf("starting the watchdog: %w", watchdog.err)
	}
	watchdog.Lock()
	defer watchdog.Unlock()
	_, err := fmt.Fprintln(watchdog.pipe, line)
	return err
}

// watch is the watchdog's main function.
func watch(in io.Reader) {
	processes, folders := map[string]bool{}, map[string]bool{}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		line := lines.Text()
		switch folder, isFolder := strings.CutPrefix(line, "folder "); {
		case isFolder:
			folders[folder] = true
		case strings.HasPrefix(line, "+"):
			processes[line[1:]] = true
		default:
			delete(processes, line[1:])
		}
	}
	for pid := range processes {
		end(pid, syscall.SIGKILL)
	}
	for folder := range folders {
		for _, depth := range []string{"", "*"} { // next to the other processes, or in the folder of `postern up`
			found, _ := filepath.Glob(filepath.Join(folder, depth, "postgres", "cluster", "postmaster.pid"))
			for _, path := range found {
				text, _ := os.ReadFile(path) // #nosec G304 -- in a folder that a test made
				pid, _, _ := strings.Cut(string(text), "\n")
				end(pid, syscall.SIGQUIT)
			}
		}
		_ = os.RemoveAll(folder)
	}
}

func end(pid string, signal syscall.Signal) {
	if id, err := strconv.Atoi(pid); err == nil && id > 1 {
		_ = syscall.Kill(id, signal)
	}
}
