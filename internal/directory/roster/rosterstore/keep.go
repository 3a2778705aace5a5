package rosterstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/directory/roster"
	"postern/internal/directory/roster/cited"
)

// Rosters that events cite are stored twice: in Postgres and, in bundles, in the content store. A
// bundle is encrypted with a key of its own. It has for each roster its root, its secret, its
// facts and its names, each with its length (4 bytes, big endian) in front.

// parts is the number of values of a roster in a bundle.
const parts = 4

// longestPart is more than the tables allow for facts and names.
const longestPart = 1 << 25

// Keep copies the rosters with these roots to the content store, except those that were copied
// before. Several processes may copy a roster; each copy is complete. A crash leaves a bundle
// that no roster names, and the rosters are copied again. Errors wrap [cited.ErrDamaged] if one of
// them is damaged: its block is marked as dirty, so that the next pass restores it.
func (s *Store) Keep(ctx context.Context, roots []roster.Digest) error {
	raw := make([][]byte, len(roots))
	for i := range roots {
		raw[i] = roots[i][:]
	}
	err := s.keep(ctx, raw)
	if errors.Is(err, cited.ErrDamaged) {
		err = errors.Join(err, s.markDamaged(context.WithoutCancel(ctx), raw))
	}
	if err != nil {
		return fmt.Errorf("copying rosters to the content store: %w", err)
	}
	return nil
}

// markDamaged marks the blocks of damaged rosters as dirty.
func (s *Store) markDamaged(ctx context.Context, roots [][]byte) error {
	_, err := s.Pool.Exec(ctx, `SELECT app.mark_dirty(ARRAY(
		SELECT r.block FROM app.rosters r LEFT JOIN app.roster_facts f ON f.digest = r.facts LEFT JOIN app.roster_names n ON n.digest = r.names
		WHERE r.root = ANY($1) AND (sha256(f.facts) = f.digest AND sha256(n.names) = n.digest) IS NOT TRUE))`, roots)
	return err
}

func (s *Store) keep(ctx context.Context, raw [][]byte) error {
	rows, err := s.Pool.Query(ctx, `SELECT root FROM app.rosters WHERE root = ANY($1) AND kept IS NULL ORDER BY block`, raw)
	if err != nil {
		return err
	}
	if raw, err = pgx.CollectRows(rows, pgx.RowTo[[]byte]); err != nil || len(raw) == 0 {
		return err
	}
	id := uuid.New()
	key, wrapped, err := s.Content.NewKey(id)
	if err != nil {
		return err
	}
	if _, err := s.Content.StoreKeys(ctx, content.RosterKeysOf(id), id, content.Keys{WrappedKey: wrapped}); err != nil {
		return err
	}
	r, pipe := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := s.writeBundle(ctx, pipe, raw)
		pipe.CloseWithError(err) // nil ends the bundle
		written <- err
	}()
	_, err = s.Content.Create(ctx, content.RostersOf(id), key, r)
	_ = r.Close() // unblocks writeBundle if Create did not read to the end
	if failed := <-written; failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	_, err = s.Pool.Exec(ctx, `UPDATE app.rosters SET kept = $2 WHERE root = ANY($1) AND kept IS NULL`, raw, id)
	return err
}

func (s *Store) writeBundle(ctx context.Context, to io.Writer, roots [][]byte) error {
	w := bufio.NewWriterSize(to, 1<<16)
	for some := range slices.Chunk(roots, mostGroup/4) {
		rows, err := s.Pool.Query(ctx, `
			SELECT r.root, r.secret, f.facts, n.names
			FROM app.rosters r JOIN app.roster_facts f ON f.digest = r.facts JOIN app.roster_names n ON n.digest = r.names
			WHERE r.root = ANY($1) AND sha256(f.facts) = f.digest AND sha256(n.names) = n.digest`, pgx.QueryResultFormats{pgx.BinaryFormatCode}, some)
		if err != nil {
			return err
		}
		n := 0
		for ; rows.Next(); n++ {
			for _, part := range rows.RawValues() {
				if err := writePart(w, part); err != nil {
					rows.Close()
					return err
				}
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if n != len(some) {
			return fmt.Errorf("%w: %d of %d", cited.ErrDamaged, len(some)-n, len(some))
		}
	}
	return w.Flush()
}

// Restore inserts the rosters and the states of the directory of the content store that Postgres
// has lost. No roster becomes current. A bundle that a roster names is not lost, and is not read.
// pool connects as postern_fanout or as the login user.
func Restore(ctx context.Context, pool *pgxpool.Pool, from *content.Store) error {
	if err := restoreStates(ctx, pool, from); err != nil {
		return err
	}
	for id, err := range from.Rosters(ctx) {
		if err != nil {
			return fmt.Errorf("listing the rosters of the content store: %w", err)
		}
		var known bool
		if err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM app.rosters WHERE kept = $1)`, id).Scan(&known); err != nil {
			return fmt.Errorf("looking for lost rosters: %w", err)
		}
		if known {
			continue
		}
		if err := restoreBundle(ctx, pool, from, id); err != nil {
			return fmt.Errorf("restoring rosters from bundle %s of the content store: %w", id, err)
		}
	}
	return nil
}

func restoreBundle(ctx context.Context, pool *pgxpool.Pool, from *content.Store, id uuid.UUID) error {
	bundle, _, err := openBundle(ctx, from, id)
	if err != nil {
		return err
	}
	defer func() { _ = bundle.Close() }()
	return eachPart(bundle, func(values [parts][]byte) error { return restoreOne(ctx, pool, id, values) })
}

// readParts reads the values of one roster, or returns io.EOF at the end.
func readParts(r io.Reader) (values [parts][]byte, err error) {
	for i := range values {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			if i > 0 || !errors.Is(err, io.EOF) {
				err = cut(err)
			}
			return values, err
		}
		n := binary.BigEndian.Uint32(size[:])
		if n > longestPart {
			return values, fmt.Errorf("the bundle claims a part of %d bytes: %w", n, content.ErrChanged)
		}
		values[i] = make([]byte, n)
		if _, err := io.ReadFull(r, values[i]); err != nil {
			return values, cut(err)
		}
	}
	return values, nil
}

// cut is the error of a bundle that ends within a roster, or that can't be read.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = content.ErrChanged
	}
	return fmt.Errorf("the bundle is cut: %w", err)
}

func restoreOne(ctx context.Context, pool *pgxpool.Pool, bundle uuid.UUID, values [parts][]byte) error {
	r, err := roster.Parse(values[2], values[3])
	if err != nil {
		return err
	}
	facts, names := r.FactsDigest(), r.NamesDigest()
	digest := roster.Content(r.Block, facts, names)
	_, err = pool.Exec(ctx, `
		WITH facts AS (INSERT INTO app.roster_facts (digest, facts) VALUES ($1, $2) ON CONFLICT DO NOTHING),
		     names AS (INSERT INTO app.roster_names (digest, names) VALUES ($3, $4) ON CONFLICT DO NOTHING)
		INSERT INTO app.rosters (root, block, content, facts, names, secret, kept, restored, cited) VALUES ($5, $6, $7, $1, $3, $8, $9, true, true)
		ON CONFLICT (root) DO UPDATE SET kept = $9 WHERE app.rosters.kept IS NULL`,
		facts[:], values[2], names[:], values[3], values[0], int32(r.Block), digest[:], values[1], bundle)
	return err
}
