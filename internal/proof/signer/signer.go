// Package signer signs checkpoints of the record while it grows, and carries them
// and sealed segments of events to the archive, outside of what a database's or a
// stream's administrator can rewrite.
//
// A checkpoint is signed over what Postgres has on disk, and only after the tree
// was held against the last checkpoint, in Postgres and in the archive: the notary
// signs no second history.
package signer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"postern/internal/proof/archive"
	"postern/internal/proof/checkpoint"
	"postern/internal/proof/merkle"
	"postern/internal/proof/merkle/merklestore"
)

// signEvery is how often a checkpoint is signed while the record grows.
const signEvery = 10 * time.Second

// Config is what a [Notary] works with. Only Archive, Logger and Every may be left
// out.
type Config struct {
	Pool    *pgxpool.Pool // as postern_recorder
	Keys    *checkpoint.Keys
	Archive *archive.Archive
	Logger  *slog.Logger
	Every   time.Duration // how often to sign
}

// A Lease says that one recorder leads: see [postern/internal/store.Lease].
type Lease interface {
	// Fence lets a transaction commit under the lease alone.
	Fence(ctx context.Context, tx pgx.Tx) error
	// Held tells whether no other has taken the lease over.
	Held(ctx context.Context) error
}

// Notary is used by one goroutine, that of the recorder which leads; [Notary.Behind]
// by any.
type Signer struct {
	Config
	known *checkpoint.Verifiers

	ready bool // whether the rest was read from the archive
	lease Lease
	// last is the last checkpoint that the archive held then, or that was signed
	// since: whoever rewrites Postgres can't rewrite this. Of size 0: there is none.
	last checkpoint.Checkpoint
	carrier
}

// New makes a Notary. It does no I/O.
func New(c Config) (*Signer, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Every == 0 {
		c.Every = signEvery
	}
	known, err := c.Keys.Known()
	return &Signer{Config: c, known: known}, err
}

// Run signs and seals until ctx ends. What fails is said and tried again: it keeps
// nobody from recording, and an archive that is away or slow nobody from signing.
// Only at its start it waits for the archive, which alone knows whether the record
// was rolled back. It signs and carries nothing once the lease is lost.
func (n *Signer) Run(ctx context.Context, lease Lease) error {
	n.ready, n.lease = false, lease // another may have led since
	n.complete.Store(time.Now().UnixNano())
	defer n.complete.Store(0)
	for !n.ready {
		if err := n.prepare(ctx); err != nil {
			n.complain(ctx, "no checkpoint is signed until the archive answers", err)
			pause(ctx, n.Every)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.keepSigning(ctx) })
	if n.Archive != nil {
		group.Go(func() error { return n.keepCarrying(ctx) })
	}
	return group.Wait()
}

func (n *Signer) keepSigning(ctx context.Context) error {
	for ctx.Err() == nil {
		size, err := n.sign(ctx)
		if err != nil {
			n.complain(ctx, "no checkpoint is signed", err)
		}
		wait := n.Every
		if size == 0 {
			wait /= 10 // the first is soon
		}
		pause(ctx, wait)
	}
	return ctx.Err()
}

func (n *Signer) complain(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		n.Logger.Error(what, "error", err, "archive_behind", n.Behind().Round(time.Second))
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Attest signs a checkpoint if the record has grown, and brings what is due to the
// archive. A crash anywhere leaves less outside than there could be; the next
// Attest goes on from what it finds there.
func (n *Signer) Attest(ctx context.Context, lease Lease) error {
	n.lease = lease
	if err := n.prepare(ctx); err != nil {
		return err
	}
	if _, err := n.sign(ctx); err != nil || n.Archive == nil {
		return err
	}
	return n.bringOut(ctx)
}

// prepare makes the keys known to whoever reads the database, and learns how far
// the archive has come.
func (n *Signer) prepare(ctx context.Context) error {
	if n.ready {
		return nil
	}
	// The oldest first: whoever lists them sees the newest last.
	for i := len(n.Keys.Verifiers) - 1; i >= 0; i-- {
		_, err := n.Pool.Exec(ctx, `INSERT INTO app.checkpoint_keys (verifier) VALUES ($1) ON CONFLICT DO NOTHING`, n.Keys.Verifiers[i])
		if err != nil {
			return fmt.Errorf("publishing the checkpoint keys: %w", err)
		}
	}
	if n.Archive != nil {
		if err := n.lookOutside(ctx); err != nil {
			return err
		}
	}
	n.ready = true
	return nil
}

// ErrOtherHistory says that the record is not the one that was signed before.
var ErrOtherHistory = errors.New("the record does not hold what was signed before: `postern verify` says where")

// sign signs the tree as it is, unless it was signed already, and gives the size
// of the last checkpoint.
//
// Recording commits without waiting for Postgres's disk; this transaction does
// wait, and Postgres writes its log in order. A crash before its commit leaves no
// checkpoint, and nobody has seen one; after it, all that the checkpoint covers is
// on disk.
func (n *Signer) sign(ctx context.Context) (size uint64, err error) {
	fresh := n.last
	err = pgx.BeginTxFunc(ctx, n.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if err := n.lease.Fence(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = on`); err != nil {
			return err
		}
		var now, last int64
		var root []byte
		err := tx.QueryRow(ctx, `SELECT p.seq, coalesce(c.size, 0), coalesce(c.root, '')
			FROM record.position p LEFT JOIN (SELECT size, root FROM app.checkpoints ORDER BY nr DESC LIMIT 1) c ON true`).Scan(&now, &last, &root)
		if err != nil {
			return err
		}
		size = uint64(last) // #nosec G115 -- never negative
		if now == last {
			return nil
		}
		hashes := merklestore.Hashes(ctx, tx, "record.hashes")
		if last > 0 {
			err = mustHold(hashes, now, last, tlog.Hash(root))
		}
		if known := int64(n.last.Size); err == nil && known > last { // #nosec G115 -- parsed as 63 bits
			err = mustHold(hashes, now, known, n.last.Root)
		}
		if err != nil {
			return err
		}
		tree, err := merkle.TreeAt(now, hashes)
		if err != nil {
			return err
		}
		c := checkpoint.Checkpoint{Size: uint64(now), Root: tree.Root()} // #nosec G115 -- never negative
		text, err := c.Sign(n.Keys.Signer)
		if err != nil {
			return err
		}
		size, fresh = c.Size, c
		_, err = tx.Exec(ctx, `INSERT INTO app.checkpoints (size, root, signed) VALUES ($1, $2, $3)`, now, c.Root[:], text)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("signing a checkpoint: %w", err)
	}
	n.last = fresh
	return size, nil
}

// mustHold holds the tree against an earlier checkpoint.
func mustHold(hashes tlog.HashReader, now, size int64, root tlog.Hash) error {
	if now < size {
		return fmt.Errorf("%w: it has %d events, and %d were signed", ErrOtherHistory, now, size)
	}
	tree, err := merkle.TreeAt(size, hashes)
	if err != nil {
		return err
	}
	if tree.Root() != root {
		return fmt.Errorf("%w: the checkpoint of %d events has another root", ErrOtherHistory, size)
	}
	return nil
}
