package fanout

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// The frozen audience stays the same whichever rows a failover of Postgres loses while a
// message is expanded: the key of the manifest is copied to the content store before the
// manifest is written.
func TestTheManifestOpensWithoutItsRow(t *testing.T) {
	dir := t.TempDir()
	_, err := content.CreateKeyFile(filepath.Join(dir, "key"))
	must(t, err)
	kept, err := content.Open(t.Context(), filepath.Join(dir, "content"), filepath.Join(dir, "key"))
	must(t, err)
	t.Cleanup(func() { _ = kept.Close() })
	url := storetest.New(t)
	admin := storetest.Open(t, url, store.RoleAdmin)
	w := New(Config{Pool: storetest.Open(t, url, store.RoleFanout), Content: kept})
	for name, lose := range map[string]string{
		"nothing":                 `SELECT`,
		"the row":                 `DELETE FROM app.manifest_keys`,
		"the note of the copy":    `UPDATE app.manifest_keys SET copied = false`,
		"the row, with a new key": "another",
	} {
		t.Run(name, func(t *testing.T) {
			m := sending{id: uuid.New()}
			key, err := w.manifestKey(t.Context(), m.id)
			must(t, err)
			if _, err := kept.FindKeys(t.Context(), content.ManifestKeysOf(m.id)); err != nil {
				t.Fatalf("the copy must exist before the manifest is written: %v", err)
			}
			want, err := w.freeze(t.Context(), m, key)
			must(t, err)
			if lose == "another" {
				_, fresh, err := kept.NewKey(m.id)
				must(t, err)
				_, err = admin.Exec(t.Context(), `UPDATE app.manifest_keys SET wrapped_key = $2, copied = false WHERE message_id = $1`, m.id, fresh)
				must(t, err)
			} else {
				_, err = admin.Exec(t.Context(), lose)
				must(t, err)
			}
			again, err := w.manifestKey(t.Context(), m.id)
			must(t, err)
			got, err := w.frozen(t.Context(), m.id, again)
			must(t, err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
