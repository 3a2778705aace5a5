package compose

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"postern/internal/content"
)

// A Condition says whether the content of a message can be read.
type Condition string

// The conditions.
const (
	Kept    Condition = "kept"
	Erased  Condition = "erased"  // the record holds content.erased
	Missing Condition = "missing" // the record does not, and yet it can't be found or opened
)

// Heading is a header with the condition of the content. Where that is not [Kept] the
// header may be empty.
type Heading struct {
	Header
	Condition Condition
}

// openKept gives the key and the header of a message that was not erased: from its row or,
// where that was lost or does not open, from the copy in the content store, which then
// becomes the row again. It fails with [ErrMissing] where neither opens.
func (c *Composer) openKept(ctx context.Context, message uuid.UUID, row *content.Keys) (content.Key, Header, error) {
	if row != nil {
		key, h, err := c.unseal(message, *row)
		if !errors.Is(err, content.ErrChanged) {
			return key, h, err
		}
	}
	kept, err := c.cfg.Content.FindKeys(ctx, content.KeysOf(message))
	var key content.Key
	var h Header
	if err == nil {
		key, h, err = c.unseal(message, kept)
	}
	switch {
	case errors.Is(err, content.ErrNotFound), errors.Is(err, content.ErrChanged):
		return key, h, c.isMissing(message, "its keys", err)
	case err != nil:
		return key, h, err
	}
	c.cfg.Logger.Warn("the keys of a message were not in Postgres: they are taken from the content store", "message_id", message)
	return key, h, c.restore(ctx, message, kept)
}

func (c *Composer) unseal(message uuid.UUID, k content.Keys) (content.Key, Header, error) {
	key, err := c.cfg.Content.Unwrap(message, k.WrappedKey)
	if err != nil {
		return content.Key{}, Header{}, err
	}
	h, err := openHeader(key, k.Sealed)
	return key, h, err
}

// restore writes a row from its copy, unless the content was erased. An erasure that is
// recorded in this moment may leave the row to the sweep of package retention; no reader
// uses it, for all of them ask the record first.
func (c *Composer) restore(ctx context.Context, message uuid.UUID, k content.Keys) error {
	_, err := c.pool.Exec(ctx, `
		INSERT INTO app.message_content (message_id, wrapped_key, sealed, copied)
		SELECT $1::uuid, $2, $3, true
		WHERE NOT EXISTS (SELECT FROM record.erasures WHERE message_id = $1 AND status = 'erased')
		ON CONFLICT (message_id) DO UPDATE SET wrapped_key = excluded.wrapped_key, sealed = excluded.sealed, copied = true`,
		message, k.WrappedKey, k.Sealed)
	if err != nil {
		return fmt.Errorf("restoring the keys of message %s: %w", message, err)
	}
	c.missing.remove(message)
	return nil
}

// isMissing makes [ErrMissing] of what kept something of a message from being opened,
// and says it once.
func (c *Composer) isMissing(message uuid.UUID, what string, why error) error {
	if c.missing.add(message) {
		c.cfg.Logger.Error("THE CONTENT OF A MESSAGE IS MISSING: it was not erased; restore the content store, or Postgres, from a backup",
			"message_id", message, "what", what, "error", why)
	}
	return fmt.Errorf("%w: %s of message %s: %w", ErrMissing, what, message, why)
}

// known is the messages whose content this process found missing, for the log and the
// metrics. It is safe for concurrent use.
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

// MissingContent is how many messages this process found the content missing of.
func (c *Composer) MissingContent() int { return c.missing.count() }

// UncopiedKeys is how many keys the content store has no copy of yet.
func (c *Composer) UncopiedKeys(ctx context.Context) (n int, err error) {
	err = c.pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM app.message_content WHERE NOT copied)
		+ (SELECT count(*) FROM app.manifest_keys WHERE NOT copied)`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting keys that have no copy: %w", err)
	}
	return n, nil
}
