package query

import (
	"context"

	"github.com/google/uuid"

	"postern/internal/events"
	"postern/internal/inbox/delivered"
)

// Why returns why a portal user is in the audience of a message, or is not, as the directory was
// when the audience was frozen. It records the reading first. Errors are those of
// [delivered.Explain].
func (r *Reader) Why(ctx context.Context, who Actor, message uuid.UUID, portalUser string) (delivered.Why, error) {
	why, err := delivered.Explain(ctx, r.cfg.Pool, message, portalUser)
	if err != nil {
		return delivered.Why{}, err
	}
	reading := newReading(events.ReadList, Filter{MessageID: message, PortalUserID: portalUser})
	reading.Count = 1
	if err := r.recordRead(ctx, who, reading); err != nil {
		return delivered.Why{}, err
	}
	return why, nil
}
