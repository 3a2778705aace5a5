package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The demo refuses an address that other machines can reach, before it makes anything.
func TestTheDemoRefusesAPublicAddress(t *testing.T) {
	for _, address := range []string{":8080", "0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"} {
		p := newPostern(t)
		for _, flag := range []string{"--listen", "--listen-addr"} {
			status, out, errs := p.up("--demo", flag, address)
			if status != exitUsage || out != "" || !strings.Contains(errs, address) || !strings.Contains(errs, "127.0.0.1") {
				t.Errorf("%s %s: status %d, prints %q, and says %s", flag, address, status, out, errs)
			}
		}
		if _, err := os.Stat(p.data); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a folder was made", address)
		}
	}
}

// The demo refuses a folder that a clinic uses, with any content.
func TestTheDemoRefusesTheFolderOfAClinic(t *testing.T) {
	p := newSystem(t)
	refused := func(what, why string) {
		t.Helper()
		status, out, errs := p.up("--demo")
		if status != exitFailed || out != "" || !strings.Contains(errs, p.data) || !strings.Contains(errs, why) {
			t.Errorf("%s: status %d, prints %q, and says %s", what, status, out, errs)
		}
	}
	refused("an empty system", "without --demo")
	p.must("staff", "create", "--email", "Admin@clinic.example.test", "--name", "Ada", "--permit", "manage_staff")
	manifest := filepath.Join(p.data, "folder.json")
	kept, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	refused("an old folder", "not added by --demo")
	if _, err := os.Stat(manifest); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a folder that was refused got a manifest")
	}
	if err := os.WriteFile(manifest, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := p.must("staff", "list"); strings.Contains(out, "Femke") {
		t.Errorf("the demo made staff: %s", out)
	}
	// An account of the demo in a clinic's folder, as earlier versions left one.
	if status, _, errs := p.up(); status != exitDone || !strings.Contains(errs, "Admin@clinic.example.test") || !strings.Contains(errs, "staff disable") {
		t.Errorf("status %d, and says %s", status, errs)
	}
	if status, out, errs := p.up("--public-url", "https://portal.clinic.example"); status != exitFailed || out != "" || !strings.Contains(errs, "staff disable") {
		t.Errorf("for everyone: status %d, prints %q, and says %s", status, out, errs)
	}
}

// The demo starts with the folder that it made, also without a manifest, and with people who were
// imported later. Without --demo, such a folder is served only to this machine.
func TestTheDemoGoesOnWithItsOwnFolder(t *testing.T) {
	p := newPostern(t)
	up := func(what string) {
		t.Helper()
		if status, out, errs := p.up("--demo"); status != exitDone || !strings.Contains(out, "paper-boat-harbour") {
			t.Fatalf("%s: status %d, prints %q, and says %s", what, status, out, errs)
		}
	}
	manifest := filepath.Join(p.data, "folder.json")
	up("a new folder")
	if status, _, errs := p.up(); status != exitDone || !strings.Contains(errs, "made by --demo") {
		t.Errorf("without --demo: status %d, and says %s", status, errs)
	}
	if status, out, errs := p.up("--listen", "0.0.0.0:0", "--behind-proxy"); status != exitFailed || out != "" || !strings.Contains(errs, "made by --demo") {
		t.Errorf("for everyone: status %d, prints %q, and says %s", status, out, errs)
	}
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	up("an old folder")
	csv := filepath.Join(t.TempDir(), "portal_users.csv")
	if err := os.WriteFile(csv, []byte("portal_user_id,name,email,active\nreal-1,Bo,bo@x.test,true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.must("import", "csv", csv)
	if err := os.Remove(manifest); err != nil {
		t.Fatal(err)
	}
	up("an old folder into which people were imported")
}
