package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"postern/internal/embedded/natstest"
	"postern/internal/eventlog"
	"postern/internal/store/storetest"
)

const someID = "0197aaaa-0000-7000-8000-000000000001"

// acting are the verbs that need a system, each with correct arguments.
func acting(t *testing.T) [][]string {
	t.Helper()
	dir := t.TempDir()
	csv := filepath.Join(dir, "portal_users.csv")
	if err := os.WriteFile(csv, []byte("portal_user_id,name,email,active\npu-1,Bo,bo@x.test,true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return [][]string{
		{"health"}, {"verify"}, {"rebuild"}, {"rebuild", "--check"}, {"repair"}, {"repair", "--check"},
		{"recover"}, {"recover", "--without", "content"},
		{"import", "csv", csv}, {"import", "csv", csv, "--dry-run"}, {"import", "fhir", dir},
		{"staff", "create", "--email", "a@b.test", "--name", "A"}, {"staff", "invite", "--email", "a@b.test", "--name", "A"},
		{"staff", "reset", "a@b.test"}, {"staff", "change", "a@b.test", "--name", "B"}, {"staff", "list"}, {"staff", "permit", "a@b.test", "read_record"},
		{"staff", "forbid", "a@b.test", "read_record"}, {"staff", "disable", "a@b.test"}, {"staff", "enable", "a@b.test"},
		{"staff", "reset-second-factor", "a@b.test"}, {"staff", "unlink", "a@b.test"}, {"staff", "grants"}, {"staff", "approve", someID}, {"staff", "reject", someID}, {"token", "create", "--staff", "a@b.test"}, {"token", "list"}, {"token", "revoke", someID},
		{"portal-user", "list"}, {"portal-user", "invite", "pu-1"}, {"portal-user", "invite", "pu-1", "pu-2"}, {"portal-user", "invite", "--all-without-account"}, {"portal-user", "letter", "pu-1"}, {"portal-user", "confirm-address", "pu-1"}, {"portal-user", "set-password", "pu-1", "--password-stdin"},
		{"record", "tail"}, {"record", "disclosures", "pt-1"}, {"record", "export", "--format", "csv", "--out", filepath.Join(dir, "out")},
		{"receipt", "issue", someID, "pu-1"}, {"receipt", "bundle", someID, "pu-1", "--to", "Lena Lawyer", "--purpose", "x", "--out", filepath.Join(dir, "bundle.zip")}, {"why", someID, "pu-1"}, {"person", "pu-1"}, {"alerting", "status"}, {"alerting", "pause", "--reason", "x"}, {"alerting", "resume", "--reason", "x"},
		{"parked", "list"}, {"parked", "show", someID}, {"parked", "retry", someID}, {"parked", "discard", someID, "--reason", "x"},
		{"replay", "plan", "--reason", "x"}, {"replay", "start", someID}, {"replay", "status", someID}, {"replay", "pause", someID},
		{"replay", "resume", someID}, {"replay", "cancel", someID},
		{"erasure", "list"}, {"erasure", "request", someID, "--reason", "x"}, {"erasure", "withdraw", someID}, {"emergency", "list"}, {"keys", "rotate", "content"},
	}
}

// onNothing are the verbs that act on no system of a data folder: `up`, which makes one,
// and those that work on files, or on what the environment names, or on nothing at all.
var onNothing = []string{"up", "migrate", "keys create", "keys checkpoint", "keys certificates", "keys rotate", "keys verifier", "receipt verify",
	"help", "man", "completion bash", "completion fish", "completion powershell", "completion zsh"}

// Only `postern up` makes a system. Every other verb reports that there is none and where it
// looked, and changes nothing.
func TestOnlyUpMakesASystem(t *testing.T) {
	verbs := acting(t)
	var leaves func(c *cobra.Command)
	leaves = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			leaves(sub)
		}
		words := strings.Fields(strings.TrimPrefix(c.CommandPath(), "postern"))
		covered := slices.Contains(onNothing, strings.Join(words, " ")) ||
			slices.ContainsFunc(verbs, func(v []string) bool { return len(v) >= len(words) && slices.Equal(v[:len(words)], words) })
		if len(words) > 0 && !c.HasSubCommands() && !covered {
			t.Errorf("%s is not in the table of this test", c.CommandPath())
		}
	}
	leaves((&environment{}).root())

	for name, make := range map[string]func(path string) error{
		"no folder":    func(string) error { return nil },
		"empty folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"empty system": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, "lock"), nil, 0o600))
		},
		"other folder": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.Mkdir(filepath.Join(path, "content"), 0o700))
		},
		"a file": func(path string) error { return os.WriteFile(path, []byte("notes"), 0o600) },
		"first start": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, "folder.json"), []byte(`{"state":"making"}`), 0o600))
		},
		"old and begun": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, "content.key"), []byte("x"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPostern(t)
			if err := make(p.data); err != nil {
				t.Fatal(err)
			}
			before := tree(t, p.data)
			t.Chdir(filepath.Dir(p.data)) // a folder is named by its absolute path, however it was given
			for _, verb := range verbs {
				status, out, errs := postern{t, "data"}.run("a-long-enough-password\n", verb...)
				if status != exitFailed || out != "" || !strings.Contains(errs, "no Postern system in "+p.data) || !strings.Contains(errs, "postern up --data "+p.data) {
					t.Errorf("%v: status %d, prints %q, and says %s", verb, status, out, errs)
				}
				if diff := cmp.Diff(before, tree(t, p.data)); diff != "" && name != "first start" && name != "old and begun" {
					t.Fatalf("%v left a trace (-before +after):\n%s", verb, diff)
				}
			}
		})
	}
}

