package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// postern runs a verb in this process over a data folder of its own.
type postern struct {
	t    *testing.T
	data string
}

func (p postern) run(stdin string, args ...string) (status int, out, errs string) {
	p.t.Helper()
	var o, e bytes.Buffer
	env := &environment{in: strings.NewReader(stdin), out: &o, errs: &e}
	status = env.run(context.Background(), append(args, "--data", p.data))
	return status, o.String(), e.String()
}

func newPostern(t *testing.T) postern {
	t.Helper()
	t.Setenv("DATABASE_URL", "")
	t.Setenv("NATS_URL", "")
	return postern{t, filepath.Join(t.TempDir(), "data")}
}

func TestWrongUseIsStatusTwoAndSaysWhy(t *testing.T) {
	p := newPostern(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"frobnicate"}, "frobnicate"},
		{[]string{"up", "--nonsense"}, "nonsense"},
		{[]string{"staff"}, "needs a verb"},
		{[]string{"staff", "create"}, "--email"},
		{[]string{"staff", "invite", "--email", "a@b.test"}, "--name"},
		{[]string{"staff", "reset"}, "arg"},
		{[]string{"staff", "change", "a@b.test"}, "--email"},
		{[]string{"staff", "permit", "a@b.test", "fly"}, "send_portal_message"},
		{[]string{"token"}, "needs a verb"},
		{[]string{"token", "create"}, "--staff"},
		{[]string{"token", "create", "--staff", "a@b.test", "--permit", "fly"}, "send_portal_message"},
		{[]string{"token", "create", "--staff", "a@b.test", "--permit", ""}, "--permit"},
		{[]string{"token", "create", "--staff", "a@b.test", "--expires", "soon"}, "--expires"},
		{[]string{"token", "revoke", "17"}, "token list"},
		{[]string{"import", "csv"}, "arg"},
		{[]string{"portal-user", "set-password", "pu-1"}, "--password-stdin"},
		{[]string{"erasure", "request", "no-id", "--reason", "x"}, "no-id"},
		{[]string{"erasure", "request", "0197aaaa-0000-7000-8000-000000000001"}, "--reason"},
		{[]string{"erasure", "approve", "x"}, "no verb"}, // which is for who signs in
		{[]string{"migrate"}, "DATABASE_URL"},
		{[]string{"record"}, "needs a verb"},
		{[]string{"record", "export", "--format", "csv"}, "--out"},
		{[]string{"record", "export", "--format", "xls", "--out", "x"}, "ndjson"},
		{[]string{"record", "export", "--format", "csv", "--out", "x", "--from", "yesterday"}, "--from"},
		{[]string{"record", "tail", "--message-id", "7"}, "--message-id"},
		{[]string{"record", "tail", "-n", "501"}, "--lines"},
		{[]string{"receipt", "verify", "file"}, "--key"},
		{[]string{"receipt", "issue", "no-id", "pu-1"}, "not the id of a message"},
		{[]string{"record", "disclosures", "pt-1", "--from", "2019-01-01"}, "--from is more than 6 years"},
		{[]string{"receipt", "bundle", "no-id", "pu-1", "--out", "x"}, "not the id of a message"},
		{[]string{"receipt", "bundle", someID, "pu-1", "--to", "Lena"}, "--out"},
		{[]string{"receipt", "bundle", someID, "pu-1", "--out", "x"}, "--to is required"},
		{[]string{"receipt", "bundle", someID, "pu-1", "--out", "x", "--to", "Lena", "--purpose", "y", "--basis", "z"}, "--basis must be"},
		{[]string{"why", "no-id", "pu-1"}, "not the id of a message"},
		{[]string{"replay"}, "needs a verb"},
		{[]string{"replay", "plan"}, "--reason"},
		{[]string{"replay", "plan", "--reason", "x", "--state", "accepted"}, "failed or unknown"},
		{[]string{"replay", "plan", "--reason", "x", "--from", "noon"}, "--from"},
		{[]string{"replay", "plan", "--reason", "x", "--from", "noon", "--to", "midnight"}, "--to"},
		{[]string{"replay", "plan", "--reason", " ", "--message", "17", "--domain", "a@b.test"}, "body.filter.domain is not what follows the @ of an address, as example.org; body.reason is required"},
		{[]string{"replay", "start"}, "arg"},
		{[]string{"replay", "status", "17"}, "17"},
	} {
		status, _, errs := p.run("", c.args...)
		if status != exitUsage || !strings.Contains(errs, c.says) {
			t.Errorf("%v: status %d, %q", c.args, status, errs)
		}
	}
	if _, err := os.Stat(p.data); err == nil {
		t.Error("wrong use made a data folder")
	}
}

