package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"postern/internal/notify/sendgridfake"
)

// system is a `postern up` in a separate process.
type system struct {
	binary, data, sendgrid string
	cmd                    *exec.Cmd
	url, token             string
	hook                   sendgridfake.Webhook // signs SendGrid's reports
}

// start starts the system for the first time, with an account of the bench.
func (s *system) start(ctx context.Context) error {
	if err := s.up(ctx); err != nil {
		return err
	}
	return s.signIn(ctx)
}

// restart stops the system and starts it again, and returns once it takes messages: first it checks
// its record. The account and its token stay valid.
func (s *system) restart(ctx context.Context) error {
	if err := s.stop(); err != nil {
		return err
	}
	if err := s.up(ctx); err != nil {
		return err
	}
	for {
		res, err := http.Get(s.url + "/readyz")
		if err != nil {
			return err
		}
		if _ = res.Body.Close(); res.StatusCode == http.StatusOK {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// up starts the system, and returns once it is ready.
func (s *system) up(ctx context.Context) error {
	s.cmd = exec.Command(s.binary, "up", "--data", s.data, "--listen", "127.0.0.1:0") // #nosec G204 -- what we measure
	s.cmd.Env = append(os.Environ(), "SENDGRID_BASE_URL="+s.sendgrid, "SENDGRID_API_KEY=SG.bench",
		"ALERT_FROM=Clinic <alerts@clinic.example>", "SENDGRID_WEBHOOK_PUBLIC_KEY="+s.hook.PublicKey(),
		"STAFF_SECOND_FACTOR=optional") // the bench's staff sign in with a password alone
	log, err := os.Create(s.data + ".log")
	if err != nil {
		return err
	}
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "ready url="); ok {
			s.url = url
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return nil
		}
	}
	return errors.Join(errors.New("postern up ended before it was ready; see "+log.Name()), lines.Err(), s.cmd.Wait())
}

func (s *system) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// verb runs a verb of the command line and returns its output.
func (s *system) verb(ctx context.Context, args ...string) (string, error) {
	return s.verbWith(ctx, "", args...)
}

// verbWith runs a verb with input on its standard input.
func (s *system) verbWith(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.binary, append(args, "--data", s.data)...) // #nosec G204 -- what we measure
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("postern %s: %w: %s", args[0], err, errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

func (s *system) signIn(ctx context.Context) error {
	_, err := s.verb(ctx, "staff", "create", "--email", "bench@clinic.example", "--name", "Bench",
		"--permit", "send_portal_message,send_bulk_portal_message,read_record")
	if err != nil {
		return err
	}
	s.token, err = s.verb(ctx, "token", "create", "--staff", "bench@clinic.example")
	return err
}

// random returns the random UUID of a name: the same in each run.
func random(name string, i int) string {
	sum := sha256.Sum256([]byte(name + strconv.Itoa(i)))
	id := uuid.UUID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4, RFC 9562
	return id.String()
}

// importDirectory imports n active patients, each with an own portal user.
func (s *system) importDirectory(ctx context.Context, dir string, n int) error {
	var files []string
	for name, line := range map[string]struct {
		header string
		row    func(w io.Writer, i int)
	}{
		"patients.csv": {"patient_id,given_name,family_name,birth_date,status,deceased", func(w io.Writer, i int) {
			_, _ = fmt.Fprintf(w, "%s,Given%d,Family%d,1970-01-01,active,false\n", random("patient", i), i, i)
		}},
		"portal_users.csv": {"portal_user_id,name,email,active", func(w io.Writer, i int) {
			_, _ = fmt.Fprintf(w, "%s,Given%d Family%d,p%d@example.test,true\n", random("portal user", i), i, i, i)
		}},
		"links.csv": {"portal_user_id,patient_id,relationship,from,until", func(w io.Writer, i int) {
			_, _ = fmt.Fprintf(w, "%s,%s,self,,\n", random("portal user", i), random("patient", i))
		}},
	} {
		path := filepath.Join(dir, name)
		f, err := os.Create(path) // #nosec G304 -- our own temporary folder
		if err != nil {
			return err
		}
		w := bufio.NewWriter(f)
		_, _ = fmt.Fprintln(w, line.header)
		for i := range n {
			line.row(w, i)
		}
		if err := errors.Join(w.Flush(), f.Close()); err != nil {
			return err
		}
		files = append(files, path)
	}
	_, err := s.verb(ctx, append([]string{"import", "csv"}, files...)...)
	return err
}

func (s *system) call(ctx context.Context, method, path string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	resp, err := (&http.Client{Transport: connections}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// connect connects to the system's database as its owner.
func (s *system) connect(ctx context.Context) (*pgx.Conn, error) {
	var run struct {
		DatabaseURL string `json:"database_url"`
	}
	data, err := os.ReadFile(filepath.Join(s.data, "run.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &run); err != nil {
		return nil, err
	}
	return pgx.Connect(ctx, run.DatabaseURL)
}

// peakRSS returns the peak memory of a process in MiB (VmHWM of proc(5)).
func peakRSS(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("/proc has no VmHWM, the peak memory of the process")
}

// processorTime returns the processor time in seconds of the system: postern and the processes of
// its Postgres. It depends less than a duration on what else runs on the machine.
func (s *system) processorTime() (float64, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	type process struct {
		parent int
		ticks  float64
	}
	all := map[int]process{}
	for _, path := range stats {
		stat, err := os.ReadFile(path) // #nosec G304 -- of proc(5)
		if err != nil {
			continue // the process has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on
		p := process{}
		p.parent, _ = strconv.Atoi(fields[1])
		for _, field := range fields[11:15] { // its own time, and that of its children that have ended
			ticks, _ := strconv.ParseFloat(field, 64)
			p.ticks += ticks
		}
		all[pid] = p
	}
	ticks := 0.0
	for pid, p := range all {
		for pid != s.cmd.Process.Pid && pid > 1 {
			pid = all[pid].parent
		}
		if pid == s.cmd.Process.Pid {
			ticks += p.ticks
		}
	}
	const second = 100 // ticks, on Linux
	return ticks / second, nil
}

func sizeOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
