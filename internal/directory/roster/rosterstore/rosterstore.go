// Package rosterstore keeps the rosters of the directory in Postgres, makes those of the blocks
// that have changed, and reads all of them as of one moment.
//
// # Dirty blocks
//
// A change of the directory marks the blocks whose rosters say something else after it as dirty,
// in its own transaction (triggers of app.portal_users, app.links and app.patients). Another
// change gives another mark. A pass makes the rosters of the dirty blocks current and deletes
// the marks that it has seen. A [Snapshot] never reads the current roster of a block that is
// dirty in the same snapshot: it builds one from the tables.
//
// # Durability
//
// Rosters are never changed. Each is named by its root, its objects by their digests, so that
// the same content is stored once and has one root, whichever process makes it and how often.
// What a crash leaves: an object or a roster that nothing cites, or a dirty block. A roster that
// nothing cites is deleted after a day ([Store.Sweep]). An audience cites the rosters of its state
// of the directory ([Store.KeepState]).
//
// # Concurrency
//
// All functions and methods may be called concurrently, also by several processes. A lock lets
// one pass run at a time, only to save work: a pass that was overtaken changes nothing, because
// the marks are not those that it has seen.
//
// # Size
//
// Making rosters, copying them to the content store, restoring them and encrypting their secrets
// again are one package, because they share the tables and the format of a bundle.
package rosterstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"postern/internal/content"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
)

// Config has the dependencies of a [Store]. Vacuum and Logger may be nil.
type Config struct {
	// Pool connects as postern_api, as postern_fanout or as the login user.
	Pool *pgxpool.Pool
	// Content encrypts the secrets of the rosters.
	Content *content.Store
	// Vacuum vacuums and analyzes tables, if the login user may.
	Vacuum func(ctx context.Context, tables ...string) error
	Logger *slog.Logger
}

// A Store stores rosters.
type Store struct{ Config }

// New returns a Store. It does no I/O.
func New(c Config) *Store {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{c}
}

// Put stores rosters of different blocks, and returns the root of each. A roster with the same
// content as a stored one has that one's root. It does not make them current. The rosters must
// have their names.
func (s *Store) Put(ctx context.Context, rosters []roster.Roster) (roots []roster.Digest, err error) {
	if len(rosters) == 0 {
		return nil, nil
	}
	err = pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		roots, err = s.put(ctx, tx, rosters)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("storing rosters: %w", err)
	}
	return roots, nil
}

// toStore is a roster with the digests under which it is stored.
type toStore struct {
	*roster.Roster
	facts, names, content, root roster.Digest
	sealed                      []byte // the secret
	stored                      bool
}

// put stores rosters in a READ COMMITTED transaction: its later statements must see what another
// transaction has stored in the meantime. Each statement writes in the order of its table's key,
// and the tables have one order, so that two calls never wait for each other.
func (s *Store) put(ctx context.Context, tx pgx.Tx, rosters []roster.Roster) ([]roster.Digest, error) {
	all := make([]toStore, len(rosters))
	for i := range rosters {
		r := &rosters[i]
		facts, names := r.FactsDigest(), r.NamesDigest()
		all[i] = toStore{Roster: r, facts: facts, names: names, content: roster.Content(r.Block, facts, names)}
	}
	// The order of the blocks at the end, of the digests before.
	byDigest := make([]*toStore, len(all))
	for i := range all {
		byDigest[i] = &all[i]
	}
	for _, o := range []struct {
		upsert string
		digest func(*toStore) *roster.Digest
		bytes  func(*toStore) []byte
	}{
		{upsertFacts, func(t *toStore) *roster.Digest { return &t.facts }, func(t *toStore) []byte { return t.Facts }},
		{upsertNames, func(t *toStore) *roster.Digest { return &t.names }, func(t *toStore) []byte { return t.Names }},
	} {
		slices.SortFunc(byDigest, func(a, b *toStore) int { return bytes.Compare(o.digest(a)[:], o.digest(b)[:]) })
		for some := range slices.Chunk(byDigest, 500) {
			digests, objects := make([][]byte, len(some)), make([][]byte, len(some))
			for i, t := range some {
				digests[i], objects[i] = o.digest(t)[:], o.bytes(t)
			}
			if _, err := tx.Exec(ctx, o.upsert, digests, objects); err != nil {
				return nil, err
			}
		}
	}
	byBlock := byDigest
	slices.SortFunc(byBlock, func(a, b *toStore) int { return cmp.Compare(a.Block, b.Block) })
	if err := findRoots(ctx, tx, byBlock); err != nil {
		return nil, err
	}
	fresh := slices.DeleteFunc(byBlock, func(t *toStore) bool { return t.stored })
	if len(fresh) > 0 {
		if err := s.insert(ctx, tx, fresh); err != nil {
			return nil, err
		}
	}
	roots := make([]roster.Digest, len(all))
	for i := range all {
		roots[i] = all[i].root
	}
	return roots, nil
}

