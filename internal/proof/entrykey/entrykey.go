// Package entrykey keeps the key pair that seals the seeds of hidden people (see events.Hide).
// The public key is a row that every process reads. The private key is encrypted with the content
// key, so only a process that may read content can prove an entry. There is a copy of both in the
// content store, from which a row that Postgres has lost is restored.
//
// Normally there is one key pair for the life of an installation. There are more if the content
// key was lost, or if two processes made the first one at the same moment: the latest seals, and
// a seed names the one that opens it.
//
// All types and functions are safe for concurrent use, also by several processes.
package entrykey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"postern/internal/content"
	"postern/internal/proof/salted"
)

// fresh is how long a public key is used before it is read again.
const fresh = time.Minute

// A Sealing gives the public key. Its pool may be of any role.
type Sealing struct {
	pool *pgxpool.Pool

	mu   sync.Mutex
	key  *salted.PublicKey
	read time.Time
}

// Seals returns a Sealing. It does no I/O.
func Seals(pool *pgxpool.Pool) *Sealing { return &Sealing{pool: pool} }

// Key returns the public key, or nil if no process that has the content key has started yet. While
// Postgres can't be reached it returns the key that it last read.
func (s *Sealing) Key(ctx context.Context) (*salted.PublicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != nil && time.Since(s.read) < fresh {
		return s.key, nil
	}
	var raw []byte
	err := s.pool.QueryRow(ctx, `SELECT public FROM app.entry_keys ORDER BY made_at DESC, id LIMIT 1`).Scan(&raw)
	if errors.Is(err, pgx.ErrNoRows) || err != nil && s.key != nil {
		return s.key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key that seals seeds: %w", err)
	}
	key, err := salted.ParsePublicKey(raw)
	if err != nil {
		return nil, err
	}
	s.key, s.read = key, time.Now()
	return key, nil
}

// An Opening opens seeds.
type Opening struct {
	pool *pgxpool.Pool
	kept *content.Store

	mu   sync.Mutex
	keys map[salted.KeyID]*salted.PrivateKey
}

// Opens returns an Opening. It does no I/O. The pool may be of a role that may read content, or of
// the login user.
func Opens(pool *pgxpool.Pool, kept *content.Store) *Opening {
	return &Opening{pool: pool, kept: kept}
}

// ErrLost says that the key of a seed is lost. The entries of the event can't be proven any more;
// everything else can.
var ErrLost = errors.New("the key that opens the seed of an event's entries is lost")

// Open opens a sealed seed. Errors wrap [ErrLost] if no key is known that opens it.
func (o *Opening) Open(ctx context.Context, sealed []byte) (salted.Seed, error) {
	var id salted.KeyID
	if copy(id[:], sealed) < len(id) {
		return salted.Seed{}, errors.New("the sealed seed of the entries was cut")
	}
	key, err := o.find(ctx, id)
	if err != nil {
		return salted.Seed{}, err
	}
	return key.Open(sealed)
}

