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

// clinic is an archive and a database to which tests add events directly.
type clinic struct {
	*signer.Signer
	pool    *pgxpool.Pool
	url     string
	keyFile string
	archive string
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	return newClinicAt(t, t.TempDir())
}

func newClinicAt(t *testing.T, address string) *clinic {
	t.Helper()
	c := &clinic{url: storetest.New(t), keyFile: filepath.Join(t.TempDir(), "checkpoint.key"), archive: address}
	if _, err := checkpoint.CreateKeyFile(c.keyFile, "clinic.example/record"); err != nil {
		t.Fatal(err)
	}
	c.pool = storetest.Open(t, c.url, store.RoleRecorder)
	c.restart(t)
	return c
}

// soleLease is the lease of a process without competitors.
type soleLease struct{}

func (soleLease) Fence(context.Context, pgx.Tx) error { return nil }
func (soleLease) Held(context.Context) error          { return nil }

// restart replaces the signer by a new one with the same key, database and archive.
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

// grow records n events. Different values of salt make different histories.
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
	if err := c.Attest(t.Context(), soleLease{}); err != nil {
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

// Each new size of the record is signed once, in Postgres and in the archive. If the record
// does not grow, nothing is signed.
func TestEachSizeIsSignedOnce(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.must(t)
	if n := c.count(t, signedSoFar); n != 0 {
		t.Errorf("the empty record was signed %d times", n)
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
		t.Errorf("the archive has %v, %v", all, err)
	}
}

// A segment is sealed once it is full, or has waited for an hour.
func TestWhenASegmentIsSealed(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
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

// After a history was signed, no other history is signed.
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
			c := newClinic(t)
			c.grow(t, c.pool, 5, 10, "a")
			c.must(t)
			pool := rewrite(t.Context(), t, c)
			before := c.count(t, signedSoFar)
			for _, n := range []int{3, 5} { // shorter, then longer than the signed history
				c.grow(t, pool, n, 10, "b")
				if err := c.Attest(t.Context(), soleLease{}); !errors.Is(err, signer.ErrOtherHistory) {
					t.Fatalf("at %d events: %v", n, err)
				}
			}
			if n := c.count(t, signedSoFar); n != before {
				t.Error("it was signed")
			}
		})
	}
}

// The recorder's role may add checkpoints but not change or delete them.
func TestCheckpointsCanOnlyBeAdded(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.grow(t, c.pool, 1, 10, uuid.NewString())
	c.must(t)
	for _, sql := range []string{`UPDATE app.checkpoints SET size = 2`, `DELETE FROM app.checkpoints`, `TRUNCATE app.checkpoints`,
		`UPDATE app.checkpoint_keys SET verifier = ''`, `DELETE FROM record.hashes`, `UPDATE record.hashes SET hash = hash`} {
		if _, err := c.pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// lostLease is the lease of a process that another one has replaced.
type lostLease struct{}

var errLost = errors.New("another leads")

func (lostLease) Fence(context.Context, pgx.Tx) error { return errLost }
func (lostLease) Held(context.Context) error          { return errLost }

// A signer that has lost its lease signs and archives nothing.
func TestASignerWithoutItsLeaseSignsNothing(t *testing.T) {
	c := newClinic(t)
	c.grow(t, c.pool, 5, 100, "a")
	if err := c.Attest(t.Context(), lostLease{}); !errors.Is(err, errLost) {
		t.Errorf("Attest returned %v", err)
	}
	var signed int
	if err := c.pool.QueryRow(t.Context(), `SELECT count(*) FROM app.checkpoints`).Scan(&signed); err != nil || signed != 0 {
		t.Errorf("%d checkpoints are signed, %v", signed, err)
	}
}
