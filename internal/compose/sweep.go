package compose

import (
	"context"
	"fmt"
	"time"
)

// keepUploads is how long an upload may be sent from.
const keepUploads = 30 * 24 * time.Hour

// Sweep drops uploads that are older than thirty days and wait in no draft: what
// was sent has its own copy of the key in the header of its message, what was not
// can't be read by anybody any more. It drops a thousand at most; call it every few minutes.
func (c *Composer) Sweep(ctx context.Context) error {
	_, err := c.pool.Exec(ctx, `DELETE FROM app.attachments WHERE attachment_id IN
		(SELECT attachment_id FROM app.attachments WHERE uploaded_at < $1 AND draft_id IS NULL LIMIT 1000 FOR UPDATE SKIP LOCKED)`,
		c.now().Add(-keepUploads))
	if err != nil {
		return fmt.Errorf("sweeping uploads: %w", err)
	}
	return nil
}
