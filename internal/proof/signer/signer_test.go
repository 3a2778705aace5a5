package signer_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/proof/archive"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle"
	"postern/internal/proof/merkle/merklestore"
	"postern/internal/proof/signer"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// clinic is a database whose record grows by hand, and an archive.
type clinic struct {
	*signer.Signer
	pool    *pgxpool.Pool
	url     string
	keyFile string
	archive string
}

func found(t *testing.T) *clinic {
	t.Helper()
	return foundAt(t, t.TempDir())
}

func foundAt(t *testing.T, address string) *clinic {
	t.Helper()
	c := &clinic{url: storetest.New(t), keyFile: filepath.Join(t.TempDir(), "checkpoint.key"), archive: address}
	if _, err := checkpoint.CreateKeyFile(c.keyFile, "clinic.example/record"); err != nil {
		t.Fatal(err)
	}
	c.pool = storetest.Open(t, c.url, store.RoleRecorder)
	c.restart(t)
	return c
}

// alone is the lease of who has no other beside it.
type alone struct{}

func (alone) Fence(context.Context, pgx.Tx) error { return nil }
func (alone) Held(context.Context) error          { return nil }

// restart is another process with the same key, database and archive.
func (c *clinic) restart(t *testing.T) {
	t.Helper()
	keys, err := checkpoint.ReadKeyFile(c.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	outside, err := archive.Open(t.Context(), c.archive)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = outside.Close() })
	if c.Signer, err = signer.New(signer.Config{Pool: c.pool, Keys: keys, Archive: outside}); err != nil {
		t.Fatal(err)
	}
}

