package messages

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// PortalUserNames returns the names of portal users by their ids.
func (rd *Reader) PortalUserNames(ctx context.Context, ids []string) (map[string]string, error) {
	return rd.names(ctx, `SELECT portal_user_id, name FROM app.portal_users WHERE portal_user_id = ANY($1)`, ids)
}

// StaffNames returns the names of staff by their ids.
func (rd *Reader) StaffNames(ctx context.Context, ids []string) (map[string]string, error) {
	return rd.names(ctx, `SELECT staff_id, name FROM record.staff WHERE staff_id = ANY($1)`, ids)
}

func (rd *Reader) names(ctx context.Context, query string, ids []string) (map[string]string, error) {
	names := make(map[string]string, len(ids))
	if len(ids) == 0 {
		return names, nil
	}
	rows, err := rd.pool.Query(ctx, query, ids)
	if err != nil {
		return nil, fmt.Errorf("reading names: %w", err)
	}
	var id, name string
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		names[id] = name
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading names: %w", err)
	}
	return names, nil
}

// Times has the times at which deliveries of a message became readable and were alerted; nil
// means not yet.
type Times struct {
	FirstDelivered, LastDelivered, LastAlerted *time.Time
}

// Times reads them from the message's chunks, a thousand for a million deliveries.
func (rd *Reader) Times(ctx context.Context, message uuid.UUID) (times Times, err error) {
	err = rd.pool.QueryRow(ctx, `
		SELECT min(delivered_at), max(delivered_at), max(alert_at) FROM record.chunks WHERE message_id = $1`, message).
		Scan(&times.FirstDelivered, &times.LastDelivered, &times.LastAlerted)
	if err != nil {
		return Times{}, fmt.Errorf("reading the times of message %s: %w", message, err)
	}
	times.FirstDelivered, times.LastDelivered, times.LastAlerted = utc(times.FirstDelivered), utc(times.LastDelivered), utc(times.LastAlerted)
	return times, nil
}
