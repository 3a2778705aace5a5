// Package notary signs checkpoints of the record while it grows, and carries them
// and sealed segments of events to the archive, outside of what a database's or a
// stream's administrator can rewrite.
//
// A checkpoint is signed over what Postgres has on disk, and only after the tree
// was held against the last checkpoint, in Postgres and in the archive: the notary
// signs no second history.
package notary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/archive"
	"postern/internal/checkpoint"
	"postern/internal/ledger"
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

// Notary is used by one goroutine, that of the recorder which leads.
type Notary struct {
	Config
	known *checkpoint.Verifiers

	ready    bool                  // whether what follows was read from the archive
	outside  checkpoint.Checkpoint // the last that the archive holds; of size 0 where there is none
	sealed   uint64                // the last event in a segment
	unsealed time.Time             // since when events have been waiting for one
}

// New makes a Notary. It does no I/O.
func New(c Config) (*Notary, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Every == 0 {
		c.Every = signEvery
	}
	known, err := c.Keys.Known()
	return &Notary{Config: c, known: known}, err
}

// Run signs and seals until ctx ends. What fails is said and tried again: it keeps
// nobody from recording.
func (n *Notary) Run(ctx context.Context) error {
	n.ready = false // another may have led since
	for {
		size, err := n.attest(ctx)
		if err != nil && ctx.Err() == nil {
			n.Logger.Error("no checkpoint is signed", "error", err)
		}
		wait := n.Every
		if size == 0 {
			wait /= 10 // the first is soon
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Attest signs a checkpoint if the record has grown, and brings what is due to the
// archive. A crash anywhere leaves less outside than there could be; the next
// Attest goes on from what it finds there.
func (n *Notary) Attest(ctx context.Context) error {
	_, err := n.attest(ctx)
	return err
}

func (n *Notary) attest(ctx context.Context) (signed uint64, err error) {
	if err := n.prepare(ctx); err != nil {
		return 0, err
	}
	if signed, err = n.sign(ctx); err != nil || n.Archive == nil {
		return signed, err
	}
	if err := n.carry(ctx); err != nil {
		return signed, err
	}
	return signed, n.seal(ctx, signed)
}

// prepare makes the keys known to whoever reads the database, and learns how far
// the archive has come.
func (n *Notary) prepare(ctx context.Context) error {
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

func (n *Notary) lookOutside(ctx context.Context) error {
	latest, err := n.Archive.Latest(ctx)
	if err != nil {
		return err
	}
	if n.outside = (checkpoint.Checkpoint{}); latest.Size > 0 {
		text, err := n.Archive.Read(ctx, latest.Name)
		if err != nil {
			return err
		}
		if n.outside, err = checkpoint.Open(string(text), n.known); err != nil {
			return fmt.Errorf("the archive's %s: %w", latest.Name, err)
		}
	}
	segments, err := n.Archive.Segments(ctx)
	if err != nil {
		return err
	}
	n.sealed, n.unsealed = 0, time.Time{}
	for _, s := range segments {
		n.sealed = max(n.sealed, s.Last)
	}
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
func (n *Notary) sign(ctx context.Context) (size uint64, err error) {
	err = pgx.BeginTxFunc(ctx, n.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
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
		hashes := ledger.Hashes(ctx, tx, "record.hashes")
		if last > 0 {
			err = mustHold(hashes, now, last, tlog.Hash(root))
		}
		if outside := int64(n.outside.Size); err == nil && outside > last { // #nosec G115 -- parsed as 63 bits
			err = mustHold(hashes, now, outside, n.outside.Root)
		}
		if err != nil {
			return err
		}
		tree, err := ledger.TreeAt(now, hashes)
		if err != nil {
			return err
		}
		c := checkpoint.Checkpoint{Size: uint64(now), Root: tree.Root()} // #nosec G115 -- never negative
		text, err := c.Sign(n.Keys.Signer)
		if err != nil {
			return err
		}
		size = c.Size
		_, err = tx.Exec(ctx, `INSERT INTO app.checkpoints (size, root, signed) VALUES ($1, $2, $3)`, now, c.Root[:], text)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return size, nil
}

// mustHold holds the tree against an earlier checkpoint.
func mustHold(hashes tlog.HashReader, now, size int64, root tlog.Hash) error {
	if now < size {
		return fmt.Errorf("%w: it has %d events, and %d were signed", ErrOtherHistory, now, size)
	}
	tree, err := ledger.TreeAt(size, hashes)
	if err != nil {
		return err
	}
	if tree.Root() != root {
		return fmt.Errorf("%w: the checkpoint of %d events has another root", ErrOtherHistory, size)
	}
	return nil
}