// Verbs work on the embedded system while it is not running: each starts what it
// needs and stops it again.
func TestAClinicIsSetUpFromTheCommandLine(t *testing.T) {
	p := newSystem(t)
	must := func(stdin string, args ...string) string {
		t.Helper()
		status, out, errs := p.run(stdin, args...)
		if status != exitDone {
			t.Fatalf("%v: status %d: %s", args, status, errs)
		}
		return out
	}
	var staff staffJSON
	out := must("correct-horse-battery\n", "staff", "create", "--email", "ada@clinic.test", "--name", "Ada",
		"--permit", "send_portal_message,manage_staff", "--password-stdin", "--json")
	if err := json.Unmarshal([]byte(out), &staff); err != nil || staff.ID == "" || len(staff.Permissions) != 2 {
		t.Errorf("it says %s (%v)", out, err)
	}
	must("", "staff", "permit", "ada@clinic.test", "read_record")
	if status, _, errs := p.run("", "staff", "forbid", "ada@clinic.test", "manage_staff"); status != exitFailed {
		t.Errorf("the last administrator's permission was taken: %d %s", status, errs)
	}
	if out := must("", "staff", "list"); !strings.Contains(out, "read_record") {
		t.Errorf("the list says %s", out)
	}
	if token := strings.TrimSpace(must("", "token", "create", "--staff", "ada@clinic.test")); !strings.HasPrefix(token, "pst_") || strings.Contains(token, "\n") {
		t.Errorf("the token is %q", token)
	}
	made := struct {
		ID, Token, Scope, State string
		Permissions             []string
	}{}
	if out := must("", "token", "create", "--staff", "ada@clinic.test", "--name", "nightly report", "--permit", "read_record", "--expires", "12h", "--json"); json.Unmarshal([]byte(out), &made) != nil ||
		made.Scope != "listed" || made.State != "active" || len(made.Permissions) != 1 || !strings.HasPrefix(made.Token, "pst_") {
		t.Errorf("it says %s", out)
	}
	for _, args := range [][]string{{"--permit", "manage_labels"}, {"--expires", "400d"}, {"--expires", "-1h"}, {"--name", " "}} {
		if status, _, errs := p.run("", append([]string{"token", "create", "--staff", "ada@clinic.test"}, args...)...); status != exitFailed || !strings.Contains(errs, "token") {
			t.Errorf("%v: status %d: %s", args, status, errs)
		}
	}
	if out := must("", "token", "list", "--staff", "ada@clinic.test"); !strings.Contains(out, "nightly report") || !strings.Contains(out, "made at the command line") || !strings.Contains(out, "never used") || strings.Contains(out, made.Token) {
		t.Errorf("the list says %s", out)
	}
	for range 2 {
		if out := must("", "token", "revoke", made.ID, "--json"); !strings.Contains(out, `"state":"revoked"`) {
			t.Errorf("it says %s", out)
		}
	}
	if out := must("", "token", "list", "--json"); !strings.Contains(out, `"state":"revoked"`) || !strings.Contains(out, `"staff":"ada@clinic.test"`) || !json.Valid([]byte(out)) {
		t.Errorf("the list says %s", out)
	}
	if status, _, errs := p.run("", "token", "revoke", "0197aaaa-0000-7000-8000-000000000001"); status != exitFailed || !strings.Contains(errs, "no such API token") {
		t.Errorf("an unknown token: status %d: %s", status, errs)
	}
	t.Setenv("CLINIC_NAME", "Lakeside Practice")
	if status, _, errs := p.run("lakeside-practice-1\n", "staff", "create", "--email", "ben@clinic.test", "--name", "Ben", "--password-stdin"); status == exitDone || !strings.Contains(errs, "the name of the clinic") {
		t.Errorf("the clinic's name is a password: status %d: %s", status, errs)
	}
	must("quiet-harbour-song\n", "staff", "create", "--email", "ben@clinic.test", "--name", "Ben", "--password-stdin")
	must("", "staff", "disable", "ben@clinic.test")
	if out := must("", "staff", "list"); !strings.Contains(out, "disabled") {
		t.Errorf("the list says %s", out)
	}
	if status, _, _ := p.run("", "token", "create", "--staff", "ben@clinic.test"); status != exitFailed {
		t.Error("a disabled staff member got a token")
	}
	if status, _, errs := p.run("", "staff", "disable", "ada@clinic.test"); status != exitFailed || !strings.Contains(errs, "manage_staff") {
		t.Errorf("the last administrator was disabled: %d %s", status, errs)
	}
	if out := must("", "staff", "enable", "ben@clinic.test", "--json"); !strings.Contains(out, `"disabled":false`) {
		t.Errorf("it says %s", out)
	}
	must("", "staff", "reset-second-factor", "ben@clinic.test") // who has none: no news
	if out := must("", "staff", "unlink", "ben@clinic.test", "--json"); !strings.Contains(out, `"linked":false`) {
		t.Errorf("it says %s", out)
	}
	staffLinks(t, p)
	csv := filepath.Join(t.TempDir(), "portal_users.csv")
	if err := os.WriteFile(csv, []byte("portal_user_id,name,email,active\npu-1,Bo,bo@x.test,true\npu-2,Cy,,maybe\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, errs := p.run("", "import", "csv", csv)
	if status != exitFailed || !strings.Contains(errs, "3") || !strings.Contains(errs, "active") {
		t.Errorf("a wrong line: status %d: %s", status, errs)
	}
	if err := os.WriteFile(csv, []byte("portal_user_id,name,email,active\npu-1,Bo,bo@x.test,true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must("", "import", "csv", csv)
	if out := must("", "import", "csv", csv); !strings.Contains(out, "Nothing changed") {
		t.Errorf("the same again: %s", out)
	}
	export := t.TempDir()
	resources := func(lines string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(export, "1.export.NDJSON"), []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	resources(`{"resourceType":"Patient","id":"p-1","telecom":[{"system":"email","value":"none"}]}` + "\n" + `{"resourceType":"Observation"}`)
	const warned = `"links":{"added":1,"changed":0,"unchanged":0},"patients":{"added":1,"changed":0,"unchanged":0},` +
		`"portal_users":{"added":1,"changed":0,"unchanged":0},"resources":{"added":1,"changed":0,"unchanged":0},"warning_count":2,"warnings":[{"file":"1.export.NDJSON","line":1,"field":"telecom","reason":"`
	if out := must("", "import", "fhir", export, "--json"); !strings.Contains(out, warned) || !json.Valid([]byte(out)) {
		t.Errorf("an import with warnings says %s", out)
	}
	if out := must("", "import", "fhir", export); !strings.Contains(out, "Nothing changed") || !strings.Contains(out, "2 warnings\n  1.export.NDJSON:1: telecom: ") {
		t.Errorf("the same again says %s", out)
	}
	resources(`{"resourceType":"EpisodeOfCare","id":"e-1","status":"finished","patient":{"reference":"Patient/p-1"}}`)
	if out := must("", "import", "fhir", export, "--json"); !strings.Contains(out, `"patients":{"added":0,"changed":1,"unchanged":0}`) || !strings.Contains(out, `"warnings":[]`) {
		t.Errorf("an episode alone says %s", out)
	}
	resources(`{"resourceType":"EpisodeOfCare","id":"e-1","status":"ended"}`)
	if status, _, errs := p.run("", "import", "fhir", export); status != exitFailed || !strings.Contains(errs, "1.export.NDJSON:1: status: must be one of") {
		t.Errorf("a wrong line: status %d: %s", status, errs)
	}
	must("a-quiet-harbour-song\n", "portal-user", "set-password", "pu-1", "--password-stdin")
	if out := must("", "portal-user", "list", "--json"); !strings.Contains(out, `"bo@x.test"`) || !json.Valid([]byte(out)) || out[0] != '[' {
		t.Errorf("the list says %s", out)
	}
	if out := must("", "erasure", "list", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("erasures: %s", out)
	}
	if status, _, errs := p.run("", "erasure", "request", "0197aaaa-0000-7000-8000-000000000001", "--reason", "x"); status != exitFailed || !strings.Contains(errs, "no such message") {
		t.Errorf("an erasure of nothing: status %d: %s", status, errs)
	}
	must("", "rebuild", "--check")
	must("", "repair", "--check")
	must("", "rebuild")
	must("", "health")
	must("", "verify")
	key := filepath.Join(p.data, "checkpoint.key")
	before := must("", "keys", "verifier", key)
	if after := must("", "keys", "rotate", key); !strings.Contains(after, strings.TrimSpace(before)) {
		t.Errorf("the old verifier is gone: %s", after)
	}
	must("", "verify", "--json")
}

// A plan is a dry run: it says what would be done, and nothing is until it is
// started.
func TestAReplayFromTheCommandLine(t *testing.T) {
	p := newSystem(t)
	var r replayJSON
	run := func(status int, args ...string) {
		t.Helper()
		got, out, errs := p.run("", append([]string{"replay", "--json"}, args...)...)
		if got != status {
			t.Fatalf("%v: status %d, %s", args, got, errs)
		}
		if status == exitDone {
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(exitDone, "plan", "--state", "failed", "--reason", "their provider was down")
	if r.Status != "planned" || r.Count != 0 || r.Digest == "" {
		t.Errorf("the plan is %+v", r)
	}
	id := r.ID.String()
	run(exitDone, "start", id, "--rate", "60")
	run(exitDone, "pause", id)
	run(exitDone, "resume", id)
	run(exitDone, "status", id)
	if r.Status != "running" || r.Rate != 60 {
		t.Errorf("the replay is %+v", r)
	}
	run(exitDone, "cancel", id)
	run(exitFailed, "start", id)
	run(exitFailed, "status", "0197aaaa-0000-7000-8000-000000000001")
}
