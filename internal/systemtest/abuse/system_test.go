package abuse

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/embedded/porttest"
	"postern/internal/giveup"
)

// A system is a running `postern up` with a clinic.
type system struct {
	t       *testing.T
	postern string // the binary
	data    string
	addr    string
	pid     int

	token   string // of a staff member
	message string // that they sent
}

const (
	sender         = "sender@clinic.example.test"
	patient        = "patient@home.example.test"
	senderPassword = "a brook runs under the mill" // #nosec G101 -- invented
	portalPassword = "paper boats in the harbour"  // #nosec G101 -- invented
)

// newSystem builds the binary, without the race detector, whose memory is not that of the system,
// and starts it.
func newSystem(t *testing.T) *system {
	t.Helper()
	// Not t.TempDir: Postgres's own user needs access, and the path of a socket must be short.
	dir, err := os.MkdirTemp("", "abuse-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // #nosec G302 -- see above
		t.Fatal(err)
	}
	s := &system{t: t, postern: filepath.Join(dir, "postern"), data: filepath.Join(dir, "data"), addr: porttest.Address(t)}
	build := exec.Command("go", "build", "-race=false", "-o", s.postern, "./cmd/postern") // #nosec G204 -- the binary under test
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the process: %v\n%s", err, out)
	}
	s.start(filepath.Join(dir, "up.log"))
	s.fill(dir)
	return s
}

// environ is the environment of a process: the settings, and what is needed to find programs.
func environ(settings ...string) []string {
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "PG_BIN"} {
		if value, ok := os.LookupEnv(name); ok {
			settings = append(settings, name+"="+value)
		}
	}
	return settings
}

func (s *system) start(path string) {
	s.t.Helper()
	log, err := os.Create(path) // #nosec G304 -- in the test's own folder
	if err != nil {
		s.t.Fatal(err)
	}
	up := exec.Command(s.postern, "up", "--data", s.data, "--listen", s.addr) // #nosec G204 -- the binary under test
	up.Env, up.Stdout, up.Stderr = environ("TRUSTED_PROXIES=127.0.0.0/8"), log, log
	up.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := up.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.pid = up.Process.Pid
	ended := make(chan struct{})
	go func() { _ = up.Wait(); close(ended) }()
	release := s.watch()
	s.t.Cleanup(func() {
		_ = up.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(giveup.After):
			s.t.Error("the system does not end")
			_ = up.Process.Kill()
		}
		release()
		_ = log.Close()
		if text, err := os.ReadFile(path); err == nil && s.t.Failed() { // #nosec G304 -- see above
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			s.t.Logf("the last lines of its log:\n%s", strings.Join(lines[max(0, len(lines)-25):], "\n"))
		}
	})
	s.await("becoming ready", func(ctx context.Context) bool {
		status, _, err := (&visitor{s: s, client: http.DefaultClient}).try(ctx, http.MethodGet, "/readyz", "", nil)
		return err == nil && status == http.StatusOK
	})
}

// watch ends the system if the test binary is killed: the shell reads until its input ends.
func (s *system) watch() (release func()) {
	shell := exec.Command("/bin/sh", "-c", `read _; kill -TERM "$0"`, strconv.Itoa(s.pid)) // #nosec G204 -- a number
	input, err := shell.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		_ = shell.Process.Kill()
		_ = input.Close()
		_ = shell.Wait()
	}
}

// await polls: there is no other way to learn the state of another process.
func (s *system) await(what string, reached func(context.Context) bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), giveup.After)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !reached(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("%s: not after %s", what, giveup.After)
		}
	}
}

// verb runs a verb of the command line and returns its output.
func (s *system) verb(input string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.postern, append(args, "--data", s.data)...) // #nosec G204 -- the binary under test
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ(), strings.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("postern %s: %v\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return strings.TrimSpace(out.String())
}

// fill makes a clinic with one staff member, one portal user and one message.
func (s *system) fill(dir string) {
	s.t.Helper()
	var files []string
	for name, lines := range map[string]string{
		"patients.csv":     "patient_id,given_name,family_name,birth_date,status,deceased\npt-1,Noor,Haddad,1970-01-01,active,false\n",
		"portal_users.csv": "portal_user_id,name,email,active\npu-1,Noor Haddad," + patient + ",true\n",
		"links.csv":        "portal_user_id,patient_id,relationship,from,until\npu-1,pt-1,self,,\n",
	} {
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(files[len(files)-1], []byte(lines), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	s.verb("", append([]string{"import", "csv"}, files...)...)
	s.verb(senderPassword, "staff", "create", "--email", sender, "--name", "Ada Sender", "--permit", "send_portal_message", "--password-stdin")
	s.verb(portalPassword, "portal-user", "set-password", "pu-1", "--password-stdin")
	s.token = s.verb("", "token", "create", "--staff", sender)
	s.message = field(s.expect(s.with(s.token), http.StatusAccepted, http.MethodPost, "/v1/messages",
		`{"subject":"s","body":"b","recipients":{"portal_user_ids":["pu-1"]},"undo_seconds":0}`, "Idempotency-Key", "first"), "id")
}

// field is the text of a member of a JSON object.
func field(body, name string) string {
	_, rest, _ := strings.Cut(body, `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// A visitor makes requests, as a client of the proxy on this machine.
type visitor struct {
	s       *system
	client  *http.Client
	address string // "": the proxy's own
	token   string
}

func (s *system) with(token string) *visitor {
	return &visitor{s: s, client: http.DefaultClient, token: token}
}

// try makes a request. It returns the status and the beginning of the answer.
func (v *visitor) try(ctx context.Context, method, path, body string, headers []string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+v.s.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if v.token != "" {
		r.Header.Set("Authorization", "Bearer "+v.token)
	}
	if v.address != "" {
		r.Header.Set("X-Forwarded-For", v.address)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := v.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, string(text), err
}

// expect makes a request that must get a status, and returns the answer.
func (s *system) expect(v *visitor, status int, method, path, body string, headers ...string) string {
	s.t.Helper()
	got, text, err := v.try(s.t.Context(), method, path, body, headers)
	if err != nil || got != status {
		s.t.Fatalf("%s %s: status %d, want %d: %v\n%.300s", method, path, got, status, err, text)
	}
	return text
}

// peak is the most memory that the process has had, in MiB.
func (s *system) peak() float64 {
	s.t.Helper()
	if runtime.GOOS != "linux" { // the memory of this moment
		out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(s.pid)).Output() // #nosec G204 -- a number
		kib, err2 := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err := errors.Join(err, err2); err != nil {
			s.t.Fatal(err)
		}
		return kib / 1024
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return kib / 1024
		}
	}
	s.t.Fatal("/proc has no VmHWM, the peak memory of the process")
	return 0
}

// unique is a text that no one else has.
func unique() string { return rand.Text() }
