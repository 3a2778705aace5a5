package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// until is an output that calls seen after a text has been written to it.
type until struct {
	bytes.Buffer
	text string
	seen func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.Buffer.Write(p)
	if strings.Contains(u.String(), u.text) {
		u.seen()
	}
	return n, err
}

// An operator's readings are recorded like those of staff: an export has a correct manifest, no
// file is overwritten, and the record names the operator.
func TestTheRecordIsReadFromTheCommandLine(t *testing.T) {
	p := newSystem(t)
	if status, _, errs := p.run("", "staff", "create", "--email", "ada@clinic.test", "--name", "Ada", "--permit", "read_record"); status != exitDone {
		t.Fatal(errs)
	}
	file := filepath.Join(t.TempDir(), "record.csv")
	status, out, errs := p.run("", "record", "export", "--format", "csv", "--out", file, "--type", "staff.created", "--json")
	if status != exitDone {
		t.Fatal(errs)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(file + ".manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(data)
	for _, text := range []string{out, string(kept)} {
		var m manifestJSON
		if err := json.Unmarshal([]byte(text), &m); err != nil || m.Events != 1 || m.Bytes != int64(len(data)) ||
			m.Digest != "sha256:"+hex.EncodeToString(digest[:]) || m.Filter.Type != "staff.created" || m.By != operator() {
			t.Errorf("the manifest says %s (%v)", text, err)
		}
	}
	if status, _, errs := p.run("", "record", "export", "--format", "csv", "--out", file); status != exitFailed || !strings.Contains(errs, "already exists") {
		t.Errorf("the same file again: %d %s", status, errs)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	shown := &until{text: `"type":"record.read","time"`, seen: stop}
	env := &environment{in: strings.NewReader(""), out: shown, errs: &bytes.Buffer{}}
	if status := env.run(ctx, []string{"record", "tail", "--json", "-n", "1", "--data", p.data}); status != exitDone {
		t.Errorf("a tail that is stopped ends with %d: %s", status, env.errs)
	}
	var last, next entryJSON
	lines := json.NewDecoder(&shown.Buffer)
	if err := lines.Decode(&last); err != nil || last.Type != "record.exported" || last.Actor != operator() {
		t.Errorf("the last event is %+v (%v)", last, err)
	}
	if err := lines.Decode(&next); err != nil || next.Type != "record.read" || next.Seq != last.Seq+1 {
		t.Errorf("the next event is %+v (%v)", next, err)
	}
}
