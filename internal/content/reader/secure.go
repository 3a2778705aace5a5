package reader

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"postern/internal/content"
	"postern/internal/content/message"
)

const (
	secureBatch   = 200 // messages
	secureAtATime = 8   // calls of the content store
)

// SecureKeys copies to the content store the keys that are in Postgres alone, and brings
// back to Postgres those that are in the content store alone. It goes on where an earlier
// call stopped. Call it at the start of a process and every few minutes, in as many
// processes as you like.
func (rd *Reader) SecureKeys(ctx context.Context) error {
	if err := rd.copyKeys(ctx, messageKeys); err != nil {
		return err
	}
	if err := rd.copyKeys(ctx, manifestKeys); err != nil {
		return err
	}
	return rd.findLost(ctx)
}

// A keyTable is a table whose rows the content store keeps copies of.
type keyTable struct {
	name     func(uuid.UUID) content.Name
	uncopied string // $1: after which id, $2: how many
	copied   string // $1: id, $2: the wrapped key that counts
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
	id   uuid.UUID
	keys content.Keys
}

func (rd *Reader) copyKeys(ctx context.Context, t keyTable) error {
	for last := uuid.Nil; ; {
		rows, err := rd.cfg.Pool.Query(ctx, t.uncopied, last, secureBatch)
		if err != nil {
			return fmt.Errorf("looking for keys that have no copy: %w", err)
		}
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r keyRow, err error) {
			err = row.Scan(&r.id, &r.keys.WrappedKey, &r.keys.Sealed)
			return r, err
		})
		if err != nil {
			return fmt.Errorf("looking for keys that have no copy: %w", err)
		}
		if len(found) == 0 {
			return nil
		}
		last = found[len(found)-1].id
		err = each(ctx, found, func(ctx context.Context, r keyRow) error { return rd.copyRow(ctx, t, r) })
		if err != nil {
			return err
		}
	}
}

// copyRow stores the copy and then marks the row. A crash in between leaves the row to be
// copied again, in vain. A row that is gone by then was erased meanwhile: the copy goes
// too, and where a crash keeps it, with the sweep of package retention at the next start.
func (rd *Reader) copyRow(ctx context.Context, t keyTable, r keyRow) error {
	name := t.name(r.id)
	kept, err := rd.cfg.Content.KeepKeys(ctx, name, r.id, r.keys)
	if err != nil {
		return fmt.Errorf("copying the keys of message %s: %w", r.id, err)
	}
	tag, err := rd.cfg.Pool.Exec(ctx, t.copied, r.id, kept.WrappedKey)
	if err != nil {
		return fmt.Errorf("marking the keys of message %s as copied: %w", r.id, err)
	}
	if tag.RowsAffected() > 0 {
		return nil
	}
	erased, err := rd.isErased(ctx, r.id)
	if err == nil && erased {
		err = rd.cfg.Content.Delete(ctx, name)
	}
	return err
}

// findLost looks in the content store for the keys of every message on the record of
// which Postgres has none, and notes those that are nowhere.
func (rd *Reader) findLost(ctx context.Context) error {
	rows, err := rd.cfg.Pool.Query(ctx, `SELECT k.message_id FROM record.messages k
		WHERE NOT EXISTS (SELECT FROM app.message_content c WHERE c.message_id = k.message_id) AND`+notErased)
	if err != nil {
		return fmt.Errorf("looking for messages without keys: %w", err)
	}
	lost, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("looking for messages without keys: %w", err)
	}
	return each(ctx, lost, func(ctx context.Context, id uuid.UUID) error {
		if rd.missing.has(id) {
			return nil // a reader looks again, and a restart
		}
		_, _, err := rd.Unlock(ctx, id, nil)
		if errors.Is(err, message.ErrMissing) {
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
