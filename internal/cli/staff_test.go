package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// staffLinks invites, resets and changes staff at the command line: a link is printed
// alone, so that a script can take it.
func staffLinks(t *testing.T, p postern) {
	t.Helper()
	run := func(status int, args ...string) string {
		t.Helper()
		got, out, errs := p.run("", args...)
		if got != status {
			t.Fatalf("%v: status %d: %s", args, got, errs)
		}
		return strings.TrimSuffix(out, "\n")
	}
	t.Setenv("PUBLIC_URL", "https://portal.example/")
	first := run(exitDone, "staff", "invite", "--email", "noel@clinic.test", "--name", "Noel", "--permit", "read_record")
	if !strings.HasPrefix(first, "https://portal.example/sign-in/link#psl_") || strings.ContainsAny(first, " \n") {
		t.Errorf("inviting prints %q", first)
	}
	if out := run(exitDone, "staff", "list"); !strings.Contains(out, "invited; read_record") {
		t.Errorf("the list says %s", out)
	}
	run(exitFailed, "staff", "invite", "--email", "NOEL@clinic.test", "--name", "Another")
	var link linkJSON
	if err := json.Unmarshal([]byte(run(exitDone, "staff", "reset", "noel@clinic.test", "--json")), &link); err != nil || link.ID == "" || !strings.HasSuffix(link.Link, "#"+link.Token) || link.Link == first {
		t.Errorf("a reset by address gives %+v, %v", link, err)
	}
	t.Setenv("PUBLIC_URL", "")
	if token := run(exitDone, "staff", "reset", link.ID); !strings.HasPrefix(token, "psl_") || token == link.Token {
		t.Errorf("a reset by id, without an address of the portal, prints %q", token)
	}
	if out := run(exitDone, "staff", "change", link.ID, "--name", "Noel North", "--email", "north@clinic.test"); !strings.Contains(out, "Noel North") || !strings.Contains(out, "tell them yourself") {
		t.Errorf("it says %s", out)
	}
	run(exitFailed, "staff", "reset", "noel@clinic.test")
	run(exitDone, "staff", "disable", link.ID)
	run(exitFailed, "staff", "reset", "north@clinic.test")
	recorded := func(kind, summary string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "record.csv")
		run(exitDone, "record", "export", "--format", "csv", "--out", file, "--type", kind)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), summary) || strings.Contains(string(text), "psl_") || strings.Contains(string(text), "clinic.test") {
			t.Errorf("the record does not say %q, or says too much: %s", summary, text)
		}
	}
	recorded("link.issued", "made a link with which Noel North can set a first password")
	recorded("staff.changed", "changed the name and e-mail address of Noel North")
	recorded("password.set", "set the password of Ben at the command line")
}