// grow records n events; salt tells one history from another.
func (c *clinic) grow(t *testing.T, pool *pgxpool.Pool, n, size int, salt string) {
	t.Helper()
	ctx := t.Context()
	var at int64
	if err := pool.QueryRow(ctx, `SELECT seq FROM record.position`).Scan(&at); err != nil {
		t.Fatal(err)
	}
	tree, err := merkle.TreeAt(at, merklestore.Hashes(ctx, pool, "record.hashes"))
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		at++
		s := &merkle.Stored{Seq: uint64(at), Subject: salt, Data: []byte(strings.Repeat("x", size))}
		leaf := merkle.Leaf(s)
		if _, err := pool.Exec(ctx, `INSERT INTO record.events (seq, type, actor, projected, leaf, stored)
			VALUES ($1, '', '', false, $2, $3)`, at, leaf[:], s.Data); err != nil {
			t.Fatal(err)
		}
		for _, h := range tree.Append(leaf) {
			if _, err := pool.Exec(ctx, `INSERT INTO record.hashes SELECT coalesce(max(idx) + 1, 0), $1 FROM record.hashes`, h[:]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := pool.Exec(ctx, `UPDATE record.position SET seq = $1`, at); err != nil {
		t.Fatal(err)
	}
}

func (c *clinic) asAdmin(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return storetest.Open(t, c.url, store.RoleAdmin)
}

func (c *clinic) must(t *testing.T) {
	t.Helper()
	if err := c.Attest(t.Context(), alone{}); err != nil {
		t.Fatal(err)
	}
}

func (c *clinic) count(t *testing.T, sql string) (n int) {
	t.Helper()
	if err := c.pool.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const signedSoFar = `SELECT count(*) FROM app.checkpoints`

// While the record grows it is signed, once a size, in Postgres and outside; while
// it does not, nothing is.
func TestSignedWhileItGrows(t *testing.T) {
	t.Parallel()
	c := found(t)
	c.must(t)
	if n := c.count(t, signedSoFar); n != 0 {
		t.Errorf("nothing was signed %d times", n)
	}
	for i := range 3 {
		c.grow(t, c.pool, 5, 10, "a")
		c.must(t)
		c.must(t)
		if n := c.count(t, signedSoFar); n != i+1 {
			t.Errorf("after growing %d times there are %d checkpoints", i+1, n)
		}
	}
	c.restart(t)
	c.must(t)
	all, _, err := c.Archive.Checkpoints(t.Context())
	if err != nil || len(all) != 3 || all[2].Size != 15 {
		t.Errorf("outside there is %v, %v", all, err)
	}
}

// A segment is sealed once it is full, or has waited for an hour.
func TestWhenASegmentIsSealed(t *testing.T) {
	t.Parallel()
	c := found(t)
	c.grow(t, c.pool, 3, 4<<20, "a")
	c.must(t)
	c.grow(t, c.pool, 1, 10, "a")
	c.must(t)
	segments := func() (ranges [][2]uint64) {
		all, _, err := c.Archive.Segments(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			ranges = append(ranges, [2]uint64{s.First, s.Last})
		}
		return ranges
	}
	if got := segments(); len(got) != 1 || got[0] != [2]uint64{1, 2} {
		t.Fatalf("sealed is %v", got)
	}
	c.admin(t, `UPDATE app.checkpoints SET signed_at = signed_at - interval '2 hours'`)
	c.restart(t)
	c.must(t)
	if got := segments(); len(got) != 2 || got[1] != [2]uint64{3, 4} {
		t.Fatalf("an hour later sealed is %v", got)
	}
}

// What was signed once is never signed otherwise.
func TestNoSecondHistoryIsSigned(t *testing.T) {
	t.Parallel()
	for name, rewrite := range map[string]func(context.Context, *testing.T, *clinic) *pgxpool.Pool{
		"in the same database": func(ctx context.Context, t *testing.T, c *clinic) *pgxpool.Pool {
			admin := storetest.Open(t, c.url, store.RoleAdmin)
			if _, err := admin.Exec(ctx, `TRUNCATE record.events, record.hashes; UPDATE record.position SET seq = 0`); err != nil {
				t.Fatal(err)
			}
			return admin
		},
		"in a new database, with the archive as it was": func(_ context.Context, t *testing.T, c *clinic) *pgxpool.Pool {
			c.pool = storetest.Pool(t, store.RoleRecorder)
			c.restart(t)
			return c.pool
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := found(t)
			c.grow(t, c.pool, 5, 10, "a")
			c.must(t)
			pool := rewrite(t.Context(), t, c)
			before := c.count(t, signedSoFar)
			for _, n := range []int{3, 5} { // shorter, then longer than what was signed
				c.grow(t, pool, n, 10, "b")
				if err := c.Attest(t.Context(), alone{}); !errors.Is(err, signer.ErrOtherHistory) {
					t.Fatalf("at %d it says %v", n, err)
				}
			}
			if n := c.count(t, signedSoFar); n != before {
				t.Error("it was signed")
			}
		})
	}
}

// The recorder's role may add checkpoints and change nothing about them.
func TestCheckpointsCanOnlyBeAdded(t *testing.T) {
	t.Parallel()
	c := found(t)
	c.grow(t, c.pool, 1, 10, uuid.NewString())
	c.must(t)
	for _, sql := range []string{`UPDATE app.checkpoints SET size = 2`, `DELETE FROM app.checkpoints`, `TRUNCATE app.checkpoints`,
		`UPDATE app.checkpoint_keys SET verifier = ''`, `DELETE FROM record.hashes`, `UPDATE record.hashes SET hash = hash`} {
		if _, err := c.pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// lost is the lease of who was overtaken.
type lost struct{}

var errLost = errors.New("another leads")

func (lost) Fence(context.Context, pgx.Tx) error { return errLost }
func (lost) Held(context.Context) error          { return errLost }

// A notary whose recorder was overtaken signs nothing, and carries nothing out.
func TestAnOvertakenNotarySignsNothing(t *testing.T) {
	c := found(t)
	c.grow(t, c.pool, 5, 100, "a")
	if err := c.Attest(t.Context(), lost{}); !errors.Is(err, errLost) {
		t.Errorf("it is told %v", err)
	}
	var signed int
	if err := c.pool.QueryRow(t.Context(), `SELECT count(*) FROM app.checkpoints`).Scan(&signed); err != nil || signed != 0 {
		t.Errorf("%d checkpoints are signed, %v", signed, err)
	}
}
