package cli

import (
	"encoding/json"
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
	record := run(exitDone, "record", "tail", "--type", "link.issued", "-n", "1")
	if !strings.Contains(record, "made a link with which Noel North can set a first password") || strings.Contains(record, "psl_") {
		t.Errorf("the record says %s", record)
	}
	record = run(exitDone, "record", "tail", "--type", "password.set", "-n", "1")
	if !strings.Contains(record, "set the password of Ben at the command line") {
		t.Errorf("the record says %s", record)
	}
}
