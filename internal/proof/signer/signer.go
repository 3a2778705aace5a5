// Package signer signs checkpoints of the record while it grows, and writes them and sealed
// segments of events to the archive, which the administrators of the database and the
// stream can't rewrite.
//
// A checkpoint covers only events that Postgres has on disk. It is signed only after the
// tree was compared with the last checkpoint in Postgres and in the archive, so the signer
// never signs a second history.
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

// signEvery is the interval between checkpoints while the record grows.
const signEvery = 10 * time.Second

// Config holds the dependencies of a [Signer]. Only Archive, Logger and Every may be left
// out.
type Config struct {
	Pool    *pgxpool.Pool // as postern_recorder
	Keys    *checkpoint.Keys
	Archive *archive.Archive
	Logger  *slog.Logger
	Every   time.Duration // the interval between checkpoints
}

// A Lease is held by the one recorder that leads; see [postern/internal/store.Lease].
type Lease interface {
	// Fence makes sure that a transaction commits only while the lease is held.
	Fence(ctx context.Context, tx pgx.Tx) error
	// Held returns an error if another process has taken over the lease.
	Held(ctx context.Context) error
}

// Signer signs and archives. One goroutine may use it, that of the leading recorder;
// [Signer.Behind] is safe for concurrent use.
type Signer struct {
	Config
	known *checkpoint.Verifiers

	ready bool // the fields below were read from the archive
	lease Lease
	// last is the last checkpoint that the archive had at the start, or that was signed
	// since. An attacker who rewrites Postgres can't change it. Its size is 0 if there is
	// none.
	last checkpoint.Checkpoint
	archiveState
}

// New returns a Signer. It does no I/O.
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

// Run signs and seals until ctx ends. It logs errors and retries. Errors do not stop the
// recording, and a slow or unreachable archive does not stop the signing. Only at the start
// it waits for the archive, because only the archive shows whether the record was rolled
// back. Without the lease it signs and archives nothing.
func (sr *Signer) Run(ctx context.Context, lease Lease) error {
	sr.ready, sr.lease = false, lease // another process may have led in between
	sr.complete.Store(time.Now().UnixNano())
	defer sr.complete.Store(0)
	for !sr.ready {
		if err := sr.prepare(ctx); err != nil {
			sr.logError(ctx, "no checkpoint is signed until the archive answers", err)
			pause(ctx, sr.Every)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sr.keepSigning(ctx) })
	if sr.Archive != nil {
		group.Go(func() error { return sr.keepArchiving(ctx) })
	}
	return group.Wait()
}

func (sr *Signer) keepSigning(ctx context.Context) error {
	for ctx.Err() == nil {
		size, err := sr.sign(ctx)
		if err != nil {
			sr.logError(ctx, "no checkpoint is signed", err)
		}
		wait := sr.Every
		if size == 0 {
			wait /= 10 // sign the first checkpoint soon
		}
		pause(ctx, wait)
	}
	return ctx.Err()
}

func (sr *Signer) logError(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		sr.Logger.Error(what, "error", err, "archive_behind", sr.Behind().Round(time.Second))
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Attest signs a checkpoint if the record has grown, and writes everything that is due to
// the archive. A crash at any line leaves a part of it unwritten; the next Attest continues
// from the state of the archive.
func (sr *Signer) Attest(ctx context.Context, lease Lease) error {
	sr.lease = lease
	if err := sr.prepare(ctx); err != nil {
		return err
	}
	if _, err := sr.sign(ctx); err != nil || sr.Archive == nil {
		return err
	}
	return sr.updateArchive(ctx)
}

// prepare stores the verifiers in the database for its readers, and reads the state of the
// archive.
func (sr *Signer) prepare(ctx context.Context) error {
	if sr.ready {
		return nil
	}
	// Insert the oldest first, so that the newest gets the highest number.
	for i := len(sr.Keys.Verifiers) - 1; i >= 0; i-- {
		_, err := sr.Pool.Exec(ctx, `INSERT INTO app.checkpoint_keys (verifier) VALUES ($1) ON CONFLICT DO NOTHING`, sr.Keys.Verifiers[i])
		if err != nil {
			return fmt.Errorf("publishing the checkpoint keys: %w", err)
		}
	}
	if sr.Archive != nil {
		if err := sr.readArchive(ctx); err != nil {
			return err
		}
	}
	sr.ready = true
	return nil
}

// ErrOtherHistory is the error if the record is not the one that was signed before.
var ErrOtherHistory = errors.New("the record differs from an earlier signed checkpoint: run `postern verify` to find where")

// sign signs the present tree, unless it was signed already, and returns the size of the
// last checkpoint.
//
// The recorder commits without waiting for Postgres's disk. This transaction waits, and
// Postgres writes its log in order. A crash before the commit leaves no checkpoint, and no
// reader has seen one. After the commit, all events that the checkpoint covers are on disk.
func (sr *Signer) sign(ctx context.Context) (size uint64, err error) {
	fresh := sr.last
	err = pgx.BeginTxFunc(ctx, sr.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if err := sr.lease.Fence(ctx, tx); err != nil {
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
			err = checkConsistent(hashes, now, last, tlog.Hash(root))
		}
		if known := int64(sr.last.Size); err == nil && known > last { // #nosec G115 -- parsed as 63 bits
			err = checkConsistent(hashes, now, known, sr.last.Root)
		}
		if err != nil {
			return err
		}
		tree, err := merkle.TreeAt(now, hashes)
		if err != nil {
			return err
		}
		c := checkpoint.Checkpoint{Size: uint64(now), Root: tree.Root()} // #nosec G115 -- never negative
		text, err := c.Sign(sr.Keys.Signer)
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
	sr.last = fresh
	return size, nil
}

// checkConsistent compares the tree with an earlier checkpoint.
func checkConsistent(hashes tlog.HashReader, now, size int64, root tlog.Hash) error {
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