// find returns a private key. Those that are not known yet are read.
func (o *Opening) find(ctx context.Context, id salted.KeyID) (*salted.PrivateKey, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if key := o.keys[id]; key != nil {
		return key, nil
	}
	rows, err := o.rows(ctx)
	if err == nil && rows[id] == nil {
		// Postgres may have lost the row.
		if err = restore(ctx, o.pool, o.kept); err == nil {
			rows, err = o.rows(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys that open seeds: %w", err)
	}
	o.keys = rows
	if rows[id] == nil {
		return nil, ErrLost
	}
	return rows[id], nil
}

// rows returns the private keys that Postgres has and that the content key decrypts.
func (o *Opening) rows(ctx context.Context) (map[salted.KeyID]*salted.PrivateKey, error) {
	all, err := rowsOf(ctx, o.pool)
	if err != nil {
		return nil, err
	}
	keys := map[salted.KeyID]*salted.PrivateKey{}
	for _, r := range all {
		key, err := decrypt(o.kept, r.ID, r.Keys())
		if errors.Is(err, content.ErrChanged) {
			continue // of a content key that was lost
		}
		if err != nil {
			return nil, err
		}
		keys[key.Public().ID()] = key
	}
	return keys, nil
}

// row is a row of app.entry_keys.
type row struct {
	ID                 uuid.UUID
	WrappedKey, Sealed []byte
}

// Keys returns the content columns.
func (r row) Keys() content.Keys { return content.Keys{WrappedKey: r.WrappedKey, Sealed: r.Sealed} }

// rowsOf reads the rows, the latest first.
func rowsOf(ctx context.Context, pool *pgxpool.Pool) ([]row, error) {
	rows, err := pool.Query(ctx, `SELECT id, wrapped_key, sealed FROM app.entry_keys ORDER BY made_at DESC, id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[row])
}

// field is the name under which the private key is sealed.
const field = "entry key"

func decrypt(kept *content.Store, id uuid.UUID, keys content.Keys) (*salted.PrivateKey, error) {
	wrapping, err := kept.Unwrap(id, keys.WrappedKey)
	if err != nil {
		return nil, err
	}
	raw, err := wrapping.Open(field, keys.Sealed)
	if err != nil {
		return nil, err
	}
	return salted.ParsePrivateKey(raw)
}

// Ensure makes the key pair if there is none, and its copy. A crash leaves at most a copy that
// Postgres has no row of, which the next call restores.
func Ensure(ctx context.Context, pool *pgxpool.Pool, kept *content.Store) error {
	if err := ensure(ctx, pool, kept); err != nil {
		return fmt.Errorf("making the key that seals the seeds of entries: %w", err)
	}
	return nil
}

func ensure(ctx context.Context, pool *pgxpool.Pool, kept *content.Store) error {
	for range 2 {
		known, err := rowsOf(ctx, pool)
		if err != nil {
			return err
		}
		if len(known) > 0 {
			latest := known[0]
			if _, err = decrypt(kept, latest.ID, latest.Keys()); err == nil {
				_, err = kept.StoreKeys(ctx, content.EntryKeyOf(latest.ID), latest.ID, latest.Keys())
			}
			if !errors.Is(err, content.ErrChanged) {
				return err
			}
		}
		// There is none, or its content key was lost.
		if err := restore(ctx, pool, kept); err != nil {
			return err
		}
	}
	key, err := salted.NewKey()
	if err != nil {
		return err
	}
	raw, err := key.Bytes()
	if err != nil {
		return err
	}
	id := uuid.New()
	wrapping, wrapped, err := kept.NewKey(id)
	if err != nil {
		return err
	}
	sealed, err := wrapping.Seal(field, raw)
	if err != nil {
		return err
	}
	keys := content.Keys{WrappedKey: wrapped, Sealed: sealed}
	if _, err := kept.StoreKeys(ctx, content.EntryKeyOf(id), id, keys); err != nil {
		return err
	}
	return insert(ctx, pool, id, key.Public(), keys)
}

// restore inserts the keys of the content store that Postgres does not have.
func restore(ctx context.Context, pool *pgxpool.Pool, kept *content.Store) error {
	for id, err := range kept.EntryKeys(ctx) {
		if err != nil {
			return err
		}
		keys, err := kept.FindKeys(ctx, content.EntryKeyOf(id))
		if err != nil {
			return err
		}
		key, err := decrypt(kept, id, keys)
		if errors.Is(err, content.ErrChanged) {
			continue
		}
		if err != nil {
			return err
		}
		if err := insert(ctx, pool, id, key.Public(), keys); err != nil {
			return err
		}
	}
	return nil
}

func insert(ctx context.Context, pool *pgxpool.Pool, id uuid.UUID, public *salted.PublicKey, keys content.Keys) error {
	_, err := pool.Exec(ctx, `INSERT INTO app.entry_keys (id, public, wrapped_key, sealed) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING`,
		id, public.Bytes(), keys.WrappedKey, keys.Sealed)
	return err
}
