package compose

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"postern/internal/content"
)

const (
	secureBatch   = 200 // messages
	secureAtATime = 8   // calls of the content store
)

// SecureKeys copies to the content store the keys that are in Postgres alone, and brings
// back to Postgres those that are in the content store alone. It goes on where an earlier
// call stopped. Call it at the start of a process and every few minutes, in as many
// processes as you like.
func (c *Composer) SecureKeys(ctx context.Context) error {
	if err := c.copyKeys(ctx, messageKeys); err != nil {
		return err
	}
	if err := c.copyKeys(ctx, manifestKeys); err != nil {
		return err
	}
	return c.findLost(ctx)
}

// A keyTable is a table whose rows the content store keeps copies of.
type keyTable struct {
	name     func(uuid.UUID) content.Name
	uncopied string // $1: after which message, $2: how many
	copied   string // $1: message, $2: the wrapped key that counts
}

const notErased = ` NOT EXISTS (SELECT FROM record.erasures e WHERE e.message_id = k.message_id AND e.status = 'erased') `

var (
	messageKeys = keyTable{name: content.KeysOf,
		uncopied: `SELECT message_id, wrapped_key, sealed FROM app.message_content k
			WHERE NOT copied AND message_id > $1 AND` + notErased + `ORDER BY message_id LIMIT $2`,
		copied: `UPDATE app.message_content SET copied = true WHERE message_id = $1 AND wrapped_key = $2`}
	// Of two keys of one manifest the copy counts: see package fanout.
	manifestKeys = keyTable{name: content.ManifestKeysOf,
		uncopied: `SELECT message_id, wrapped_key, NULL::bytea FROM app.manifest_keys k
			WHERE NOT copied AND message_id > $1 AND` + notErased + `ORDER BY message_id LIMIT $2`,
		copied: `UPDATE app.manifest_keys SET copied = true, wrapped_key = $2 WHERE message_id = $1`}
)

// keyRow is a row of a keyTable.
type keyRow struct {
	message uuid.UUID
	keys    content.Keys
}

func (c *Composer) copyKeys(ctx context.Context, t keyTable) error {
	for last := uuid.Nil; ; {
		rows, err := c.pool.Query(ctx, t.uncopied, last, secureBatch)
		if err != nil {
			return fmt.Errorf("looking for keys that have no copy: %w", err)
		}
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r keyRow, err error) {
			err = row.Scan(&r.message, &r.keys.WrappedKey, &r.keys.Sealed)
			return r, err
		})
		if err != nil {
			return fmt.Errorf("looking for keys that have no copy: %w", err)
		}
		if len(found) == 0 {
			return nil
		}
		last = found[len(found)-1].message
		err = each(ctx, found, func(ctx context.Context, r keyRow) error { return c.copyRow(ctx, t, r) })
		if err != nil {
			return err
		}
	}
}

// copyRow stores the copy and then marks the row. A crash in between leaves the row to be
// copied again, in vain. A row that is gone by then was erased meanwhile: the copy goes
// too, and where a crash keeps it, with the sweep of package retention at the next start.
func (c *Composer) copyRow(ctx context.Context, t keyTable, r keyRow) error {
	name := t.name(r.message)
	kept, err := c.cfg.Content.KeepKeys(ctx, name, r.message, r.keys)
	if err != nil {
		return fmt.Errorf("copying the keys of message %s: %w", r.message, err)
	}
	tag, err := c.pool.Exec(ctx, t.copied, r.message, kept.WrappedKey)
	if err != nil {
		return fmt.Errorf("marking the keys of message %s as copied: %w", r.message, err)
	}
	if tag.RowsAffected() > 0 {
		return nil
	}
	erased, err := c.isErased(ctx, r.message)
	if err == nil && erased {
		err = c.cfg.Content.Delete(ctx, name)
	}
	return err
}

// findLost looks in the content store for the keys of every message on the record of
// which Postgres has none, and notes those that are nowhere.
func (c *Composer) findLost(ctx context.Context) error {
	rows, err := c.pool.Query(ctx, `SELECT k.message_id FROM record.messages k
		WHERE NOT EXISTS (SELECT FROM app.message_content c WHERE c.message_id = k.message_id) AND`+notErased)
	if err != nil {
		return fmt.Errorf("looking for messages without keys: %w", err)
	}
	lost, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("looking for messages without keys: %w", err)
	}
	return each(ctx, lost, func(ctx context.Context, message uuid.UUID) error {
		if c.missing.has(message) {
			return nil // a reader looks again, and a restart
		}
		_, _, err := c.openKept(ctx, message, nil)
		if errors.Is(err, ErrMissing) {
			return nil
		}
		return err
	})
}

// each does something to all, some at a time, until the first error.
func each[T any](ctx context.Context, all []T, do func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(secureAtATime)
	for _, one := range all {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return do(ctx, one) })
	}
	return group.Wait()
}
