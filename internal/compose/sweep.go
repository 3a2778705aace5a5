package compose

import (
	"context"
	"fmt"
	"time"
)

// keepUploads is how long an upload is kept.
const keepUploads = 30 * 24 * time.Hour

// Sweep deletes uploads that are older than thirty days and in no draft. The header of a
// sent message has its own copies of its attachments' keys; uploads that were not sent
// become unreadable. It deletes a thousand at most; call it every few minutes.
func (c *Composer) Sweep(ctx context.Context) error {
	_, err := c.pool.Exec(ctx, `DELETE FROM app.attachments WHERE attachment_id IN
		(SELECT attachment_id FROM app.attachments WHERE uploaded_at < $1 AND draft_id IS NULL LIMIT 1000 FOR UPDATE SKIP LOCKED)`,
		c.now().Add(-keepUploads))
	if err != nil {
		return fmt.Errorf("sweeping uploads: %w", err)
	}
	return nil
}
