package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/content"
	"postern/internal/giveup"
	"postern/internal/notify/sendgridfake"
	"postern/internal/process/up"
	"postern/internal/proof/checkpoint"
)

// used is a system of the demo in which a message was sent and delivered to ingrid-berg,
// a checkpoint was signed, and nothing runs.
type used struct {
	postern
	message, token string
	sends          int // so many messages were sent, each under a key of its own
}

// whileUp runs `postern up`, calls f with its address, and ends it.
func (p postern) whileUp(f func(url string), args ...string) {
	p.t.Helper()
	ctx, end := context.WithCancel(context.Background())
	defer end()
	ready := make(chan string, 1)
	o, e := untilReady{end: func() {}}, bytes.Buffer{}
	o.ready = ready
	env := &environment{in: strings.NewReader(""), out: &o, errs: &e}
	status := make(chan int, 1)
	go func() {
		status <- env.run(ctx, append([]string{"up", "--data", p.data, "--listen", "127.0.0.1:0"}, args...))
	}()
	select {
	case url := <-ready:
		f(url)
		end()
		if got := <-status; got != exitDone {
			p.t.Errorf("status %d: %s", got, e.String())
		}
	case got := <-status:
		p.t.Fatalf("it ended with status %d before it was ready: %s", got, e.String())
	}
}

func (p postern) must(args ...string) string {
	p.t.Helper()
	status, out, errs := p.run("", args...)
	if status != exitDone {
		p.t.Fatalf("%v: status %d: %s", args, status, errs)
	}
	return strings.TrimSpace(out)
}

func newUsed(t *testing.T) *used {
	t.Helper()
	u := &used{postern: newPostern(t)}
	u.whileUp(func(url string) {
		u.token = u.must("token", "create", "--staff", "admin@clinic.example.test")
		u.message = u.send(url)
		u.eventually("the message is delivered, and signed", func() bool { return u.progress(url, u.message) == progress{Delivered: 1, Alerted: 1} })
	}, "--demo")
	return u
}

// send sends a message to ingrid-berg.
func (u *used) send(url string) (id string) {
	u.t.Helper()
	u.sends++
	var sent struct{ ID string }
	u.ask(http.MethodPost, url+"/v1/messages", `{"subject":"s","body":"b","recipients":{"portal_user_ids":["ingrid-berg"],"groups":[]},"undo_seconds":0}`, &sent)
	return sent.ID
}

type progress struct {
	Delivered, Alerted int
	Unknown            int `json:"alert_unknown"`
}

func (u *used) progress(url, message string) progress {
	u.t.Helper()
	var m struct{ Progress progress }
	u.ask(http.MethodGet, url+"/v1/messages/"+message, "", &m)
	return m.Progress
}

// ask sends a request as the administrator.
func (u *used) ask(method, url, body string, into any) {
	u.t.Helper()
	req, err := http.NewRequestWithContext(u.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+u.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprint("message-", u.sends))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		u.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		u.t.Fatalf("%s %s: %s %s, %v", method, url, resp.Status, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			u.t.Fatal(err)
		}
	}
}

func (p postern) eventually(what string, reached func() bool) {
	p.t.Helper()
	deadline, tick := time.After(giveup.After), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("%s: not within a minute", what)
		}
	}
}

