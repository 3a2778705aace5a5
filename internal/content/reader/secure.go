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

// SecureKeys copies keys that are only in Postgres to the content store, and keys that are
// only in the content store to Postgres. It continues where an earlier call stopped. Call it
// at the start of a process and every few minutes; several processes may call it.
func (rd *Reader) SecureKeys(ctx context.Context) error {
	if err := rd.copyKeys(ctx, messageKeys); err != nil {
		return err
	}
	if err := rd.copyKeys(ctx, manifestKeys); err != nil {
		return err
	}
	return rd.findLost(ctx)
}

// A keyTable is a table with keys that are copied to the content store.
type keyTable struct {
	name     func(uuid.UUID) content.Name
	uncopied string // $1: after which id, $2: how many
	copied   string // $1: id, $2: the wrapped key of the copy
}

const notErased = ` NOT EXISTS (SELECT FROM record.erasures e WHERE e.message_id = k.message_id AND e.status = 'erased') `

var (
	messageKeys = keyTable{name: content.KeysOf,
		uncopied: `SELECT message_id, wrapped_key, sealed FROM app.message_content k
			WHERE NOT copied AND message_id > $1 AND` + notErased + `ORDER BY message_id LIMIT $2`,
		copied: `UPDATE app.message_content SET copied = true WHERE message_id = $1 AND wrapped_key = $2`}
	// If the keys of a manifest differ, the copy is the valid one: see package fanout.
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

// copyRow stores the copy and then marks the row. After a crash in between, the row is
// copied again, without effect. If the row does not exist any more, its content was erased:
// copyRow deletes the copy, or, after a crash, the sweep of package retention does at the
// next start.
func (rd *Reader) copyRow(ctx context.Context, t keyTable, r keyRow) error {
	name := t.name(r.id)
	kept, err := rd.cfg.Content.StoreKeys(ctx, name, r.id, r.keys)
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

// findLost looks in the content store for the keys of recorded messages that Postgres lost,
// and notes the messages whose keys are in neither.
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
			return nil // readers try again, and so does a restart
		}
		_, _, err := rd.Unlock(ctx, id, nil)
		if errors.Is(err, message.ErrMissing) {
			return nil
		}
		return err
	})
}

// each calls do for all, secureAtATime of them at a time, until the first error.
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
