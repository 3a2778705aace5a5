package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/content"
	"postern/internal/content/rotation"
)

// rotated runs `postern keys rotate content` and returns its report.
func (p postern) rotated(args ...string) (r rotation.Report) {
	p.t.Helper()
	out := p.must(append([]string{"keys", "rotate", "content", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		p.t.Fatalf("%s: %v", out, err)
	}
	return r
}

// The content key is rotated beside a running system, and again while nothing runs: the message and
// the receipt can be read, the record verifies, and the old key file opens nothing.
func TestANewContentKey(t *testing.T) {
	t.Setenv("CONTENT_KEY_FILE", "") // at the end it is as it was before a flag set it
	u := &used{postern: newPostern(t)}
	file := filepath.Join(u.data, "content.key")
	u.whileUp(func(url string) {
		u.token = u.must("token", "create", "--staff", "admin@clinic.example.test")
		u.message = u.send(url)
		u.eventually("the message is delivered", func() bool { return u.progress(url, u.message).Delivered == 1 })
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if r := u.rotated("--check"); len(r.Keys) != 1 || r.Rewrapped() != 0 {
			t.Errorf("before: %s", r)
		}
		r := u.rotated("--wait", "0s")
		if len(r.Keys) != 1 || r.Rewrapped() == 0 {
			t.Errorf("after: %s", r)
		}
		if after, err := os.ReadFile(file); err != nil || string(after) == string(before) {
			t.Errorf("the key file is the same: %v", err)
		}
		u.reads(url)
		u.send(url)
		old := filepath.Join(t.TempDir(), "old.key")
		if err := os.WriteFile(old, before, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := u.rotated("--check", "--content-key-file", old); len(opened(r)) != 0 {
			t.Errorf("the old key file opens %s", r)
		}
		t.Setenv("CONTENT_KEY_FILE", "") // the flag has set it
	}, "--demo")

	before := u.rotated("--check").Primary
	if out := u.must("keys", "rotate", "content"); !strings.Contains(out, "The old key is removed. Make a copy of the key file now") {
		t.Errorf("it says %s", out) // and it does not wait, because no process runs
	}
	if r := u.rotated("--check"); len(r.Keys) != 1 || r.Primary == before {
		t.Errorf("after the second: %s", r)
	}
	u.must("verify")
	u.whileUp(u.reads, "--demo")
}

// opened lists the places of which the key file opens something.
func opened(r rotation.Report) (places []string) {
	for _, p := range r.Places {
		if len(p.By) > 0 {
			places = append(places, p.Name)
		}
	}
	return places
}

// reads reads the message, and its receipt.
func (u *used) reads(url string) {
	u.t.Helper()
	var m struct{ Subject, Body string }
	u.ask(http.MethodGet, url+"/v1/messages/"+u.message, "", &m)
	if m.Subject != "s" || m.Body != "b" {
		u.t.Errorf("the message is %+v", m)
	}
	u.ask(http.MethodGet, url+"/v1/messages/"+u.message+"/deliveries/ingrid-berg/receipt", "", nil)
}

// Prepared, the file has two keys, of which the old one wraps. It says what to do next.
func TestANewContentKeyIsPrepared(t *testing.T) {
	p := newSystem(t)
	if out := p.must("keys", "rotate", "content", "--prepare"); !strings.Contains(out, "restart them") {
		t.Errorf("it says %s", out)
	}
	file, err := content.ReadKeyFile(filepath.Join(p.data, "content.key"))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := file.IDs()
	if err != nil {
		t.Fatal(err)
	}
	if primary, err := file.Primary(); err != nil || len(ids) != 2 || primary != ids[0] {
		t.Errorf("the keys are %v, the primary one is %s, %v", ids, primary, err)
	}
	if out := p.must("keys", "rotate", "content", "--keep-old"); !strings.Contains(out, "without --keep-old") {
		t.Errorf("it says %s", out)
	}
}
