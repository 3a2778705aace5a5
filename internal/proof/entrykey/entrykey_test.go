package entrykey_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/proof/entrykey"
	"postern/internal/proof/salted"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// place is a database and a content store.
type place struct {
	url, folder, keyFile string
	api                  *pgxpool.Pool
	kept                 *content.Store
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{url: storetest.New(t), folder: t.TempDir(), keyFile: filepath.Join(t.TempDir(), "content.key")}
	p.api = storetest.Open(t, p.url, store.RoleAPI)
	if _, err := content.CreateKeyFile(p.keyFile); err != nil {
		t.Fatal(err)
	}
	p.kept = p.open(t, p.keyFile)
	return p
}

func (p *place) open(t *testing.T, keyFile string) *content.Store {
	t.Helper()
	kept, err := content.Open(t.Context(), p.folder, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	return kept
}

func (p *place) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := storetest.Open(t, p.url, store.RoleAdmin).Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// seal seals a seed as a process of any role does.
func (p *place) seal(t *testing.T, role store.Role) (salted.Seed, []byte) {
	t.Helper()
	key, err := entrykey.Seals(storetest.Open(t, p.url, role)).Key(t.Context())
	if err != nil || key == nil {
		t.Fatalf("the key is %v, %v", key, err)
	}
	seed := salted.NewSeed()
	sealed, err := key.Seal(seed)
	if err != nil {
		t.Fatal(err)
	}
	return seed, sealed
}

func (p *place) ensure(t *testing.T) {
	t.Helper()
	if err := entrykey.Ensure(t.Context(), p.api, p.kept); err != nil {
		t.Fatal(err)
	}
}

// The notify worker, which has no content key and may not read the private key, seals; a process
// with the content key opens.
func TestWhoHasNoContentKeySeals(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if key, err := entrykey.Seals(p.api).Key(t.Context()); key != nil || err != nil {
		t.Errorf("before it is made the key is %v, %v", key, err)
	}
	p.ensure(t)
	p.ensure(t)
	seed, sealed := p.seal(t, store.RoleNotify)
	if got, err := entrykey.Opens(p.api, p.kept).Open(t.Context(), sealed); err != nil || got != seed {
		t.Errorf("opening it: %v", err)
	}
	for _, column := range []string{"wrapped_key", "sealed"} {
		if _, err := storetest.Open(t, p.url, store.RoleNotify).Exec(t.Context(), `SELECT `+column+` FROM app.entry_keys`); err == nil {
			t.Errorf("the notify worker may read %s", column)
		}
	}
	var n int
	if err := p.api.QueryRow(t.Context(), `SELECT count(*) FROM app.entry_keys`).Scan(&n); err != nil || n != 1 {
		t.Errorf("there are %d keys, %v", n, err)
	}
}

// A row that Postgres has lost comes back from the content store, whether a process starts or
// only opens a seed.
func TestALostRowIsRestored(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.ensure(t)
	seed, sealed := p.seal(t, store.RoleAPI)
	p.exec(t, `DELETE FROM app.entry_keys`)
	if got, err := entrykey.Opens(p.api, p.kept).Open(t.Context(), sealed); err != nil || got != seed {
		t.Errorf("opening it: %v", err)
	}
	p.exec(t, `DELETE FROM app.entry_keys`)
	p.ensure(t)
	if _, again := p.seal(t, store.RoleAPI); string(again[:8]) != string(sealed[:8]) {
		t.Error("it seals with another key")
	}
}

// When the content key is lost, another key seals, and what the lost one sealed is lost.
func TestALostContentKey(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.ensure(t)
	_, old := p.seal(t, store.RoleAPI)
	other := filepath.Join(t.TempDir(), "content.key")
	if _, err := content.CreateKeyFile(other); err != nil {
		t.Fatal(err)
	}
	p.kept = p.open(t, other)
	p.ensure(t)
	seed, sealed := p.seal(t, store.RoleAPI)
	opens := entrykey.Opens(p.api, p.kept)
	if got, err := opens.Open(t.Context(), sealed); err != nil || got != seed {
		t.Errorf("opening it: %v", err)
	}
	if _, err := opens.Open(t.Context(), old); !errors.Is(err, entrykey.ErrLost) {
		t.Errorf("what the lost key sealed gives %v", err)
	}
}

// Processes that start at the same moment may make a key each. What any of them seals is opened.
func TestTwoProcessesMakeTheFirstKey(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var both sync.WaitGroup
	for range 4 {
		both.Go(func() {
			if err := entrykey.Ensure(t.Context(), p.api, p.kept); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	rows, err := p.api.Query(t.Context(), `SELECT public FROM app.entry_keys`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	opens := entrykey.Opens(storetest.Open(t, p.url, store.RoleAPI), p.kept)
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			t.Fatal(err)
		}
		key, err := salted.ParsePublicKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := key.Seal(salted.NewSeed())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := opens.Open(t.Context(), sealed); err != nil {
			t.Error(err)
		}
	}
}
