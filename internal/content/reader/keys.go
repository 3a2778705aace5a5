package reader

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"postern/internal/content"
	"postern/internal/content/message"
)

// Unlock returns the key and the header of a message that was not erased: from its row,
// which the caller has read, or, if that was lost or can't be opened, from the copy in the
// content store, which also restores the row. If neither can be opened, it fails with
// [message.ErrMissing].
func (rd *Reader) Unlock(ctx context.Context, id uuid.UUID, row *content.Keys) (content.Key, message.Header, error) {
	if row != nil {
		key, h, err := rd.unseal(id, *row)
		if !errors.Is(err, content.ErrChanged) {
			return key, h, err
		}
	}
	kept, err := rd.cfg.Content.FindKeys(ctx, content.KeysOf(id))
	var key content.Key
	var h message.Header
	if err == nil {
		key, h, err = rd.unseal(id, kept)
	}
	switch {
	case errors.Is(err, content.ErrNotFound), errors.Is(err, content.ErrChanged):
		return key, h, rd.isMissing(id, "its keys", err)
	case err != nil:
		return key, h, err
	}
	rd.cfg.Logger.Warn("the keys of a message were not in Postgres: they are taken from the content store", "message_id", id)
	return key, h, rd.restore(ctx, id, kept)
}

func (rd *Reader) unseal(id uuid.UUID, k content.Keys) (content.Key, message.Header, error) {
	key, err := rd.cfg.Content.Unwrap(id, k.WrappedKey)
	if err != nil {
		return content.Key{}, message.Header{}, err
	}
	h, err := message.Open(key, k.Sealed)
	return key, h, err
}

// restore writes a row from its copy, unless the content was erased. If an erasure is
// recorded at the same time, the row may remain until the sweep of package retention; no
// reader uses it, because all of them check the record first.
func (rd *Reader) restore(ctx context.Context, id uuid.UUID, k content.Keys) error {
	_, err := rd.cfg.Pool.Exec(ctx, `
		INSERT INTO app.message_content (message_id, wrapped_key, sealed, copied)
		SELECT $1::uuid, $2, $3, true
		WHERE NOT EXISTS (SELECT FROM record.erasures WHERE message_id = $1 AND status = 'erased')
		ON CONFLICT (message_id) DO UPDATE SET wrapped_key = excluded.wrapped_key, sealed = excluded.sealed, copied = true`,
		id, k.WrappedKey, k.Sealed)
	if err != nil {
		return fmt.Errorf("restoring the keys of message %s: %w", id, err)
	}
	rd.missing.remove(id)
	return nil
}

// isMissing returns [message.ErrMissing] with the cause, and logs each message once.
func (rd *Reader) isMissing(id uuid.UUID, what string, why error) error {
	if rd.missing.add(id) {
		rd.cfg.Logger.Error("THE CONTENT OF A MESSAGE IS MISSING: it was not erased; restore the content store, or Postgres, from a backup",
			"message_id", id, "what", what, "error", why)
	}
	return fmt.Errorf("%w: %s of message %s: %w", message.ErrMissing, what, id, why)
}

// known is the set of messages whose content this process found missing, for the log and
// the metrics. It is safe for concurrent use.
type known struct {
	mu  sync.Mutex
	ids map[uuid.UUID]bool
}

func (k *known) add(id uuid.UUID) (isNew bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ids == nil {
		k.ids = map[uuid.UUID]bool{}
	}
	isNew = !k.ids[id]
	k.ids[id] = true
	return isNew
}

func (k *known) remove(id uuid.UUID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.ids, id)
}

func (k *known) has(id uuid.UUID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids[id]
}

func (k *known) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.ids)
}

// MissingContent returns the number of messages whose content this process found missing.
func (rd *Reader) MissingContent() int { return rd.missing.count() }

// UncopiedKeys returns the number of keys without a copy in the content store.
func (rd *Reader) UncopiedKeys(ctx context.Context) (n int, err error) {
	err = rd.cfg.Pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM app.message_content WHERE NOT copied)
		+ (SELECT count(*) FROM app.manifest_keys WHERE NOT copied)`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting keys that have no copy: %w", err)
	}
	return n, nil
}