// lose moves parts of the folder away, and returns a function that moves them back.
func (p postern) lose(parts ...string) (restore func()) {
	p.t.Helper()
	aside := p.t.TempDir()
	if err := os.Chmod(aside, 0o711); err != nil { // #nosec G302 -- Postgres's own user owns what goes there
		p.t.Fatal(err)
	}
	move := func(from, to string) {
		for _, part := range parts {
			if err := os.Rename(filepath.Join(from, part), filepath.Join(to, part)); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	move(p.data, aside)
	return func() { p.t.Helper(); move(aside, p.data) }
}

// saysLost checks that a verb fails, names exactly these parts, and makes none.
func (p postern) saysLost(lost []string, verb ...string) {
	p.t.Helper()
	status, out, errs := p.run("", verb...)
	said := errs
	if verb[0] == "recover" {
		said = out
	}
	var named []string
	for _, part := range up.Parts() {
		if strings.Contains(said, "\n  "+string(part)+": ") {
			named = append(named, string(part))
		}
		if _, err := os.Lstat(filepath.Join(p.data, string(part))); (err == nil) == slices.Contains(lost, string(part)) {
			p.t.Fatalf("%v without %v: whether %s is there changed", verb, lost, part)
		}
	}
	slices.Sort(named)
	lost = slices.Sorted(slices.Values(lost))
	if diff := cmp.Diff(lost, named); status != exitFailed || diff != "" || !strings.Contains(said, p.data) {
		p.t.Errorf("%v without %v: status %d, and says %s", verb, lost, status, said)
	}
	// What it advises names each part that can be given up, or says that there is no way.
	noRecord := slices.Contains(lost, "postgres") && slices.Contains(lost, "nats")
	for _, part := range lost {
		advised := strings.Contains(said, "--without "+part)
		if part == "nats" {
			advised = strings.Contains(said, "run `postern repair") || strings.Contains(said, "then `postern repair")
		}
		if advised == noRecord {
			p.t.Errorf("%v without %v advises: %s", verb, lost, said)
		}
	}
}

// subsets returns all subsets of the parts except the empty one.
func subsets() (all [][]string) {
	for bits := 1; bits < 1<<len(up.Parts()); bits++ {
		var one []string
		for i, part := range up.Parts() {
			if bits&(1<<i) != 0 {
				one = append(one, string(part))
			}
		}
		all = append(all, one)
	}
	return all
}

// One system loses each combination of its parts, and recovers from each.
func TestLostParts(t *testing.T) {
	u := newUsed(t)
	t.Run("are named and not replaced", u.partsAreNamedAndNotReplaced)
	t.Run("are told by the others in an old folder", u.oldFolderTellsByTheOthers)
	t.Run("that are damaged are named", u.damagedPartsAreNamed)
	t.Run("that are another's are refused", u.othersAreRefused)
	t.Run("are given up by name", u.partsAreGivenUp)
}

// Lost parts are not replaced: every verb names all of them, and works again when they are
// restored.
func (u *used) partsAreNamedAndNotReplaced(t *testing.T) {
	for _, lost := range subsets() {
		restore := u.lose(lost...)
		u.saysLost(lost, "up", "--listen", "127.0.0.1:0")
		u.saysLost(lost, "recover")
		u.saysLost(lost, "health")
		if !slices.Equal(lost, []string{"nats"}) {
			u.saysLost(lost, "repair")
		}
		restore()
	}
	u.must("health")
	u.must("recover")
}

// The lost parts of a folder without a manifest are derived from the existing ones: a later part
// shows that the earlier ones existed. The first start of its version made the keys, the database
// and the stream, in that order. The archive and the content came later, as the database shows.
func (u *used) oldFolderTellsByTheOthers(t *testing.T) {
	if err := os.Remove(filepath.Join(u.data, "folder.json")); err != nil {
		t.Fatal(err)
	}
	all := [][]string{
		{"content.key", "checkpoint.key"}, {"content.key", "nats"}, {"content.key", "content", "archive"}, {"nats", "content", "archive"},
		{"content.key", "checkpoint.key", "nats", "content", "archive"},
		{"content.key", "postgres"}, {"checkpoint.key", "postgres"}, {"content.key", "checkpoint.key", "postgres"}, {"postgres", "nats"},
	}
	for _, part := range up.Parts() {
		all = append(all, []string{string(part)})
	}
	for _, lost := range all {
		restore := u.lose(lost...)
		u.saysLost(lost, "up", "--listen", "127.0.0.1:0")
		u.saysLost(lost, "recover")
		restore()
	}
	u.must("health")
}

// After a first start that ended early, some parts exist and others do not: the next start
// continues it.
func TestAFirstStartThatWasEndedGoesOn(t *testing.T) {
	p := newPostern(t)
	if err := os.Mkdir(p.data, 0o711); err != nil { // #nosec G301 -- Postgres's own user passes through
		t.Fatal(err)
	}
	var missing []string
	for _, made := range []int{3, 2, 0} { // how many of the parts the start had made
		if err := os.WriteFile(filepath.Join(p.data, "folder.json"), []byte(`{"state":"making"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if status, _, errs := p.up(); status != exitDone {
			t.Errorf("without %v: status %d: %s", missing, status, errs)
		}
		p.must("recover")
		missing = nil
		for _, part := range up.Parts()[made:] {
			missing = append(missing, string(part))
		}
		p.lose(missing...)
	}
	if status, _, errs := p.up(); status != exitFailed || !strings.Contains(errs, "are missing") {
		t.Errorf("all is lost: status %d: %s", status, errs)
	}
}

// A file with a part's name that is of another kind, empty or truncated is reported with advice.
func (u *used) damagedPartsAreNamed(t *testing.T) {
	for _, c := range []struct {
		part, text string
		says       string
	}{
		{"content.key", "", "is empty"},
		{"content.key", "{}", "no "},
		{"content.key", "garbage", "no Tink keyset"},
		{"checkpoint.key", "", "is empty"},
		{"checkpoint.key", "PRIVATE+KEY+", "signing key"},
		{"folder.json", "", "can't be understood"},
		{"folder.json", `{"state":"else"}`, "can't be understood"},
		{"postgres", "x", "is not a folder"},
		{"nats", "x", "is not a folder"},
		{"content", "x", "is not a folder"},
		{"archive", "x", "is not a folder"},
	} {
		restore := u.lose(c.part)
		path := filepath.Join(u.data, c.part)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, errs := u.run("", "up", "--listen", "127.0.0.1:0")
		if status != exitFailed || !strings.Contains(errs, path) || !strings.Contains(errs, c.says) || !strings.Contains(errs, "restore") && !strings.Contains(errs, "put it back") {
			t.Errorf("%s of %q: status %d, and says %s", c.part, c.text, status, errs)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != c.text {
			t.Errorf("%s was changed: %q, %v", c.part, text, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"content.key", "checkpoint.key"} {
			if c.part == key {
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
				if status, _, errs := u.run("", "health"); status != exitFailed || !strings.Contains(errs, path+" is not a file") {
					t.Errorf("a folder for %s: status %d, and says %s", key, status, errs)
				}
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		restore()
	}
	u.must("health")
}

// A wrong key or an emptied content store is refused like a missing one, until an operator gives
// up the right one.
func (u *used) othersAreRefused(t *testing.T) {
	for part, make := range map[string]func(path string) error{
		"content.key":    func(path string) error { _, err := content.CreateKeyFile(path); return err },
		"checkpoint.key": func(path string) error { _, err := checkpoint.CreateKeyFile(path, ""); return err },
		"content":        func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		restore := u.lose(part)
		path := filepath.Join(u.data, part)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		status, out, errs := u.up()
		if status != exitFailed || strings.Contains(out, "ready") || !strings.Contains(errs, path) || !strings.Contains(errs, "postern recover --without "+part) {
			t.Errorf("another %s: status %d, prints %s, and says %s", part, status, out, errs)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		restore()
		if status, _, errs := u.up(); status != exitDone {
			t.Errorf("the right %s: status %d, and says %s", part, status, errs)
		}
	}
}

// Each permanently lost part is given up by name, and then the system starts.
func (u *used) partsAreGivenUp(t *testing.T) {
	restore := u.lose("content", "archive")
	if status, _, errs := u.run("", "recover", "--without", "content"); status != exitFailed || !strings.Contains(errs, "archive") {
		t.Errorf("one of two lost parts was named: status %d, and says %s", status, errs)
	}
	restore()
	for _, wrong := range []string{"postgres", "archive", "nats"} {
		if status, _, errs := u.run("", "recover", "--without", wrong); status != exitFailed {
			t.Errorf("%s, which is there, was given up: status %d, and says %s", wrong, status, errs)
		}
	}
	if status, _, _ := u.run("", "recover", "--without", "run.json"); status != exitUsage {
		t.Errorf("what is no part: status %d", status)
	}
	before := u.must("keys", "verifier", filepath.Join(u.data, "checkpoint.key"))
	for _, part := range []string{"archive", "content", "content.key", "checkpoint.key"} {
		u.lose(part)
		u.must("recover", "--without", part)
		if status, _, errs := u.up(); status != exitDone {
			t.Fatalf("without the %s of before: status %d, and says %s", part, status, errs)
		}
		if part == "archive" {
			if status, out, errs := u.run("", "verify"); status != exitDone {
				t.Errorf("without the archive of before, verify ends with %d and says %s%s", status, out, errs)
			}
			continue
		}
		// Content that was given up stays missing, and verify says so beside what holds.
		if status, out, errs := u.run("", "verify"); status != exitFailed || !strings.Contains(out+errs, "the record holds") ||
			!strings.Contains(out+errs, "not in the content store") {
			t.Errorf("without the %s of before, verify ends with %d and says %s%s", part, status, out, errs)
		}
	}
	after := strings.Split(u.must("keys", "verifier", filepath.Join(u.data, "checkpoint.key")), "\n")
	if len(after) != 2 || after[1] != before || after[0] == before {
		t.Errorf("the verifiers are %q, and were %q", after, before)
	}
	// The stream comes back from the copy, also where nothing is left of it.
	u.lose("nats")
	if out := u.must("repair"); !strings.Contains(out, "restored") {
		t.Errorf("repair says %s", out)
	}
	u.must("repair", "--check")
	u.must("rebuild", "--check")
	if _, out, errs := u.run("", "verify"); !strings.Contains(out+errs, "the record holds") {
		t.Errorf("after the repair, verify says %s%s", out, errs)
	}
}

// After the loss of the database, the record's tables are restored, and a portal user who is
// imported again gets the number from the recorded deliveries, so that no one sees another's
// messages. A waiting alert becomes unknown, and a replay sends it.
func TestRecoverGoesOnWithoutTheDatabase(t *testing.T) {
	u := newUsed(t)
	var waits string
	u.whileUp(func(url string) {
		u.must("alerting", "pause", "--reason", "a test")
		waits = u.send(url)
		u.eventually("the message is delivered", func() bool { return u.progress(url, waits) == progress{Delivered: 1} })
	}, "--demo")
	u.lose("postgres")
	if out := u.must("recover", "--without", "postgres"); !strings.Contains(out, "postern replay plan --state unknown") {
		t.Errorf("it says %s", out)
	}
	csv := filepath.Join(t.TempDir(), "portal_users.csv")
	var lines strings.Builder
	lines.WriteString("portal_user_id,name,email,active\n")
	for i := range 100 { // other portal users, so that the numbers differ
		fmt.Fprintf(&lines, "pu-%d,Name %d,pu-%d@x.test,true\n", i, i, i)
	}
	lines.WriteString("ingrid-berg,Ingrid Berg,ingrid@x.test,true\n")
	if err := os.WriteFile(csv, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	u.must("import", "csv", csv)
	u.must("staff", "create", "--email", "new@clinic.test", "--name", "New", "--permit", "send_portal_message,send_bulk_portal_message,read_record")
	u.must("rebuild")
	u.must("rebuild", "--check")
	u.must("verify")
	sendGrid := sendgridfake.New(sendgridfake.Config{})
	t.Cleanup(sendGrid.Close)
	server := httptest.NewServer(sendGrid)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"SENDGRID_API_KEY": "SG.test", "SENDGRID_BASE_URL": server.URL, "ALERT_FROM": "alerts@clinic.example.test"} {
		t.Setenv(name, value)
	}
	u.whileUp(func(url string) {
		u.token = u.must("token", "create", "--staff", "new@clinic.test")
		var found struct {
			Items []struct {
				PortalUserID string `json:"portal_user_id"`
				Name         string
			}
		}
		u.ask(http.MethodGet, url+"/v1/messages/"+u.message+"/deliveries", "", &found)
		if len(found.Items) != 1 || found.Items[0].PortalUserID != "ingrid-berg" || found.Items[0].Name != "Ingrid Berg" {
			t.Errorf("the message was delivered to %+v", found.Items)
		}
		u.eventually("the alert that waited is unknown", func() bool { return u.progress(url, waits) == progress{Delivered: 1, Unknown: 1} })
		var plan replayJSON
		if err := json.Unmarshal([]byte(u.must("replay", "plan", "--json", "--state", "unknown", "--reason", "the database was lost")), &plan); err != nil || plan.Count != 1 {
			t.Fatalf("the plan is of %d alerts, %v", plan.Count, err)
		}
		u.must("replay", "start", plan.ID.String())
		u.must("alerting", "resume", "--reason", "a test")
		u.eventually("the alert is sent", func() bool { return u.progress(url, waits) == progress{Delivered: 1, Alerted: 1} })
		if n := sendGrid.Count(); n != 1 {
			t.Errorf("%d alerts were sent", n)
		}
	})
}
