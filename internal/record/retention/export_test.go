package retention

import "postern/internal/content"

// SetContent replaces the content store, and gives the one before.
func (r *Retention) SetContent(c *content.Store) (before *content.Store) {
	before, r.cfg.Content = r.cfg.Content, c
	return before
}