// With DATABASE_URL and NATS_URL only `postern migrate` makes a system. Every other verb reports
// which of the two is empty.
func TestOnlyMigrateMakesASystemElsewhere(t *testing.T) {
	p := newPostern(t)
	server := natstest.Start(t, natstest.Listening())
	t.Setenv("DATABASE_URL", storetest.Empty(t))
	t.Setenv("NATS_URL", server.ClientURL(""))
	refused := func(says string) {
		t.Helper()
		for _, verb := range acting(t) {
			status, out, errs := p.run("a-long-enough-password\n", verb...)
			if slices.Equal(verb, []string{"recover"}) { // which asks for --without
				continue
			}
			if status != exitFailed || out != "" || !strings.Contains(errs, "no Postern system") || !strings.Contains(errs, says) {
				t.Errorf("%v: status %d, prints %q, and says %s", verb, status, out, errs)
			}
		}
	}
	refused("DATABASE_URL")
	log := eventlog.New(natstest.Connect(t, server, "test"), nil)
	if made, err := log.Exists(t.Context()); err != nil || made {
		t.Errorf("a stream was made: %v, %v", made, err)
	}
	t.Setenv("DATABASE_URL", storetest.New(t))
	refused("NATS_URL")
	if tree(t, p.data) != nil {
		t.Error("a data folder was made")
	}
}

// tree lists all files at path, nil if there are none.
func tree(t *testing.T, path string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		if err == nil {
			names = append(names, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

// A folder with other files is refused, unless the files belong to a file system or desktop.
func TestUpTakesNoFolderOfOthers(t *testing.T) {
	for name, refused := range map[string]bool{"notes.txt": true, "Photos": true, "content": true, "archive": true, "postgres": true, "nats": true} {
		p := newPostern(t)
		if err := os.MkdirAll(filepath.Join(p.data, name), 0o700); err != nil {
			t.Fatal(err)
		}
		before := tree(t, p.data)
		status, _, errs := p.up()
		if (status == exitFailed) != refused || !strings.Contains(errs, name) || !strings.Contains(errs, p.data) {
			t.Errorf("%s: status %d, and says %s", name, status, errs)
		}
		if diff := cmp.Diff(before, tree(t, p.data)); diff != "" {
			t.Errorf("%s: it left a trace (-before +after):\n%s", name, diff)
		}
	}
	p := newPostern(t)
	for _, name := range []string{"lost+found", ".Trash"} {
		if err := os.MkdirAll(filepath.Join(p.data, name), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if status, _, errs := p.up(); status != exitDone || !strings.Contains(errs, "making a new system") || !strings.Contains(errs, p.data) {
		t.Errorf("the root of a disk: status %d, and says %s", status, errs)
	}
	if status, _, errs := p.up(); status != exitDone || strings.Contains(errs, "making a new system") {
		t.Errorf("the second start: status %d, and says %s", status, errs)
	}
}
