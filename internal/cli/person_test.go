package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An operator reads what was sent to a person by name or by id. Of several people with one name, the
// verb lists the ids. Both the search and the reading are recorded.
func TestWhatWasSentToAPersonAtTheCommandLine(t *testing.T) {
	p := newSystem(t)
	file := filepath.Join(t.TempDir(), "portal_users.csv")
	if err := os.WriteFile(file, []byte("portal_user_id,name,email,active\npu-1,Ingrid Berg,ingrid@example.org,true\npu-2,Ingrid Bergmann,,true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := p.run("", "import", "csv", file); status != exitDone {
		t.Fatal(errs)
	}
	if status, out, errs := p.run("", "person", "pu-2"); status != exitDone || !strings.Contains(out, "Ingrid Bergmann (pu-2)") ||
		!strings.Contains(out, "e-mail about a new message now: no: no e-mail address") || !strings.Contains(out, "no messages") {
		t.Errorf("by id: %d %s %s", status, out, errs)
	}
	if status, _, errs := p.run("", "person", "ingrid"); status != exitFailed || !strings.Contains(errs, "several portal users") || !strings.Contains(errs, "pu-2  Ingrid Bergmann") {
		t.Errorf("a name of two people: %d %s", status, errs)
	}
	status, out, errs := p.run("", "person", "Ingrid", "Bergm", "--json")
	var said personJSON
	if err := json.Unmarshal([]byte(out), &said); status != exitDone || err != nil || said.ID != "pu-2" || said.Messages == nil || said.Patients == nil {
		t.Errorf("by name: %d %s %s", status, out, errs)
	}
	for _, wrong := range [][]string{{"person"}, {"person", "pu-1", "--show", "some"}, {"person", "pu-1", "--limit", "0"}, {"person", "pu-1", "--from", "today"}} {
		if status, _, _ := p.run("", wrong...); status != exitUsage {
			t.Errorf("%v: %d", wrong, status)
		}
	}
	if status, _, errs := p.run("", "person", "zebra"); status != exitFailed || !strings.Contains(errs, "no name matches") {
		t.Errorf("an unknown name: %d %s", status, errs)
	}
	var export string
	for _, name := range []string{"first.csv", "second.csv"} { // the first waits until all before it is in the tables
		export = filepath.Join(t.TempDir(), name)
		if status, _, errs := p.run("", "record", "export", "--format", "csv", "--out", export, "--type", "record.read"); status != exitDone {
			t.Fatal(errs)
		}
	}
	recorded, err := os.ReadFile(export)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(recorded), "by name"); n != 2 || strings.Contains(string(recorded), "ngrid") {
		t.Errorf("the record says\n%s", recorded)
	}
}
