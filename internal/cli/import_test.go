package cli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// An import at the command line also makes the rosters of what it has changed: no worker has to
// run for it.
func TestAnImportMakesItsRosters(t *testing.T) {
	p := newSystem(t)
	csv := filepath.Join(t.TempDir(), "portal_users.csv")
	if err := os.WriteFile(csv, []byte("portal_user_id,name,email,active\npu-1,Bo,bo@x.test,true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := p.run("", "import", "csv", csv); status != exitDone {
		t.Fatalf("status %d: %s", status, errs)
	}
	env := &environment{data: p.data, out: io.Discard, errs: io.Discard}
	err := env.with(t.Context(), func(s *system) error {
		var dirty, current int
		err := s.pool.QueryRow(context.Background(), `SELECT (SELECT count(*) FROM app.dirty_blocks), (SELECT count(*) FROM app.block_rosters)`).Scan(&dirty, &current)
		if dirty != 0 || current != 1 {
			t.Errorf("%d blocks are dirty, %d have a current roster; want 0 and 1", dirty, current)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