// A stored object is only written if it is damaged: then these are the right bytes.
const (
	upsertFacts = `INSERT INTO app.roster_facts (digest, facts) SELECT * FROM unnest($1::bytea[], $2::bytea[])
		ON CONFLICT (digest) DO UPDATE SET facts = excluded.facts WHERE app.roster_facts.facts <> excluded.facts`
	upsertNames = `INSERT INTO app.roster_names (digest, names) SELECT * FROM unnest($1::bytea[], $2::bytea[])
		ON CONFLICT (digest) DO UPDATE SET names = excluded.names WHERE app.roster_names.names <> excluded.names`
)

// findRoots sets the roots of the rosters that are stored.
func findRoots(ctx context.Context, tx pgx.Tx, all []*toStore) error {
	blocks, contents := make([]int32, len(all)), make([][]byte, len(all))
	for i, t := range all {
		blocks[i], contents[i] = int32(t.Block), t.content[:]
	}
	rows, err := tx.Query(ctx, `
		SELECT k.nth, r.root FROM unnest($1::integer[], $2::bytea[]) WITH ORDINALITY AS k(block, content, nth)
		JOIN app.rosters r ON r.block = k.block AND r.content = k.content`, blocks, contents)
	if err != nil {
		return err
	}
	var nth int
	var root []byte
	_, err = pgx.ForEachRow(rows, []any{&nth, &root}, func() error {
		all[nth-1].root, all[nth-1].stored = roster.Digest(root), true
		return nil
	})
	return err
}

// insert stores rosters that were not stored when findRoots looked. If another transaction has
// stored one since, its root counts.
func (s *Store) insert(ctx context.Context, tx pgx.Tx, fresh []*toStore) error {
	var group errgroup.Group
	for some := range slices.Chunk(fresh, len(fresh)/runtime.GOMAXPROCS(0)+1) {
		group.Go(func() error {
			for _, t := range some {
				if err := s.giveRoot(t); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	n := len(fresh)
	blocks := make([]int32, n)
	roots, contents, facts, names, secrets := make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i, t := range fresh {
		blocks[i] = int32(t.Block)
		roots[i], contents[i], facts[i], names[i], secrets[i] = t.root[:], t.content[:], t.facts[:], t.names[:], t.sealed
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO app.rosters (root, block, content, facts, names, secret)
		SELECT * FROM unnest($1::bytea[], $2::integer[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
		ON CONFLICT (block, content, restored) DO NOTHING`, roots, blocks, contents, facts, names, secrets)
	if err != nil || tag.RowsAffected() == int64(n) {
		return err
	}
	return findRoots(ctx, tx, fresh)
}

// purpose is what the secrets are encrypted for.
const purpose = "roster"

// giveRoot gives a roster a secret, and the root that follows.
func (s *Store) giveRoot(t *toStore) (err error) {
	secret := roster.NewSecret()
	if t.root, err = t.Root(secret); err != nil {
		return err
	}
	t.sealed, err = s.Content.SealSecret(purpose, t.root.String(), secret.Bytes())
	return err
}

// Secret returns the secret of a roster. Errors wrap [cited.ErrDamaged] if there is no such roster,
// and [content.ErrChanged] if the secret can't be decrypted.
func (s *Store) Secret(ctx context.Context, root roster.Digest) (roster.Secret, error) {
	sealed, err := s.SealedSecrets(ctx, []roster.Digest{root})
	if err != nil {
		return roster.Secret{}, err
	}
	return s.OpenSecret(root, sealed)
}

// SealedSecrets returns the encrypted secrets of rosters, as far as they are stored.
func (s *Store) SealedSecrets(ctx context.Context, roots []roster.Digest) (map[roster.Digest][]byte, error) {
	raw := make([][]byte, len(roots))
	for i := range roots {
		raw[i] = roots[i][:]
	}
	rows, err := s.Pool.Query(ctx, `SELECT root, secret FROM app.rosters WHERE root = ANY($1)`, raw)
	if err != nil {
		return nil, fmt.Errorf("reading the secrets of rosters: %w", err)
	}
	sealed := make(map[roster.Digest][]byte, len(roots))
	var root, secret []byte
	if _, err := pgx.ForEachRow(rows, []any{&root, &secret}, func() error {
		sealed[roster.Digest(root)] = bytes.Clone(secret)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading the secrets of rosters: %w", err)
	}
	return sealed, nil
}

// OpenSecret decrypts the secret of a roster, one of [Store.SealedSecrets]. It returns the same
// errors as [Store.Secret].
func (s *Store) OpenSecret(root roster.Digest, of map[roster.Digest][]byte) (roster.Secret, error) {
	sealed, stored := of[root]
	if !stored {
		return roster.Secret{}, fmt.Errorf("%w: %s", cited.ErrDamaged, root)
	}
	raw, err := s.Content.OpenSecret(purpose, root.String(), sealed)
	if err != nil {
		return roster.Secret{}, fmt.Errorf("roster %s: %w", root, err)
	}
	return roster.ParseSecret(raw)
}
