package retention

import "postern/internal/content"

// SetContent replaces the content store, and gives the one before.
func (o *Retention) SetContent(c *content.Store) (before *content.Store) {
	before, o.cfg.Content = o.cfg.Content, c
	return before
}
